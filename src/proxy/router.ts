// From a route and a view to the servers to try, or the word to wait. Pure: the picker's state comes in as numbers.
// Not the session (session.ts), which asks here before it dials and again before it joins client and server.

import { type Balance, type Route } from '../config/schema.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { acceptsWrites, readable, serving } from '../topology/eligibility.ts';
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

/** The order is the picker's, but a primary that stands in for replicas always comes after them. */
export function decide(
  policy: RoutePolicy,
  view: BackendView,
  now: MonotonicMs,
  context: PickContext,
): RouteDecision {
  const [preferred, fallback] = tiers(policy, view, now);
  const servers = [...pickers[policy.balance](preferred, context), ...fallback];
  return servers.length === 0 ? { kind: 'hold' } : { kind: 'candidates', servers };
}

/** Whether a new client may be joined to this server now (safety rule 1). */
export function mayServe(policy: Eligibility, view: BackendView, now: MonotonicMs, server: string): boolean {
  return tiers(policy, view, now).some(tier => tier.some(candidate => candidate.name === server));
}

/** Whether a client that came now would be given any server. */
export function hasServer(policy: Eligibility, view: BackendView, now: MonotonicMs): boolean {
  return tiers(policy, view, now).some(tier => tier.length > 0);
}

type Tier = readonly ServerView[];

function tiers({ route, maxLagMs }: Eligibility, view: BackendView, now: MonotonicMs): readonly [Tier, Tier] {
  const primary = acceptsWrites(view, now);
  const primaryTier: Tier = primary === null ? [] : [primary];
  switch (route) {
    case 'primary':
      return [primaryTier, []];
    case 'replica':
      return [readable(view, now, maxLagMs), []];
    case 'replica-or-primary':
      return [readable(view, now, maxLagMs), primaryTier];
    case 'any':
      return [serving(view, now), []];
  }
}
