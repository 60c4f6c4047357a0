// A rate that one thread keeps for itself: who may go now, and when the next may. Pure: time comes in.
// Used for words to refused clients (client-limits.ts) and for the pace after a failover (surge.ts).

import { type RateConfig } from '../../config/schema.ts';
import { type MonotonicMs } from '../../core/clock.ts';
import { nextAt, rateOf, taken, type Rate } from './gcra.ts';

export class Pacer {
  readonly #rate: Rate;
  #fullAt: MonotonicMs = -Infinity;

  constructor(config: RateConfig) {
    this.#rate = rateOf(config);
  }

  /** False, and nothing changes, for one too many. */
  take(now: MonotonicMs): boolean {
    const next = taken(this.#fullAt, now, this.#rate);
    if (next !== null) this.#fullAt = next;
    return next !== null;
  }

  /** How many may go now. */
  room(now: MonotonicMs): number {
    const { intervalMs, toleranceMs } = this.#rate;
    return Math.floor((toleranceMs - (Math.max(this.#fullAt, now) - now)) / intervalMs);
  }

  /** When the next may go; in the past if it may now. */
  nextAt(): MonotonicMs {
    return nextAt(this.#fullAt, this.#rate);
  }
}
