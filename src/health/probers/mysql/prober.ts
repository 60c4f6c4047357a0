// The prober of MySQL and MariaDB: one long-lived session that is asked at every probe, and now and then a fresh connection
// beside it, which takes its place. An open session alone would not show a server that serves no new ones.
// Not the schedule and not health: the monitor calls it. Owns its sessions and its one timer.

import { type Address } from '../../../core/address.ts';
import { type CheckConfig } from '../../../config/schema.ts';
import { type Clock, type MonotonicMs, type Timer } from '../../../core/clock.ts';
import { type ProbeAnswer, type Prober, type ProberFactory } from '../../prober.ts';
import { failure } from '../failures.ts';
import { judge, type Part } from '../verdict.ts';
import { Interview } from './interview.ts';

/**
 * How long a connection that a server took, but doesn't greet, is waited for by one probe after another. To hang up and
 * come again at each would be an interrupted handshake each time, and after `max_connect_errors` of them (100) in a row
 * the server blocks this host, and with it every client of the proxy. A new one now and then must be tried all the same:
 * a machine that lost its power doesn't tell that the old one is gone.
 */
const HANDSHAKE_PATIENCE_MS = 10_000;

export interface MysqlProberOptions {
  readonly address: Address;
  readonly check: CheckConfig<'mysql'>;
  readonly clock: Clock;
}

/** Nothing is opened before the first `probe()`. Never throws: what is wrong with the options is a probe's answer. */
export function createMysqlProber(options: MysqlProberOptions): ProberFactory {
  return onLost => new MysqlProber(options, onLost);
}

type Side = 'open' | 'fresh';

/** One probe under way. */
interface Run {
  readonly interviews: Readonly<Record<Side, Interview | null>>;
  readonly parts: Record<Side, Part>;
  readonly resolve: (answer: ProbeAnswer) => void;
  timer: Timer;
}

const closing = failure('L4LOST', 'the probe was ended');

class MysqlProber implements Prober {
  readonly #options: MysqlProberOptions;
  readonly #onLost: (detail: string) => void;
  #open: Interview | null = null;
  /** A connection whose handshake didn't end in time; the next probe goes on waiting for it. */
  #late: { readonly interview: Interview; readonly since: MonotonicMs } | null = null;
  #freshDueAt: MonotonicMs = 0;
  #run: Run | null = null;
  #closed = false;

  constructor(options: MysqlProberOptions, onLost: (detail: string) => void) {
    this.#options = options;
    this.#onLost = onLost;
  }

  probe(): Promise<ProbeAnswer> {
    if (this.#closed) return Promise.resolve(closing);
    const { clock, check } = this.#options;
    return new Promise(resolve => {
      const open = this.#open;
      const freshDue = open === null || (check.reconnectIntervalMs > 0 && clock.now() >= this.#freshDueAt);
      const fresh = freshDue ? this.#connect() : null;
      const run: Run = {
        interviews: { open, fresh },
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
    this.#open?.session.end(closing);
    this.#open = null;
    this.#late?.interview.session.end(closing);
    this.#late = null;
    if (run === null) return;
    run.interviews.fresh?.session.end(closing);
    this.#settle(run, closing);
  }

  #connect(): Interview {
    const { clock, check } = this.#options;
    this.#freshDueAt = clock.now() + check.reconnectIntervalMs;
    const late = this.#late;
    if (late !== null && late.interview.session.phase !== 'ended') {
      if (clock.now() - late.since < HANDSHAKE_PATIENCE_MS) return late.interview;
      late.interview.session.end(closing);
    }
    this.#late = null;
    const interview: Interview = new Interview(this.#options, detail => this.#idleLoss(interview, detail));
    return interview;
  }

  async #ask(run: Run, side: Side, interview: Interview): Promise<void> {
    const part = await interview.ask();
    if (this.#run !== run || run.parts[side].kind !== 'pending') return;
    run.parts[side] = part;
    this.#judge(run);
  }

  #idleLoss(interview: Interview, detail: string): void {
    const run = this.#run;
    if (run?.interviews.open === interview) {
      // It had answered, and was lost while the fresh connection was still under way.
      run.parts.open = { kind: 'failed', failure: failure('L4LOST', detail), alive: false };
      this.#judge(run);
    } else if (this.#open === interview) {
      this.#open = null;
      this.#onLost(detail);
    }
  }

  #expire(run: Run): void {
    if (this.#run !== run) return;
    for (const side of ['open', 'fresh'] as const) {
      const interview = run.interviews[side];
      if (interview === null || run.parts[side].kind !== 'pending') continue;
      const reason = interview.timeout();
      run.parts[side] = { kind: 'failed', failure: reason, alive: false };
      if (interview.session.amidHandshake) this.#keepLate(interview);
      else interview.session.end(reason);
    }
    this.#judge(run);
  }

  #keepLate(interview: Interview): void {
    if (this.#late?.interview !== interview) this.#late = { interview, since: this.#options.clock.now() };
  }

  #judge(run: Run): void {
    const verdict = judge(run.parts.open, run.parts.fresh);
    if (verdict === null) return;
    const { open, fresh } = run.interviews;
    this.#open = verdict.keep === 'none' ? null : run.interviews[verdict.keep];
    if (this.#late?.interview === this.#open) this.#late = null;
    if (verdict.keep !== 'open') open?.session.end(closing);
    if (verdict.keep !== 'fresh' && fresh !== this.#late?.interview) fresh?.session.end(closing);
    if (verdict.doubt) this.#freshDueAt = 0;
    this.#settle(run, verdict.answer);
  }

  #settle(run: Run, answer: ProbeAnswer): void {
    run.timer.cancel();
    this.#run = null;
    run.resolve(answer);
  }
}

function partFor(interview: Interview | null): Part {
  return interview === null ? { kind: 'absent' } : { kind: 'pending' };
}
