// The view of one server: what of it the configuration says, what probes found out, and how a result changes it. Pure.
// Used by topology.ts, which holds the views.

import { isDeepStrictEqual } from 'node:util';
import { isSameAddress, type Address } from '../core/address.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { factsOf, hasPassed, type ProbeResult } from '../health/result.ts';
import { initialHealth, type HealthState } from '../health/state.ts';
import { type AdminState, type ServerView } from './model.ts';
import { initialStanding } from './standing.ts';

export interface ServerSpec {
  readonly name: string;
  readonly address: Address;
  /** The name that stands for the host of the address, or is that host while it has no address. */
  readonly host?: string;
  readonly weight: number;
  /** Left out or `null`: any number. */
  readonly maxConnections?: number | null;
  /** Left out: no zone, and no backup. */
  readonly zone?: string | null;
  readonly backup?: boolean;
}

/** What of a view the configuration says, and a reload may change: all that is neither its place nor found out. */
const configured = ({ weight, maxConnections = null, zone = null, backup = false }: ServerSpec) => ({
  weight,
  maxConnections,
  zone,
  backup,
});

/** Whether it is the server of the spec: by name, address and the name that stands for it. */
export function isSame(view: ServerView | undefined, { address, host }: ServerSpec): boolean {
  return view !== undefined && isSameAddress(view.address, address) && view.host === (host ?? null);
}

/** The view under what is configured now: the same object if that is no change. */
export function underSpec(view: ServerView, spec: ServerSpec): ServerView {
  const next = Object.freeze({ ...view, ...configured(spec) });
  return isDeepStrictEqual(view, next) ? view : next;
}

export function newcomer(spec: ServerSpec, admin: AdminState = 'ready'): ServerView {
  const { name, address, host } = spec;
  return Object.freeze({
    name,
    address,
    host: host ?? null,
    ...configured(spec),
    health: initialHealth,
    result: null,
    lastAnswer: null,
    upSince: null,
    writableSince: null,
    standing: initialStanding,
    admin,
  });
}

export function observed(
  view: ServerView,
  health: HealthState,
  result: ProbeResult,
  at: MonotonicMs,
): ServerView {
  return Object.freeze({
    ...view,
    health,
    result,
    lastAnswer: hasPassed(result) ? result : view.lastAnswer,
    upSince: health.kind === 'up' ? (view.upSince ?? cameUp(view.health, at)) : null,
    writableSince: writableSince(view, health, result, at),
  });
}

function writableSince(
  view: ServerView,
  health: HealthState,
  result: ProbeResult,
  at: MonotonicMs,
): MonotonicMs | null {
  if (health.kind !== 'up') return null;
  const facts = factsOf(result);
  if (facts === null) return view.writableSince;
  return facts.role === 'primary' && facts.writable ? (view.writableSince ?? at) : null;
}

/** One that never failed since it was first asked has been up for longer than anybody here knows. */
function cameUp(before: HealthState, at: MonotonicMs): MonotonicMs {
  return before.kind === 'unknown' && before.fails === 0 ? -Infinity : at;
}
