// The Redis prober: a SessionProber with this protocol's interview.
// What the questions are and how their answers are read stands in question.ts, the connection in session.ts.

import { type Address } from '../../../core/address.ts';
import { type CheckConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { type ProberFactory } from '../../prober.ts';
import { type Failure, timeoutFailure } from '../failures.ts';
import { SessionProber, type Interview } from '../session-prober.ts';
import { type Part } from '../verdict.ts';
import {
  areEnough,
  FIRST_QUESTION,
  MIN_REPLICAS_QUESTION,
  QUESTION,
  readAnswer,
  readIdentity,
  TOO_FEW_REPLICAS,
  type Identity,
} from './question.ts';
import { Session } from './session.ts';

export interface RedisProberOptions {
  readonly address: Address;
  readonly check: Pick<
    CheckConfig<'redis'>,
    'user' | 'password' | 'tls' | 'reconnectIntervalMs' | 'timeoutMs'
  >;
  readonly clock: Clock;
}

export function createRedisProber(options: RedisProberOptions): ProberFactory {
  const { check, clock } = options;
  const connect = (onIdleLoss: (detail: string) => void): Interview =>
    new RedisInterview(options, onIdleLoss);
  return onLost => new SessionProber({ check, clock, patienceMs: 0, connect }, onLost);
}

/** A session and who is at its other end, once that has been asked. */
class RedisInterview implements Interview {
  readonly #session: Session;
  readonly #timeoutMs: number;
  #identity: Identity | null = null;

  constructor({ address, check, clock }: RedisProberOptions, onIdleLoss: (detail: string) => void) {
    const { user, password, tls, timeoutMs } = check;
    this.#timeoutMs = timeoutMs;
    this.#session = new Session({ address, user, password, tls, clock }, { lost: onIdleLoss });
  }

  readonly mustBeWaitedFor = false;

  get hasEnded(): boolean {
    return this.#session.phase === 'ended';
  }

  end(reason: Failure): void {
    this.#session.end(reason);
  }

  timeout(): Failure {
    return timeoutFailure(this.#session.phase, this.#timeoutMs);
  }

  async ask(): Promise<Part> {
    const session = this.#session;
    // An open session is asked in this very turn: a stall of our event loop must not delay the question itself.
    if (session.phase !== 'idle') {
      const refused = await session.opened();
      if (refused !== null) return { kind: 'failed', failure: refused, alive: false };
    }
    const identity = this.#identity;
    const first = identity === null ? [FIRST_QUESTION] : [];
    const asked = await session.ask(...first, ...QUESTION);
    if (asked.kind === 'failed') return failedPart(asked.failure, session);
    const known = identity ?? readIdentity(asked.replies[0]);
    if ('code' in known) return failedPart(known, session);
    this.#identity = known;
    const told = readAnswer(asked.replies.slice(first.length), known);
    if ('code' in told) return failedPart(told, session);
    const { facts, remark, goodReplicas } = told;
    if (goodReplicas === null) return { kind: 'answered', facts, remark };
    const setting = await session.ask(MIN_REPLICAS_QUESTION);
    if (setting.kind === 'failed') return failedPart(setting.failure, session);
    if (areEnough(goodReplicas, setting.replies[0])) return { kind: 'answered', facts };
    return { kind: 'answered', facts: { ...facts, writable: false }, remark: TOO_FEW_REPLICAS };
  }
}

function failedPart(reason: Failure, session: Session): Part {
  return { kind: 'failed', failure: reason, alive: session.phase === 'idle' };
}
