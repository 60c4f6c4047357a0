// Health as a tiny pure reducer: unknown, up, down, moved by probe results with rise and fall.
// Not role (a replica is healthy) and not admin state. Called by the monitor.

import { type MonotonicMs } from '../core/clock.ts';
import { hasPassed, outcomeOf, type FailureCode, type ProbeResult } from './result.ts';

export type HealthState =
  | { readonly kind: 'unknown'; readonly passes: number; readonly fails: number }
  | { readonly kind: 'up'; readonly fails: number }
  | {
      readonly kind: 'down';
      readonly passes: number;
      readonly since: MonotonicMs;
      readonly lastError: FailureCode;
    };

export interface HealthPolicy {
  /** Good probes in a row before a server that isn't up is up. */
  readonly rise: number;
  /** Failed probes in a row before a server that isn't down is down. */
  readonly fall: number;
}

export const initialHealth: HealthState = { kind: 'unknown', passes: 0, fails: 0 };

/** An inconclusive result returns the same state: it neither raises nor clears a counter. */
export function observe(
  state: HealthState,
  result: ProbeResult,
  policy: HealthPolicy,
): { state: HealthState; changed: boolean } {
  const next = step(state, result, policy);
  return { state: next, changed: next.kind !== state.kind };
}

function step(state: HealthState, result: ProbeResult, policy: HealthPolicy): HealthState {
  const outcome = outcomeOf(result);
  if (outcome === 'inconclusive') return state;
  if (hasPassed(result)) {
    if (state.kind === 'up') return state.fails === 0 ? state : { kind: 'up', fails: 0 };
    const passes = state.passes + 1;
    if (passes >= policy.rise) return { kind: 'up', fails: 0 };
    return state.kind === 'down' ? { ...state, passes } : { kind: 'unknown', passes, fails: 0 };
  }
  if (state.kind === 'down') return { ...state, passes: 0, lastError: result.code };
  const fails = state.fails + 1;
  if (fails >= policy.fall) return { kind: 'down', passes: 0, since: result.at, lastError: result.code };
  return state.kind === 'up' ? { kind: 'up', fails } : { kind: 'unknown', passes: 0, fails };
}
