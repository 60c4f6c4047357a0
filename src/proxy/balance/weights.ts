// How much of the new sessions a server is to get now: its weight, or less while it grows back into its share.
// Not the choice (pickers.ts). Pure.

import { type MonotonicMs } from '../../core/clock.ts';
import { type ServerView } from '../../topology/model.ts';
import { SLOW_START_FIRST_SHARE } from '../bounds.ts';

/** When it is, and how long a server that came up takes to grow to its weight. */
export interface RampClock {
  readonly now: MonotonicMs;
  readonly slowStartMs: number;
}

/** Above 0. A straight line from a tenth of the weight, at the moment it came up, to all of it. */
export function weightNow({ weight, upSince }: ServerView, { now, slowStartMs }: RampClock): number {
  if (slowStartMs === 0 || upSince === null) return weight;
  const upMs = Math.max(0, now - upSince);
  if (upMs >= slowStartMs) return weight;
  return weight * (SLOW_START_FIRST_SHARE + (1 - SLOW_START_FIRST_SHARE) * (upMs / slowStartMs));
}

/** Whether all are to get the same: asked for every new client, so nothing is made here. */
export function areEqual(servers: readonly ServerView[], ramp: RampClock): boolean {
  const [first] = servers;
  if (first === undefined) return true;
  const weight = weightNow(first, ramp);
  for (const server of servers) {
    if (weightNow(server, ramp) !== weight) return false;
  }
  return true;
}
