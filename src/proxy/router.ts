// From a route and a view to the servers to try, or the word to wait. Pure: the picker's state comes in as numbers.
// Not the session (session.ts), which asks here before it dials and again before it joins client and server.

import { type Balance } from '../config/schema.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { acceptsWrites, isEligible, readable, serving, type Eligibility } from '../topology/eligibility.ts';
import { isSameAddress } from '../core/address.ts';
import { type BackendView, type ServerView } from '../topology/model.ts';
import { pickers, type PickContext } from './balance/pickers.ts';

export type RouteDecision =
  /** Never empty, first choice first, each server once. */
  { readonly kind: 'candidates'; readonly servers: readonly ServerView[] } | { readonly kind: 'hold' };

export interface RoutePolicy extends Eligibility {
  readonly balance: Balance;
}

const hold: RouteDecision = { kind: 'hold' };

/** Whether clients could not connect to a server lately, for all that is known of it. */
export type Doubt = (server: ServerView, view: BackendView, now: MonotonicMs) => boolean;

/**
 * The order is the picker's, but a primary that stands in for replicas always comes after them, and whoever is doubted
 * after everybody else: still there when nobody else is. A primary has no stand-in, so it is tried, doubted or not.
 * `context` is asked for only when there is something to choose.
 */
export function decide(
  policy: RoutePolicy,
  view: BackendView,
  now: MonotonicMs,
  isDoubted: Doubt,
  context: () => PickContext,
): RouteDecision {
  const preferred = preferredServers(policy, view, now);
  const trusted = trustedAmong(preferred, view, now, isDoubted);
  // Chosen among those alone: else the neighbour of a doubted one would get its share as well.
  const ordered = trusted.length < 2 ? trusted : pickers[policy.balance](trusted, context());
  const fallback = policy.route === 'replica-or-primary' ? acceptsWrites(view, now) : null;
  if (trusted === preferred) return candidates(fallback === null ? ordered : [...ordered, fallback]);
  const doubted = preferred.filter(server => isDoubted(server, view, now));
  if (fallback === null) return candidates([...ordered, ...doubted]);
  const helps = !isDoubted(fallback, view, now);
  return candidates(helps ? [...ordered, fallback, ...doubted] : [...ordered, ...doubted, fallback]);
}

function candidates(servers: readonly ServerView[]): RouteDecision {
  return servers.length === 0 ? hold : { kind: 'candidates', servers };
}

/** As a rule all are: then the list itself is the answer. */
function trustedAmong(
  servers: readonly ServerView[],
  view: BackendView,
  now: MonotonicMs,
  isDoubted: Doubt,
): readonly ServerView[] {
  for (const server of servers) {
    if (isDoubted(server, view, now)) return servers.filter(other => !isDoubted(other, view, now));
  }
  return servers;
}

/** Whether a new client may be joined to this server now (safety rule 1): the one of that name and address. */
export function mayServe(
  policy: Eligibility,
  view: BackendView,
  now: MonotonicMs,
  { name, address }: Pick<ServerView, 'name' | 'address'>,
): boolean {
  const server = view.servers.find(candidate => candidate.name === name);
  if (server === undefined || !isSameAddress(server.address, address)) return false;
  return isEligible(server, policy, view, now);
}

/** Whether a client that came now would be given any server. */
export function hasServer(policy: Eligibility, view: BackendView, now: MonotonicMs): boolean {
  return view.servers.some(server => isEligible(server, policy, view, now));
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
