// The monitor of pg_auto_failover, asked over a session that stays open what state each node of a group is in and is to go to.
// The session listens as well: the monitor tells each change as it commits it, and then it is asked at once.
// Not a prober (the monitor isn't a server of the backend) and no opinion: topology/sources/pg-auto-failover.ts weighs the
// answer. Made by app/orchestrators.ts.

import { type PgAutoFailoverConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { Asking, type Round } from '../../asking.ts';
import { type PgafAnswer } from '../../result.ts';
import { failure, type Failure, timeoutFailure } from '../failures.ts';
import { Session } from '../postgres/session.ts';
import { LISTEN, questionFor, readAnswer } from './answer.ts';

export interface PgafClientOptions {
  readonly monitor: Omit<PgAutoFailoverConfig, 'maxServers'>;
  /** Between two questions while all is well, and while it refuses to answer. */
  readonly intervalMs: number;
  /** While a failover is under way, or it can't be reached, or can't tell by itself. */
  readonly fastIntervalMs: number;
  /** For one question, the connection included. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Told after each question: the answer, or why there is none. */
export type PgafHeard = (answer: PgafAnswer | null, detail: string) => void;

/** Between two questions, from start to start, for whatever reason but the asking of others: a monitor of many groups tells much. */
const TOLD_INTERVAL_MS = 10;

const closing = failure('L4LOST', 'the question was ended');

export class PgafClient {
  readonly #options: PgafClientOptions;
  readonly #heard: PgafHeard;
  #session: Session | null = null;
  #listening = false;
  readonly #asking: Asking;

  constructor(options: PgafClientOptions, heard: PgafHeard) {
    this.#options = options;
    this.#heard = heard;
    this.#asking = new Asking(options.clock, () => this.#ask());
  }

  start(): void {
    this.#asking.start();
  }

  /** What is under way is given up, and nothing is told any more. */
  stop(): void {
    this.#asking.stop();
    this.#session?.end(closing);
  }

  /** At once, or as soon as the question under way is answered. */
  askNow(): void {
    this.#asking.askNow();
  }

  async #ask(): Promise<Round> {
    const { intervalMs, fastIntervalMs } = this.#options;
    const kept = this.#session;
    const session = kept ?? this.#connect();
    const limit = this.#limit(session);
    const answer = await this.#question(session);
    limit();
    if (session.phase === 'ended') this.#session = null;
    if ('code' in answer) {
      // An open session that was lost amid the question shows only that; a new one tells whether the monitor is gone.
      const lost = kept !== null && answer.code === 'L4LOST';
      if (lost && !this.#asking.isStopped) return this.#ask();
      const pauseMs = isPassing(answer) ? fastIntervalMs : intervalMs;
      return { pauseMs, tell: () => this.#heard(null, answer.detail) };
    }
    const pauseMs = isMoving(answer) || !this.#listening ? fastIntervalMs : intervalMs;
    return { pauseMs, tell: () => this.#heard(answer, '') };
  }

  #connect(): Session {
    const { monitor, timeoutMs, clock } = this.#options;
    const session: Session = new Session(
      {
        address: monitor.monitor,
        check: { ...monitor, timeoutMs },
        clock,
        onNotification: () => this.#asking.askNow(TOLD_INTERVAL_MS),
      },
      () => this.#lost(session),
    );
    this.#listening = false;
    this.#session = session;
    return session;
  }

  async #question(session: Session): Promise<PgafAnswer | Failure> {
    if (session.phase !== 'idle') {
      const refused = await session.opened();
      if (refused !== null) return refused;
    }
    // First: what changes between the answer and the listening would be heard of no other way.
    if (!this.#listening) this.#listening = (await session.ask(LISTEN)).kind === 'rows';
    const asked = await session.ask(questionFor(this.#options.monitor));
    return asked.kind === 'failed' ? asked.failure : readAnswer(asked.first, this.#options.monitor);
  }

  /** Ends the session after the time for one question; returns how to call that off. */
  #limit(session: Session): () => void {
    const { clock, timeoutMs } = this.#options;
    let timer = clock.schedule(timeoutMs, () => {
      timer = clock.afterInput(() => session.end(timeoutFailure(session.phase, timeoutMs)));
    });
    return () => timer.cancel();
  }

  /** A monitor that hung up is asked again at once, which tells whether it is gone; not so one that does nothing else. */
  #lost(session: Session): void {
    if (this.#session !== session) return;
    this.#session = null;
    this.#asking.askNow(this.#options.fastIntervalMs);
  }
}

/** Its refusals stand in its own log, and don't change from one moment to the next: they are no reason to hurry. */
const isPassing = ({ code }: Failure): boolean => code.startsWith('L4') || code === 'L7START';

/** On the way: a node that reports one of these as it should is about to be told the next. */
const passing: ReadonlySet<string> = new Set([
  'draining',
  'demote_timeout',
  'prepare_promotion',
  'stop_replication',
  'report_lsn',
  'fast_forward',
  'join_secondary',
  'prepare_maintenance',
]);

/** Nodes that can't be reached may stay for days in whatever state they are. */
function isMoving({ nodes }: PgafAnswer): boolean {
  return nodes.some(
    ({ health, reported, goal }) => health !== 'bad' && (reported !== goal || passing.has(goal)),
  );
}
