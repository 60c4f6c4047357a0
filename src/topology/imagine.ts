// What would be elected if something were otherwise: the real election on a copy of its memory, at once and when what it
// may be waiting for (a successor that catches up, check.settle) has passed. Pure; for `explain` only.

import { type MonotonicMs } from '../core/clock.ts';
import { later, suppose, type Assumption } from './assumptions.ts';
import { type Elector, type Verdict } from './elector.ts';
import { type BackendView, type Opinion, type ServerView } from './model.ts';
import { nextView } from './next-view.ts';

/** How long the evidence of any protocol waits for a successor, and a little more. */
const WAITS_MAX_MS = 2500;

export interface Outlook {
  /** From now. */
  readonly afterMs: number;
  readonly view: BackendView;
  /** By server: why one that says it is writable may not be followed. */
  readonly refusals: ReadonlyMap<string, string>;
}

export interface Imagining {
  readonly view: BackendView;
  readonly opinion: Opinion | null;
  readonly elector: Elector;
  readonly settleMs: number;
  readonly freshnessMs: number;
}

/** In the order of time; one alone where time changes nothing. */
export function imagine(
  { view, opinion, elector, settleMs, freshnessMs }: Imagining,
  assumptions: readonly Assumption[],
  now: MonotonicMs,
): readonly Outlook[] {
  const supposed = suppose({ servers: view.servers, opinion }, assumptions, now);
  const rehearsal = elector.rehearse();
  const elect = (before: BackendView, servers: readonly ServerView[], afterMs: number): Outlook => {
    const verdict: Verdict = rehearsal.elect({
      servers,
      current: before.primary,
      opinion: supposed.opinion,
      now: now + afterMs,
      freshnessMs,
    });
    const after = nextView(before, { servers, opinion: supposed.opinion }, verdict);
    return { afterMs, view: after, refusals: verdict.refusals };
  };
  const first = elect(view, supposed.servers, 0);
  const waitMs = Math.max(WAITS_MAX_MS, settleMs + 1);
  const last = elect(first.view, later(supposed.servers, waitMs), waitMs);
  return last.view.primary === first.view.primary ? [first] : [first, last];
}
