// The prober of whatever keeps a session: one that is long-lived and asked at every probe, and now and then a fresh connection
// beside it, which takes its place. An open session alone would not show a server that serves no new ones.
// Not the schedule and not health (the monitor calls it), nor what is asked: that is each protocol's Interview.
// Owns its interviews and its one timer.

import { type Clock, type MonotonicMs, type Timer } from '../../core/clock.ts';
import { type ProbeAnswer, type Prober } from '../prober.ts';
import { failure, type Failure } from './failures.ts';
import { judge, type Part } from './verdict.ts';

/**
 * So many times the probe's timeout new connections may take while the open session answers, before that means hung: a server
 * with a storm of logins to serve is slow to accept one more, and would be worse off without its clients.
 */
const SLOW_TIMEOUTS = 3;

/** One session to a server, and all that a probe asks over it. */
export interface Interview {
  /** Asks over the session, at the first time once it is open. Not again before it has settled. Never rejects. */
  ask(): Promise<Part>;
  /** What it means that there is no answer by now. */
  timeout(): Failure;
  readonly hasEnded: boolean;
  /** To hang up now would be held against us: the next probe goes on waiting for this connection. */
  readonly mustBeWaitedFor: boolean;
  /** For good; what is under way fails with `reason`. Harmless when it has ended. */
  end(reason: Failure): void;
}

export interface SessionProberOptions {
  readonly check: { readonly timeoutMs: number; readonly reconnectIntervalMs: number };
  readonly clock: Clock;
  /** How long a connection that must be waited for is, by one probe after another. */
  readonly patienceMs: number;
  /** Starts to connect. `onIdleLoss`: the server ended the session while nothing was asked. */
  readonly connect: (onIdleLoss: (detail: string) => void) => Interview;
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

/** Nothing is opened before the first `probe()`. Never throws: what is wrong with the options is a probe's answer. */
export class SessionProber implements Prober {
  readonly #options: SessionProberOptions;
  readonly #onLost: (detail: string) => void;
  #open: Interview | null = null;
  /** A connection whose handshake didn't end in time. */
  #late: { readonly interview: Interview; readonly since: MonotonicMs } | null = null;
  #freshDueAt: MonotonicMs = 0;
  /** Since when fresh connections have not ended in time, one way or another. */
  #slowSince: MonotonicMs | null = null;
  #run: Run | null = null;
  /** Questions that have no answer yet. */
  readonly #underWay = new WeakMap<Interview, Promise<Part>>();
  #closed = false;

  constructor(options: SessionProberOptions, onLost: (detail: string) => void) {
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
    this.#open?.end(closing);
    this.#open = null;
    this.#late?.interview.end(closing);
    this.#late = null;
    if (run === null) return;
    run.interviews.fresh?.end(closing);
    this.#settle(run, closing);
  }

  #connect(): Interview {
    const { clock, check, patienceMs, connect } = this.#options;
    this.#freshDueAt = clock.now() + check.reconnectIntervalMs;
    const late = this.#late;
    if (late !== null && !late.interview.hasEnded) {
      const patience = Math.max(patienceMs, SLOW_TIMEOUTS * check.timeoutMs);
      if (clock.now() - late.since < patience) return late.interview;
      late.interview.end(closing);
    }
    this.#late = null;
    const interview: Interview = connect(detail => this.#idleLoss(interview, detail));
    return interview;
  }

  async #ask(run: Run, side: Side, interview: Interview): Promise<void> {
    const part = await this.#answerOf(interview, () => this.#waitsFor(run, side));
    if (part === null || !this.#waitsFor(run, side)) return;
    run.parts[side] = part;
    if (side === 'fresh') this.#slowSince = null;
    this.#judge(run);
  }

  #waitsFor(run: Run, side: Side): boolean {
    return this.#run === run && run.parts[side].kind === 'pending';
  }

  /**
   * One question at a time: of a connection that came late, that of an earlier probe is under way. What it is answered may be
   * of a moment ago, so it is asked again. `null`: nobody wants to know any more.
   */
  async #answerOf(interview: Interview, isWanted: () => boolean): Promise<Part | null> {
    const begun = this.#underWay.get(interview);
    if (begun !== undefined) {
      const earlier = await begun;
      if (earlier.kind === 'failed' && !earlier.alive) return earlier;
      if (!isWanted()) return null;
    }
    const answer = interview.ask();
    this.#underWay.set(interview, answer);
    const part = await answer;
    this.#underWay.delete(interview);
    return part;
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
      const isSlow = side === 'fresh' && this.#isMerelySlow(run);
      run.parts[side] = isSlow
        ? { kind: 'late', failure: reason }
        : { kind: 'failed', failure: reason, alive: false };
      if (isSlow || interview.mustBeWaitedFor) this.#keepLate(interview);
      else interview.end(reason);
    }
    this.#judge(run);
  }

  /** Of a fresh connection whose time is up. */
  #isMerelySlow(run: Run): boolean {
    const now = this.#options.clock.now();
    const { timeoutMs } = this.#options.check;
    this.#slowSince ??= now - timeoutMs;
    return run.parts.open.kind === 'answered' && now - this.#slowSince < SLOW_TIMEOUTS * timeoutMs;
  }

  #keepLate(interview: Interview): void {
    if (this.#late?.interview !== interview) this.#late = { interview, since: this.#options.clock.now() };
  }

  #judge(run: Run): void {
    const verdict = judge(run.parts.open, run.parts.fresh);
    if (verdict === null) return;
    const { open, fresh } = run.interviews;
    const kept = verdict.keep === 'none' ? null : run.interviews[verdict.keep];
    // An error that is an answer may have been the last word before the server hung up.
    this.#open = kept === null || kept.hasEnded ? null : kept;
    if (this.#late?.interview === kept) this.#late = null;
    if (verdict.keep !== 'open') open?.end(closing);
    if (verdict.keep !== 'fresh' && fresh !== this.#late?.interview) fresh?.end(closing);
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
