// From a route and a view to the servers to try, or the word to wait. Pure: the picker's state comes in as numbers.
// Not the session (session.ts), which asks here before it dials and again before it joins client and server.

import { type Balance, type FrontendConfig } from '../config/schema.ts';
import { type MonotonicMs } from '../core/clock.ts';
import {
  acceptsWrites,
  eligible,
  eligibilityOf,
  isEligible,
  type Eligibility,
} from '../topology/eligibility.ts';
import { isSameAddress } from '../core/address.ts';
import { type BackendView, type ServerView } from '../topology/model.ts';
import { pickers, type PickContext } from './balance/pickers.ts';

export type RouteDecision =
  /** Never empty, first choice first, each server once. */
  | { readonly kind: 'candidates'; readonly servers: readonly ServerView[] }
  /** `crowded`: there are servers, and none has room. */
  | { readonly kind: 'hold'; readonly crowded?: boolean };

export interface RoutePolicy extends Eligibility {
  readonly balance: Balance;
  /** Servers there are preferred; `null`: none is. */
  readonly zone: string | null;
  /** The primary takes a limited number of sessions while it stands in for replicas. */
  readonly isFallbackCapped: boolean;
}

export function policyOf(config: FrontendConfig): RoutePolicy {
  const { balance, zone, fallbackMax } = config;
  return { ...eligibilityOf(config), balance, zone, isFallbackCapped: fallbackMax !== null };
}

const hold: RouteDecision = { kind: 'hold' };

/** Whether clients could not connect to a server lately, for all that is known of it. */
export type Doubt = (server: ServerView, view: BackendView, now: MonotonicMs) => boolean;

/** Whether a primary that stands in for replicas may take one session more. */
export type Room = (primary: ServerView) => boolean;

const always: Room = () => true;

/**
 * Replicas of the frontend's zone, then those of others, in each the order is the picker's; then the primary that stands in
 * for them; then backups. Whoever is doubted comes after everybody else: still there when nobody else is. A primary has no
 * stand-in, so it is tried, doubted or not. `context` is asked for once, and only when there is something to choose.
 */
export function decide(
  policy: RoutePolicy,
  view: BackendView,
  now: MonotonicMs,
  isDoubted: Doubt,
  context: () => PickContext,
  hasRoom: Room = always,
): RouteDecision {
  const servers = eligible(view, now, policy);
  const standIn = policy.route === 'replica-or-primary' ? acceptsWrites(view, now) : null;
  const pick = picker(policy, context);
  const isPlain = policy.zone === null && !policy.isFallbackCapped && !servers.some(({ backup }) => backup);
  if (isPlain && !servers.some(server => isDoubted(server, view, now))) {
    const ordered = pick(servers);
    return candidates(standIn === null ? ordered : [...ordered, standIn]);
  }
  const trusts = (server: ServerView): boolean => !isDoubted(server, view, now);
  const regular = tiersOf(policy.zone, only(servers, false));
  const backups = tiersOf(policy.zone, only(servers, true));
  const first = regular.flatMap(tier => pick(tier.filter(trusts)));
  const doubted = regular.flatMap(tier => tier.filter(server => !trusts(server)));
  // With a limit a primary isn't the next in the list, for many may come to it at once: who fails asks here again.
  if (policy.isFallbackCapped && first.length > 0) return candidates([...first, ...doubted]);
  const spare = backups.flatMap(tier => pick(tier.filter(trusts)));
  const lastResort = [...doubted, ...backups.flatMap(tier => tier.filter(server => !trusts(server)))];
  if (standIn === null || (policy.isFallbackCapped && !hasRoom(standIn))) {
    return candidates([...first, ...spare, ...lastResort]);
  }
  return candidates(
    trusts(standIn)
      ? [...first, standIn, ...spare, ...lastResort]
      : [...first, ...spare, ...lastResort, standIn],
  );
}

type Choose = (servers: readonly ServerView[]) => readonly ServerView[];

/** For one decision: all of its choices are made in the same turn. */
function picker({ balance }: RoutePolicy, context: () => PickContext): Choose {
  let made: PickContext | null = null;
  return servers => (servers.length < 2 ? servers : pickers[balance](servers, (made ??= context())));
}

const only = (servers: readonly ServerView[], backups: boolean): readonly ServerView[] =>
  servers.filter(({ backup }) => backup === backups);

/** Those of the zone, and all others. */
function tiersOf(zone: string | null, servers: readonly ServerView[]): readonly (readonly ServerView[])[] {
  if (zone === null) return [servers];
  return [servers.filter(server => server.zone === zone), servers.filter(server => server.zone !== zone)];
}

function candidates(servers: readonly ServerView[]): RouteDecision {
  return servers.length === 0 ? hold : { kind: 'candidates', servers };
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
export function hasServer(
  policy: Eligibility,
  view: BackendView,
  now: MonotonicMs,
  hasRoom: Room = always,
): boolean {
  const isStandIn = ({ name }: ServerView): boolean =>
    policy.route === 'replica-or-primary' && name === view.primary;
  return view.servers.some(
    server => isEligible(server, policy, view, now) && (!isStandIn(server) || hasRoom(server)),
  );
}
