// How a channel of replication fares: which member it comes from, and whether it is broken or only waits. Pure.
// Used by mysql.ts (who may be followed) and mysql-faults.ts (what is said about it).

import { formatAddress } from '../../core/address.ts';
import { type ReplicationChannel, type ReplicationError } from '../../health/result.ts';
import { addressesOf, type ServerView } from '../model.ts';

/**
 * Errors of a receiving thread that only say that the source can't be reached or has no room: when it returns, so does
 * replication. MySQL's client errors 2002-2013 and 2026 and its "too many connections", "shutting down", network errors.
 */
const UNREACHABLE: ReadonlySet<number> = new Set([
  1040, 1053, 1158, 1159, 1160, 1161, 1203, 1927, 2002, 2003, 2005, 2006, 2012, 2013, 2026,
]);

/** What keeps a channel from receiving; `null` when nothing does, or only that its source is away. */
export function receiveFault({ receiving, receiveError }: ReplicationChannel): ReplicationError | null {
  if (receiving === 'yes' || receiveError === null) return null;
  return UNREACHABLE.has(receiveError.errno) ? null : receiveError;
}

/** What keeps it from applying, if that is an error. */
export function applyFault({ applying, applyError }: ReplicationChannel): ReplicationError | null {
  return applying ? null : applyError;
}

/** It will not go on by itself, even when its source is well. */
export function isBroken(channel: ReplicationChannel): boolean {
  return !channel.applying || channel.receiving === 'no' || receiveFault(channel) !== null;
}

/** It has received more than it has applied, and works on it. */
export function isWorkingOff({ applying, caughtUp }: ReplicationChannel): boolean {
  return applying && caughtUp === false;
}

/** The member that a channel replicates from. Servers may name each other differently than the configuration does: of two, it is the other. */
export function sourceOf(
  { source }: ReplicationChannel,
  of: ServerView,
  servers: readonly ServerView[],
): ServerView | null {
  const named = servers.find(server => addressesOf(server).some(at => formatAddress(at) === source));
  const others = servers.filter(server => server !== of);
  return named ?? (others.length === 1 ? (others[0] ?? null) : null);
}
