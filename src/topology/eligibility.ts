// Which servers may be given to a client right now: safety rule 1 as functions from a view to servers.
// Not the election (elect.ts) and not the order among several (proxy/balance). Called by the proxy's router,
// once to choose a server and once more after the connection to it was made.

import { type MonotonicMs } from '../core/clock.ts';
import { factsOf } from '../health/result.ts';
import { isFresh, type BackendView, type ServerView } from './model.ts';

/**
 * The primary, if its newest result says "writable" and is not older than `freshnessMs`; else null.
 * An elected primary in doubt (a missed probe, a busy server) is not accepting: it keeps its sessions and gets no new ones.
 */
export function acceptsWrites(view: BackendView, now: MonotonicMs): ServerView | null {
  const server = view.servers.find(candidate => candidate.name === view.primary);
  if (server === undefined || server.health.kind !== 'up') return null;
  const facts = factsOf(server.result);
  if (facts === null || facts.role !== 'primary' || !facts.writable) return null;
  return isFresh(server.result, now, view.freshnessMs) ? server : null;
}

/**
 * The primary and the replicas (without roles: all) that are up and whose newest result is a fresh answer, in file order. A server that says
 * it is a primary and was not elected (an old one that returned, split brain) serves nobody, not even readers.
 */
export function serving(view: BackendView, now: MonotonicMs): readonly ServerView[] {
  return view.servers.filter(({ name, health, result }) => {
    const facts = factsOf(result);
    return (
      health.kind === 'up' &&
      facts !== null &&
      (facts.role !== 'primary' || name === view.primary) &&
      isFresh(result, now, view.freshnessMs)
    );
  });
}

/** Replicas to read from, in file order. With `maxLagMs`, only those that replicate and are known to be no further behind. */
export function readable(
  view: BackendView,
  now: MonotonicMs,
  maxLagMs: number | null,
): readonly ServerView[] {
  return serving(view, now).filter(({ result }) => {
    const facts = factsOf(result);
    if (facts?.role !== 'replica') return false;
    const { replicating, lagSeconds } = facts;
    return (
      maxLagMs === null || (replicating === true && lagSeconds !== null && lagSeconds * 1000 <= maxLagMs)
    );
  });
}
