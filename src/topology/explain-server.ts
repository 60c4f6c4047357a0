// Why one server is the primary, or isn't, as a sentence: the first that is true of what speaks of it. Pure.
// Part of explain.ts.

import { formatDuration } from '../config/units.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { factsOf, type ServerFacts } from '../health/result.ts';
import { hasRoles, isFresh, type BackendView, type ServerView } from './model.ts';

/** `refusal`: why the election may not follow it, if it says that it is writable. */
export function tellServer(
  server: ServerView,
  view: BackendView,
  refusal: string | null,
  now: MonotonicMs,
): string {
  const { name, admin } = server;
  const state = stateOf(server, view, refusal, now);
  switch (admin) {
    case 'ready':
      return `${name} ${state}`;
    case 'drain':
      return `${name} is in drain (operator): the sessions it has go on, and it gets no new ones; it ${state}`;
    case 'maintenance':
      return `${name} is in maintenance (operator): it has no sessions and is not elected; it ${state}`;
  }
}

function stateOf(
  { name, health, result }: ServerView,
  view: BackendView,
  refusal: string | null,
  now: MonotonicMs,
): string {
  if (result === null) return 'has not been asked yet';
  if (health.kind === 'down') {
    const since = Math.round((now - health.since) / 1000);
    const long = since > 0 ? ` for ${formatDuration(since * 1000)}` : '';
    return `is down${long}: ${result.code} ${result.detail}`;
  }
  const facts = factsOf(result);
  const role = name === view.primary ? 'is the primary, and ' : '';
  if (facts === null) {
    return `${role}can’t be seen well: ${result.code} ${result.detail}; it keeps its sessions and gets no new ones`;
  }
  if (!isFresh(result, now, view.freshnessMs)) {
    return `${role}has not been heard for too long: it keeps its sessions and gets no new ones`;
  }
  if (name === view.primary) return 'is the primary: it is up and says itself that it is writable';
  return tellFacts(facts, view, refusal);
}

function tellFacts(facts: ServerFacts, view: BackendView, refusal: string | null): string {
  if (!hasRoles(view.protocol)) return 'is up';
  switch (facts.role) {
    case 'primary':
      return facts.writable ? tellClaim(view, refusal) : 'says that it is a primary, and takes no writes';
    case 'replica':
      return tellReplica(facts);
    case 'unknown':
      return 'answers, and is neither a primary nor a replica';
  }
}

function tellClaim({ primary }: BackendView, refusal: string | null): string {
  if (refusal !== null) return `says that it is writable, and is not followed: ${refusal}`;
  return primary === null
    ? 'says that it is writable, and is not followed'
    : `says that it is writable, and gets nobody: ${primary} is the primary`;
}

function tellReplica({ lagSeconds, replicating, upstream }: ServerFacts): string {
  if (replicating === false) return 'is a replica that follows nobody now';
  const whom = upstream === null ? '' : ` of ${upstream}`;
  const lag = lagSeconds === null ? '' : `, ${lagSeconds} s behind`;
  return `is a replica${whom}${lag}`;
}
