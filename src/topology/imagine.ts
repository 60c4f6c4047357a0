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

/** In the order of time: what would be at once, and then each change of the primary. */
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
      directive: before.directive,
      now: now + afterMs,
      freshnessMs,
    });
    const after = nextView(before, { servers, opinion: supposed.opinion }, verdict);
    return { afterMs, view: after, refusals: verdict.refusals };
  };
  const first = elect(view, supposed.servers, 0);
  const outlooks = [first];
  for (const afterMs of momentsFor(supposed.servers, settleMs, now)) {
    const before = outlooks.at(-1) ?? first;
    const next = elect(before.view, later(supposed.servers, now + afterMs), afterMs);
    if (next.view.primary !== before.view.primary) outlooks.push(next);
  }
  return outlooks;
}

/** When an election may end otherwise, from now: as each writer is settled, and when all that may be waited for has passed. */
function momentsFor(servers: readonly ServerView[], settleMs: number, now: MonotonicMs): readonly number[] {
  const settled = servers.flatMap(({ writableSince }) =>
    writableSince === null ? [] : [Math.ceil(writableSince + settleMs - now)],
  );
  const ahead = settled.filter(afterMs => afterMs > 0);
  return [...new Set([...ahead, Math.max(WAITS_MAX_MS, settleMs + 1)])].sort((a, b) => a - b);
}
