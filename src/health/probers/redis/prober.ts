// The Redis prober: one long-lived session that is asked at every probe, and now and then a fresh connection beside it,
// which takes its place. An open session alone would not show a server that takes no new ones.
// Not the schedule and not health: the monitor calls it. Owns its sessions and its one timer.

import { type Address } from '../../../core/address.ts';
import { type CheckConfig } from '../../../config/schema.ts';
import { type Clock, type MonotonicMs, type Timer } from '../../../core/clock.ts';
import { type ProbeAnswer, type Prober, type ProberFactory } from '../../prober.ts';
import { failure, type Failure } from '../failures.ts';
import { judge, type Part } from '../verdict.ts';
import { timeoutFailure } from './failures.ts';
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

/** Nothing is opened before the first `probe()`. Never throws: what is wrong with the options is a probe's answer. */
export function createRedisProber(options: RedisProberOptions): ProberFactory {
  return onLost => new RedisProber(options, onLost);
}

type Side = 'open' | 'fresh';

/** A session and who is at its other end, once that has been asked. */
interface Line {
  readonly session: Session;
  identity: Identity | null;
}

/** One probe under way. */
interface Run {
  readonly lines: Readonly<Record<Side, Line | null>>;
  readonly parts: Record<Side, Part>;
  readonly resolve: (answer: ProbeAnswer) => void;
  timer: Timer;
}

const closing = failure('L4LOST', 'the probe was ended');

class RedisProber implements Prober {
  readonly #options: RedisProberOptions;
  readonly #onLost: (detail: string) => void;
  #line: Line | null = null;
  #freshDueAt: MonotonicMs = 0;
  #run: Run | null = null;
  #closed = false;

  constructor(options: RedisProberOptions, onLost: (detail: string) => void) {
    this.#options = options;
    this.#onLost = onLost;
  }

  probe(): Promise<ProbeAnswer> {
    if (this.#closed) return Promise.resolve(closing);
    const { clock, check } = this.#options;
    return new Promise(resolve => {
      const open = this.#line;
      const freshDue = open === null || (check.reconnectIntervalMs > 0 && clock.now() >= this.#freshDueAt);
      const fresh = freshDue ? this.#connect() : null;
      const run: Run = {
        lines: { open, fresh },
        parts: { open: partFor(open), fresh: partFor(fresh) },
        resolve,
        timer: clock.schedule(check.timeoutMs, () => {
          // What came while the event loop stood still is read first: our own delay isn't the server's silence.
          run.timer = clock.afterInput(() => this.#expire(run));
        }),
      };
      this.#run = run;
      if (open !== null) void this.#ask(run, 'open', open);
      if (fresh !== null) void this.#ask(run, 'fresh', fresh);
    });
  }

  close(): void {
    this.#closed = true;
    const run = this.#run;
    this.#line?.session.end(closing);
    this.#line = null;
    if (run === null) return;
    run.lines.fresh?.session.end(closing);
    this.#settle(run, closing);
  }

  #connect(): Line {
    const { address, check, clock } = this.#options;
    const { user, password, tls } = check;
    this.#freshDueAt = clock.now() + check.reconnectIntervalMs;
    const session = new Session(
      { address, user, password, tls, clock },
      { lost: detail => this.#idleLoss(line, detail) },
    );
    const line: Line = { session, identity: null };
    return line;
  }

  async #ask(run: Run, side: Side, line: Line): Promise<void> {
    const part = await askLine(line);
    if (this.#run !== run || run.parts[side].kind !== 'pending') return;
    run.parts[side] = part;
    this.#judge(run);
  }

  #idleLoss(line: Line, detail: string): void {
    const run = this.#run;
    if (run?.lines.open === line) {
      // It had answered, and was lost while the fresh connection was still under way.
      run.parts.open = { kind: 'failed', failure: failure('L4LOST', detail), alive: false };
      this.#judge(run);
    } else if (this.#line === line) {
      this.#line = null;
      this.#onLost(detail);
    }
  }

  #expire(run: Run): void {
    if (this.#run !== run) return;
    for (const side of ['open', 'fresh'] as const) {
      const line = run.lines[side];
      if (line === null || run.parts[side].kind !== 'pending') continue;
      const reason = timeoutFailure(line.session.phase, this.#options.check.timeoutMs);
      run.parts[side] = { kind: 'failed', failure: reason, alive: false };
      line.session.end(reason);
    }
    this.#judge(run);
  }

  #judge(run: Run): void {
    const verdict = judge(run.parts.open, run.parts.fresh);
    if (verdict === null) return;
    const { open, fresh } = run.lines;
    const kept = verdict.keep === 'none' ? null : run.lines[verdict.keep];
    // An error that is an answer may have been the last word before the server hung up.
    this.#line = kept === null || kept.session.phase === 'ended' ? null : kept;
    if (verdict.keep !== 'open') open?.session.end(closing);
    if (verdict.keep !== 'fresh') fresh?.session.end(closing);
    if (verdict.doubt) this.#freshDueAt = 0;
    this.#settle(run, verdict.answer);
  }

  #settle(run: Run, answer: ProbeAnswer): void {
    run.timer.cancel();
    this.#run = null;
    run.resolve(answer);
  }
}

function partFor(line: Line | null): Part {
  return line === null ? { kind: 'absent' } : { kind: 'pending' };
}

async function askLine(line: Line): Promise<Part> {
  const { session } = line;
  // An open session is asked in this very turn: a stall of our event loop must not delay the question itself.
  if (session.phase !== 'idle') {
    const refused = await session.opened();
    if (refused !== null) return { kind: 'failed', failure: refused, alive: false };
  }
  const { identity } = line;
  const first = identity === null ? [FIRST_QUESTION] : [];
  const asked = await session.ask(...first, ...QUESTION);
  if (asked.kind === 'failed') return failedPart(asked.failure, session);
  const known = identity ?? readIdentity(asked.replies[0]);
  if ('code' in known) return failedPart(known, session);
  line.identity = known;
  const told = readAnswer(asked.replies.slice(first.length), known);
  if ('code' in told) return failedPart(told, session);
  const { facts, remark, goodReplicas } = told;
  if (goodReplicas === null) return { kind: 'answered', facts, remark };
  const setting = await session.ask(MIN_REPLICAS_QUESTION);
  if (setting.kind === 'failed') return failedPart(setting.failure, session);
  if (areEnough(goodReplicas, setting.replies[0])) return { kind: 'answered', facts };
  return { kind: 'answered', facts: { ...facts, writable: false }, remark: TOO_FEW_REPLICAS };
}

function failedPart(reason: Failure, session: Session): Part {
  return { kind: 'failed', failure: reason, alive: session.phase === 'idle' };
}
