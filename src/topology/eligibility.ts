// Which servers may be given to a client right now: safety rule 1 as functions from a view to servers.
// Not the election (elect.ts) and not the order among several (proxy/balance). Called by the proxy's router,
// once to choose a server and once more after the connection to it was made: several times per client, so a question
// about one server is answered without looking at the others.

import { type Route } from '../config/schema.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { factsOf } from '../health/result.ts';
import { hasRoles, isFresh, type BackendView, type ServerView } from './model.ts';

/**
 * Whether this is the primary, its newest result says "writable" and is not older than `freshnessMs`.
 * An elected primary in doubt (a missed probe, a busy server) is not accepting: it keeps its sessions and gets no new ones.
 * Nor is one that a runbook is about to replace (`held`).
 */
function isWritable(server: ServerView, view: BackendView, now: MonotonicMs): boolean {
  if (server.name !== view.primary || view.held !== null || !isAnswering(server, view, now)) return false;
  const facts = factsOf(server.result);
  return facts !== null && facts.role === 'primary' && facts.writable;
}

/**
 * Whether it is up, its newest result is a fresh answer, and it isn't a server that says it is a primary and was not
 * elected (an old one that returned, split brain): that one serves nobody, not even readers. Nor does one that answers and
 * has no role where there are roles (a cluster's member that isn't ready, a server whose orchestrator contradicts it).
 */
function isServing(server: ServerView, view: BackendView, now: MonotonicMs): boolean {
  if (!isAnswering(server, view, now)) return false;
  const role = factsOf(server.result)?.role;
  if (role === 'primary') return server.name === view.primary && view.held === null;
  return role === 'replica' || (role === 'unknown' && !hasRoles(view.protocol));
}

/** Whether it is a replica to read from. With `maxLagMs`, only one that replicates and is known to be no further behind. */
function isReadable(
  server: ServerView,
  view: BackendView,
  now: MonotonicMs,
  maxLagMs: number | null,
): boolean {
  if (!isAnswering(server, view, now)) return false;
  const facts = factsOf(server.result);
  if (facts?.role !== 'replica') return false;
  const { replicating, lagSeconds } = facts;
  return maxLagMs === null || (replicating === true && lagSeconds !== null && lagSeconds * 1000 <= maxLagMs);
}

/** What a frontend wants of a server. */
export interface Eligibility {
  readonly route: Route;
  /** Replicas further behind are left out; null: any lag will do. */
  readonly maxLagMs: number | null;
}

/** Whether a client of this route may be given this server. */
export function isEligible(
  server: ServerView,
  { route, maxLagMs }: Eligibility,
  view: BackendView,
  now: MonotonicMs,
): boolean {
  switch (route) {
    case 'primary':
      return isWritable(server, view, now);
    case 'replica':
      return isReadable(server, view, now, maxLagMs);
    case 'replica-or-primary':
      return isReadable(server, view, now, maxLagMs) || isWritable(server, view, now);
    case 'any':
      return isServing(server, view, now);
  }
}

/** The one server that `isWritable`, if there is. */
export function acceptsWrites(view: BackendView, now: MonotonicMs): ServerView | null {
  return view.servers.find(server => isWritable(server, view, now)) ?? null;
}

/** The primary and the replicas (without roles: all) that `isServing` is true of, in file order. */
export function serving(view: BackendView, now: MonotonicMs): readonly ServerView[] {
  return only(view.servers, server => isServing(server, view, now));
}

/** Those that `isReadable` is true of, in file order. */
export function readable(
  view: BackendView,
  now: MonotonicMs,
  maxLagMs: number | null,
): readonly ServerView[] {
  return only(view.servers, server => isReadable(server, view, now, maxLagMs));
}

/** Never one that an operator took out: neither in drain nor in maintenance are there new sessions. */
function isAnswering({ health, result, admin }: ServerView, view: BackendView, now: MonotonicMs): boolean {
  return admin === 'ready' && health.kind === 'up' && isFresh(result, now, view.freshnessMs);
}

/** As a rule all are fine: then the list itself is the answer, and nothing is copied for each new client. */
function only(servers: readonly ServerView[], test: (server: ServerView) => boolean): readonly ServerView[] {
  return servers.every(test) ? servers : servers.filter(test);
}
