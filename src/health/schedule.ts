// When to ask next: a pure function from what is known to a delay. No timer here; the monitor owns that.
// Three tempos: calm (all is well), doubt (something moves), vacant (the backend has no primary).

import { type Random } from '../core/random.ts';
import { type HealthState } from './state.ts';
import { factsOf, outcomeOf, type CheckCode, type ProbeResult } from './result.ts';

export type Tempo = 'calm' | 'doubt' | 'vacant';

export interface SchedulePolicy {
  readonly intervalMs: number;
  readonly fastIntervalMs: number;
  readonly promotionIntervalMs: number;
}

/** The share of `interval` by which calm probes are spread, so that many servers aren't asked in step. */
const CALM_JITTER = 0.1;

/** Nothing that passes in a moment, and servers write a line to their log each time (or lock the user out). */
const needsAPerson: ReadonlySet<CheckCode> = new Set(['L6RSP', 'L7AUTH', 'L7BLOCK', 'L7DB', 'L7STS']);

/**
 * Milliseconds from the *start* of the last probe to the start of the next; 0 means at once.
 *
 * A primary is killed, then its standby promoted (interval 1s, fast 50ms, promotion 10ms):
 *   0 ms     session lost            -> ask again at once (0)
 *   1 ms     refused, down           -> the backend is vacant: fast (50), and those that may be next: promotion (10)
 *   640 ms   replica says writable   -> elected; the backend is calm again: interval (1000 ± 10 %)
 *   …        dead server stays down  -> interval: a long-dead node isn't worth a fast tempo
 */
export function nextDelayMs(
  state: { health: HealthState; result: ProbeResult | null; tempo: Tempo },
  policy: SchedulePolicy,
  random: Random,
): number {
  const { health, result, tempo } = state;
  if (result === null || result.code === 'L4LOST') return 0;
  const calmMs = policy.intervalMs * (1 + CALM_JITTER * (2 * random() - 1));
  if (needsAPerson.has(result.code)) return calmMs;
  if (tempo === 'vacant') {
    // A replica may be promoted at any moment, one that was may stop being read-only (pg_auto_failover keeps it so until the
    // old primary must have gone), and a writable server that is refused may catch up.
    return factsOf(result) !== null ? policy.promotionIntervalMs : policy.fastIntervalMs;
  }
  if (tempo === 'doubt' || outcomeOf(result) === 'inconclusive' || !isSettled(health))
    return policy.fastIntervalMs;
  return calmMs;
}

function isSettled(health: HealthState): boolean {
  switch (health.kind) {
    case 'unknown':
      return false;
    case 'up':
      return health.fails === 0;
    case 'down':
      return health.passes === 0;
  }
}

/** The oldest a result may be and still be evidence: one full round of a calm, slow probe, and a little slack. */
export function freshnessBoundMs(policy: { intervalMs: number; timeoutMs: number }): number {
  return policy.intervalMs * (1 + CALM_JITTER) + policy.timeoutMs + 250;
}
