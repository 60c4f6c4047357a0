// The effect shell around one server's probing: runs the prober on the schedule, feeds the reducer, reports each result.
// One per server, whatever number of frontends use it; never two probes at once. Made and ended by app.

import { type Clock, type MonotonicMs, type Timer } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';
import { truncate } from '../core/limits.ts';
import { type Random } from '../core/random.ts';
import { type ProbeAnswer, type Prober, type ProberFactory } from './prober.ts';
import { type ProbeResult } from './result.ts';
import { nextDelayMs, type SchedulePolicy, type Tempo } from './schedule.ts';
import { initialHealth, observe, type HealthPolicy, type HealthState } from './state.ts';

/** Clients that fail by the hundred ask for no more probes than this, from start to start; the fast tempo's own default. */
const ASKED_INTERVAL_MS = 50;

export interface MonitorDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly prober: ProberFactory;
  readonly policy: HealthPolicy & SchedulePolicy;
  /** Asked before each wait: how the backend fares as a whole. */
  readonly tempo: () => Tempo;
  readonly report: (health: HealthState, result: ProbeResult) => void;
  /** What is known of the server already: it is asked in another way from now on. Left out: nothing. */
  readonly known?: { readonly health: HealthState; readonly result: ProbeResult | null };
}

export class Monitor {
  readonly #deps: MonitorDeps;
  readonly #prober: Prober;
  #health: HealthState;
  #result: ProbeResult | null;
  #startedAt: MonotonicMs = 0;
  #phase: 'idle' | 'waiting' | 'probing' | 'stopped' = 'idle';
  #timer: Timer | null = null;
  #dueAt: MonotonicMs = 0;
  /** Asked for while a probe was under way, which may have begun before what the asker knows. */
  #askedAgain = false;

  constructor(deps: MonitorDeps) {
    this.#deps = deps;
    this.#health = deps.known?.health ?? initialHealth;
    this.#result = deps.known?.result ?? null;
    this.#prober = deps.prober(detail => this.#sessionLost(detail));
  }

  start(): void {
    if (this.#phase === 'idle') this.#probe();
  }

  /** The tempo may have changed: probe earlier if the schedule now says so, never later. */
  retune(): void {
    if (this.#phase !== 'waiting') return;
    const due = this.#startedAt + this.#delay();
    if (due < this.#dueAt) this.#wait(due);
  }

  /** Somebody found the server out of reach: probe at once, or as soon as one may follow the last. */
  askNow(): void {
    if (this.#phase === 'probing') this.#askedAgain = true;
    if (this.#phase !== 'waiting') return;
    const due = Math.max(this.#deps.clock.now(), this.#startedAt + ASKED_INTERVAL_MS);
    if (due < this.#dueAt) this.#wait(due);
  }

  stop(): void {
    this.#phase = 'stopped';
    this.#timer?.cancel();
    this.#timer = null;
    this.#prober.close();
  }

  #probe(): void {
    this.#phase = 'probing';
    this.#askedAgain = false;
    this.#startedAt = this.#deps.clock.now();
    this.#prober.probe().then(
      answer => this.#answered(answer),
      (thrown: unknown) =>
        this.#answered({ code: 'L7RSP', detail: `prober failed: ${describeError(thrown).message}` }),
    );
  }

  #answered(answer: ProbeAnswer): void {
    if (this.#phase === 'stopped') return;
    this.#phase = 'waiting';
    this.#record(answer, this.#deps.clock.now() - this.#startedAt);
    this.#wait(this.#startedAt + this.#delay());
    if (this.#askedAgain) this.askNow();
  }

  /** A lost session is a result of its own, known without asking; the question follows at once. */
  #sessionLost(detail: string): void {
    if (this.#phase !== 'waiting') return;
    this.#record({ code: 'L4LOST', detail }, 0);
    this.#timer?.cancel();
    this.#probe();
  }

  #record(answer: ProbeAnswer, durationMs: number): void {
    const stamped = { at: this.#deps.clock.now(), wallAt: this.#deps.clock.wall(), durationMs };
    const result: ProbeResult = { ...answer, ...stamped, detail: truncate(answer.detail) };
    this.#result = Object.freeze(result);
    this.#health = observe(this.#health, result, this.#deps.policy).state;
    this.#deps.report(this.#health, result);
  }

  #delay(): number {
    const { policy, random, tempo } = this.#deps;
    return nextDelayMs({ health: this.#health, result: this.#result, tempo: tempo() }, policy, random);
  }

  #wait(dueAt: MonotonicMs): void {
    if (this.#phase !== 'waiting') return;
    this.#timer?.cancel();
    this.#dueAt = dueAt;
    this.#timer = this.#deps.clock.schedule(Math.max(0, dueAt - this.#deps.clock.now()), () => this.#probe());
  }
}
