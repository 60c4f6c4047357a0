// Which servers may be given to a client right now: safety rule 1 as functions from a view to servers.
// Not the election (elect.ts) and not the order among several (proxy/balance). Called by the proxy's router,
// once to choose a server and once more after the connection to it was made: several times per client, so a question
// about one server is answered without looking at the others.

import { type FrontendConfig, type Route } from '../config/schema.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { factsOf } from '../health/result.ts';
import { hasRoles, isFresh, type BackendView, type ServerView } from './model.ts';
import { limitsOf } from './standing.ts';

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

/** Whether it is a replica to read from: one that is within the limits of who asks. */
function isReadable(server: ServerView, view: BackendView, now: MonotonicMs, wanted: Eligibility): boolean {
  if (!isAnswering(server, view, now)) return false;
  return factsOf(server.result)?.role === 'replica' && isWithin(server, wanted);
}

/** Of a replica: neither beyond a limit nor, where that counts, one that commits don't wait for. */
function isWithin({ standing }: ServerView, { limits, synchronousOnly }: Eligibility): boolean {
  if (synchronousOnly && standing.synchronous !== 'yes') return false;
  return limits.length === 0 || !limits.some(limit => standing.beyond.includes(limit));
}

/** What a frontend wants of a server. */
export interface Eligibility {
  readonly route: Route;
  /** Replicas beyond one of them are left out (standing.ts). */
  readonly limits: readonly string[];
  /** Replicas that commits don't wait for are left out. */
  readonly synchronousOnly: boolean;
}

export function eligibilityOf(
  config: Pick<FrontendConfig, 'route' | 'maxLagMs' | 'maxLagBytes' | 'synchronousOnly'>,
): Eligibility {
  const { route, synchronousOnly } = config;
  return { route, limits: limitsOf(config), synchronousOnly };
}

/** Whether a client of this route may be given this server. */
export function isEligible(
  server: ServerView,
  wanted: Eligibility,
  view: BackendView,
  now: MonotonicMs,
): boolean {
  switch (wanted.route) {
    case 'primary':
      return isWritable(server, view, now);
    case 'replica':
      return isReadable(server, view, now, wanted);
    case 'replica-or-primary':
      return isReadable(server, view, now, wanted) || isWritable(server, view, now);
    case 'any':
      return isServing(server, view, now) && (!isReplica(server) || isWithin(server, wanted));
  }
}

const isReplica = ({ result }: ServerView): boolean => factsOf(result)?.role === 'replica';

/** The one server that `isWritable`, if there is. */
export function acceptsWrites(view: BackendView, now: MonotonicMs): ServerView | null {
  return view.servers.find(server => isWritable(server, view, now)) ?? null;
}

/** Those that `isEligible` is true of, in file order; a primary that stands in for replicas isn't among them. */
export function eligible(view: BackendView, now: MonotonicMs, wanted: Eligibility): readonly ServerView[] {
  if (wanted.route === 'replica-or-primary') {
    return only(view.servers, server => isReadable(server, view, now, wanted));
  }
  return only(view.servers, server => isEligible(server, wanted, view, now));
}

/** Never one that an operator took out: neither in drain nor in maintenance are there new sessions. */
function isAnswering({ health, result, admin }: ServerView, view: BackendView, now: MonotonicMs): boolean {
  return admin === 'ready' && health.kind === 'up' && isFresh(result, now, view.freshnessMs);
}

/** As a rule all are fine: then the list itself is the answer, and nothing is copied for each new client. */
function only(servers: readonly ServerView[], test: (server: ServerView) => boolean): readonly ServerView[] {
  return servers.every(test) ? servers : servers.filter(test);
}
