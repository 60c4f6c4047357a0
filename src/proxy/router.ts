// From a route and a view to the servers to try, or the word to wait. Pure: the picker's state comes in as numbers.
// Not the session (session.ts), which asks here before it dials and again before it joins client and server.

import { type Balance, type Route } from '../config/schema.ts';
import { type MonotonicMs } from '../core/clock.ts';
import {
  acceptsWrites,
  isReadable,
  isServing,
  isWritable,
  readable,
  serving,
} from '../topology/eligibility.ts';
import { type BackendView, type ServerView } from '../topology/model.ts';
import { pickers, type PickContext } from './balance/pickers.ts';

export type RouteDecision =
  /** Never empty, first choice first, each server once. */
  { readonly kind: 'candidates'; readonly servers: readonly ServerView[] } | { readonly kind: 'hold' };

export interface RoutePolicy {
  readonly route: Route;
  readonly balance: Balance;
  /** Replicas further behind are left out; null: any lag will do. */
  readonly maxLagMs: number | null;
}

export type Eligibility = Pick<RoutePolicy, 'route' | 'maxLagMs'>;

const hold: RouteDecision = { kind: 'hold' };

/**
 * The order is the picker's, but a primary that stands in for replicas always comes after them.
 * `context` is asked for only when there is something to choose.
 */
export function decide(
  policy: RoutePolicy,
  view: BackendView,
  now: MonotonicMs,
  context: () => PickContext,
): RouteDecision {
  const preferred = preferredServers(policy, view, now);
  const ordered = preferred.length < 2 ? preferred : pickers[policy.balance](preferred, context());
  const fallback = policy.route === 'replica-or-primary' ? acceptsWrites(view, now) : null;
  const servers = fallback === null ? ordered : [...ordered, fallback];
  return servers.length === 0 ? hold : { kind: 'candidates', servers };
}

/** Whether a new client may be joined to this server now (safety rule 1). */
export function mayServe(policy: Eligibility, view: BackendView, now: MonotonicMs, name: string): boolean {
  const server = view.servers.find(candidate => candidate.name === name);
  return server !== undefined && isEligible(server, policy, view, now);
}

/** Whether a client that came now would be given any server. */
export function hasServer(policy: Eligibility, view: BackendView, now: MonotonicMs): boolean {
  return view.servers.some(server => isEligible(server, policy, view, now));
}

function isEligible(
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

function preferredServers(
  { route, maxLagMs }: Eligibility,
  view: BackendView,
  now: MonotonicMs,
): readonly ServerView[] {
  switch (route) {
    case 'primary': {
      const primary = acceptsWrites(view, now);
      return primary === null ? [] : [primary];
    }
    case 'replica':
    case 'replica-or-primary':
      return readable(view, now, maxLagMs);
    case 'any':
      return serving(view, now);
  }
}
