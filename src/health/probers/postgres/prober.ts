// The PostgreSQL prober: one long-lived session that is asked at every probe, and now and then a fresh connection
// beside it, which takes its place. An open session alone would not show a hung postmaster.
// Not the schedule and not health: the monitor calls it. Owns its sessions and its one timer.

import { type Address } from '../../../core/address.ts';
import { type CheckConfig } from '../../../config/schema.ts';
import { type Clock, type MonotonicMs, type Timer } from '../../../core/clock.ts';
import { type ProbeAnswer, type Prober, type ProberFactory } from '../../prober.ts';
import { failure } from '../failures.ts';
import { timeoutFailure } from './failures.ts';
import { interview, ownSqlTimeout } from './interview.ts';
import { ConfirmedProber } from './rest.ts';
import { Session } from './session.ts';
import { judge, type Part } from '../verdict.ts';

export interface PostgresProberOptions {
  readonly address: Address;
  readonly check: CheckConfig<'postgres'>;
  readonly clock: Clock;
}

/** Nothing is opened before the first `probe()`. Never throws: what is wrong with the options is a probe's answer. */
export function createPostgresProber(options: PostgresProberOptions): ProberFactory {
  const { address, check, clock } = options;
  return onLost => {
    const prober = new PostgresProber(options, onLost);
    return check.rest === null
      ? prober
      : new ConfirmedProber(prober, { ...check, rest: check.rest, address, clock });
  };
}

type Side = 'open' | 'fresh';

/** One probe under way. */
interface Run {
  readonly sessions: Readonly<Record<Side, Session | null>>;
  readonly parts: Record<Side, Part>;
  /** Those that have answered the built-in question and are asked the operator's. */
  readonly atOwnSql: Set<Session>;
  readonly resolve: (answer: ProbeAnswer) => void;
  timer: Timer;
}

const closing = failure('L4LOST', 'the probe was ended');

class PostgresProber implements Prober {
  readonly #options: PostgresProberOptions;
  readonly #onLost: (detail: string) => void;
  #session: Session | null = null;
  #freshDueAt: MonotonicMs = 0;
  #run: Run | null = null;
  #closed = false;

  constructor(options: PostgresProberOptions, onLost: (detail: string) => void) {
    this.#options = options;
    this.#onLost = onLost;
  }

  probe(): Promise<ProbeAnswer> {
    if (this.#closed) return Promise.resolve(closing);
    const { clock, check } = this.#options;
    return new Promise(resolve => {
      const open = this.#session;
      const freshDue = open === null || (check.reconnectIntervalMs > 0 && clock.now() >= this.#freshDueAt);
      const fresh = freshDue ? this.#connect() : null;
      const run: Run = {
        sessions: { open, fresh },
        parts: { open: partFor(open), fresh: partFor(fresh) },
        atOwnSql: new Set(),
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
    this.#session?.end(closing);
    this.#session = null;
    if (run === null) return;
    run.sessions.fresh?.end(closing);
    this.#settle(run, closing);
  }

  #connect(): Session {
    const { clock, check } = this.#options;
    this.#freshDueAt = clock.now() + check.reconnectIntervalMs;
    const session: Session = new Session(this.#options, detail => this.#idleLoss(session, detail));
    return session;
  }

  async #ask(run: Run, side: Side, session: Session): Promise<void> {
    const part = await interview({
      session,
      ownSql: this.#options.check.writable,
      onOwnSql: () => run.atOwnSql.add(session),
    });
    if (this.#run !== run || run.parts[side].kind !== 'pending') return;
    run.parts[side] = part;
    this.#judge(run);
  }

  #idleLoss(session: Session, detail: string): void {
    const run = this.#run;
    if (run?.sessions.open === session) {
      // It had answered, and was lost while the fresh connection was still under way.
      run.parts.open = { kind: 'failed', failure: failure('L4LOST', detail), alive: false };
      this.#judge(run);
    } else if (this.#session === session) {
      this.#session = null;
      this.#onLost(detail);
    }
  }

  #expire(run: Run): void {
    if (this.#run !== run) return;
    for (const side of ['open', 'fresh'] as const) {
      const session = run.sessions[side];
      if (session === null || run.parts[side].kind !== 'pending') continue;
      const { timeoutMs } = this.#options.check;
      const reason = run.atOwnSql.has(session)
        ? ownSqlTimeout(timeoutMs)
        : timeoutFailure(session.phase, timeoutMs);
      run.parts[side] = { kind: 'failed', failure: reason, alive: false };
      session.end(reason);
    }
    this.#judge(run);
  }

  #judge(run: Run): void {
    const verdict = judge(run.parts.open, run.parts.fresh);
    if (verdict === null) return;
    const { open, fresh } = run.sessions;
    this.#session = verdict.keep === 'none' ? null : run.sessions[verdict.keep];
    if (verdict.keep !== 'open') open?.end(closing);
    if (verdict.keep !== 'fresh') fresh?.end(closing);
    if (verdict.doubt) this.#freshDueAt = 0;
    this.#settle(run, verdict.answer);
  }

  #settle(run: Run, answer: ProbeAnswer): void {
    run.timer.cancel();
    this.#run = null;
    run.resolve(answer);
  }
}

function partFor(session: Session | null): Part {
  return session === null ? { kind: 'absent' } : { kind: 'pending' };
}
