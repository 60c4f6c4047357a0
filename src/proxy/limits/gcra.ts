// Rates as arithmetic: the generic cell rate algorithm, a token bucket that is a single number, the time at which the
// bucket will be full again ("theoretical arrival time", ITU-T I.371). Pure: time comes in.
// Where the number is kept is the caller's: address-table.ts in shared memory, pacer.ts in a field.

import { type RateConfig } from '../../config/schema.ts';
import { type MonotonicMs } from '../../core/clock.ts';

export interface Rate {
  /** From one to the next when they come evenly. */
  readonly intervalMs: number;
  /** How far ahead of now the bucket may be: all of a burst. */
  readonly toleranceMs: number;
}

export function rateOf({ perSecond, burst }: RateConfig): Rate {
  const intervalMs = 1000 / perSecond;
  // A hair more, so that sums of fractions don't cost the last one of a burst.
  return { intervalMs, toleranceMs: intervalMs * (burst + 1e-6) };
}

/** What `fullAt` becomes if one more comes now; null if it is one too many. */
export function taken(fullAt: MonotonicMs, now: MonotonicMs, rate: Rate): MonotonicMs | null {
  const next = Math.max(fullAt, now) + rate.intervalMs;
  return next - now <= rate.toleranceMs ? next : null;
}

/** When the next one may come. */
export function nextAt(fullAt: MonotonicMs, { intervalMs, toleranceMs }: Rate): MonotonicMs {
  return fullAt + intervalMs - toleranceMs;
}
