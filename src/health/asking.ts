// One question asked again and again: after a pause that its last answer decides, and out of turn for whoever can't wait.
// Never two at once. Knows no protocol and no socket: the clients of those who are asked beside the servers (Sentinel, Patroni,
// pg_auto_failover, DNS) bring the question. Not the probing of servers: that has rises, falls and tempos (monitor.ts).

import { type Clock, type MonotonicMs, type Timer } from '../core/clock.ts';

/** What came of one question. */
export interface Round {
  /** From now to the next question. */
  readonly pauseMs: number;
  /** Passes the answer on. Called when the next question is arranged: whoever hears it may ask at once, or stop it. */
  tell(): void;
}

export class Asking {
  readonly #clock: Clock;
  readonly #ask: () => Promise<Round>;
  #phase: 'idle' | 'waiting' | 'asking' | 'stopped' = 'idle';
  #timer: Timer | null = null;
  #startedAt: MonotonicMs = 0;
  #dueAt: MonotonicMs = 0;
  /** Asked for while a question was under way, which may have been answered before what the asker knows. */
  #againGapMs: number | null = null;

  /** `ask` never rejects, and settles by a time limit of its own; what it settles to after `stop` counts no more. */
  constructor(clock: Clock, ask: () => Promise<Round>) {
    this.#clock = clock;
    this.#ask = ask;
  }

  start(): void {
    if (this.#phase === 'idle') void this.#run();
  }

  /** What is under way is the caller's to end. Nothing is told any more. */
  stop(): void {
    this.#phase = 'stopped';
    this.#timer?.cancel();
  }

  /** As it may be while an answer is awaited. */
  get isStopped(): boolean {
    return this.#phase === 'stopped';
  }

  /** As soon as a question may follow the last: `gapMs` after its start, or when it is answered. Later than planned: never. */
  askNow(gapMs = 0): void {
    if (this.#phase === 'asking') this.#againGapMs = Math.min(this.#againGapMs ?? gapMs, gapMs);
    if (this.#phase !== 'waiting') return;
    const dueAt = Math.min(this.#dueAt, this.#startedAt + gapMs);
    this.#timer?.cancel();
    if (dueAt <= this.#clock.now()) void this.#run();
    else this.#waitUntil(dueAt);
  }

  async #run(): Promise<void> {
    this.#phase = 'asking';
    this.#againGapMs = null;
    this.#startedAt = this.#clock.now();
    const { pauseMs, tell } = await this.#ask();
    if (this.isStopped) return;
    this.#phase = 'waiting';
    const again = this.#againGapMs === null ? Infinity : this.#startedAt + this.#againGapMs;
    this.#waitUntil(Math.min(this.#clock.now() + pauseMs, again));
    tell();
  }

  #waitUntil(dueAt: MonotonicMs): void {
    this.#dueAt = dueAt;
    this.#timer = this.#clock.schedule(Math.max(0, dueAt - this.#clock.now()), () => void this.#run());
  }
}
