// The pace at which a new primary gets clients for a while, if the operator set one. Pure: time comes in.
// One per backend and thread; begun by proxy.ts when the primary changes, asked by turnstile.ts.

import { type SurgeConfig } from '../../config/schema.ts';
import { type MonotonicMs } from '../../core/clock.ts';
import { Pacer } from './pacer.ts';

export class Surge {
  readonly #workers: number;
  #until: MonotonicMs = -Infinity;
  #burst = 0;
  #pacer: Pacer | null = null;

  /** Each of `workers` lets its share go. */
  constructor(workers: number) {
    this.#workers = workers;
  }

  begin({ perSecond, burst, forMs }: SurgeConfig, now: MonotonicMs): void {
    this.#until = now + forMs;
    this.#burst = Math.ceil(burst / this.#workers);
    this.#pacer = new Pacer({ perSecond: perSecond / this.#workers, burst: this.#burst });
  }

  isOn(now: MonotonicMs): boolean {
    return now < this.#until;
  }

  /** Clients that may be under way at once; null: whatever is usual. */
  burst(now: MonotonicMs): number | null {
    return this.isOn(now) ? this.#burst : null;
  }

  room(now: MonotonicMs): number {
    return this.#pacer !== null && this.isOn(now) ? this.#pacer.room(now) : Infinity;
  }

  went(clients: number, now: MonotonicMs): void {
    if (this.isOn(now)) for (let client = 0; client < clients; client += 1) this.#pacer?.take(now);
  }

  /** When the next may go, or the pace ends. */
  nextAt(): MonotonicMs {
    return Math.min(this.#until, this.#pacer?.nextAt() ?? -Infinity);
  }
}
