// How often a repeating trouble is told of: the first at once, then sums. Pure: time comes in.
// Not a rate limit of what happens, only of what is said about it. Used by the listener for accept errors.

import { type MonotonicMs } from '../core/clock.ts';

/** Returns how many there were since the last report (this one included) if it is time for one, else null. */
export function createThrottle(intervalMs: number): (now: MonotonicMs) => number | null {
  let toldAt: MonotonicMs = -Infinity;
  let untold = 0;
  return now => {
    untold += 1;
    if (now - toldAt < intervalMs) return null;
    const count = untold;
    toldAt = now;
    untold = 0;
    return count;
  };
}
