// Who is joined to whom, told when somebody asks: the sessions of a registry that match a filter, and closing some by id.
// Nothing is kept for it but a number per session. Asked by proxy.ts; with worker threads each answers for its own.

import { networks } from '../config/addresses.ts';
import { type Address } from '../core/address.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { SESSIONS_LISTED_MAX } from '../core/limits.ts';
import { type CloseReason } from './events.ts';
import { type JoinedSession, type SessionRegistry } from './registry.ts';

/** What is left out matches every session. */
export interface SessionFilter {
  readonly frontend?: string;
  readonly backend?: string;
  readonly server?: string;
  /** An address or a network (CIDR). */
  readonly client?: string;
  /** The port that the server sees: ours, of the connection to it. */
  readonly serverPort?: number;
  /** How many are told at most, never above SESSIONS_LISTED_MAX. */
  readonly limit?: number;
}

export interface SessionInfo {
  /** Names the session in this run of Pointsman, on whichever thread it is. */
  readonly id: string;
  readonly frontend: string;
  readonly backend: string;
  readonly server: string;
  /** As a trusted proxy announced it, where there is one; else the peer. */
  readonly client: Address;
  /** Who has connected to us. `null`: it is gone this moment. */
  readonly peer: Address | null;
  /** Our end of the connection to the server, as the server sees it. */
  readonly local: Address | null;
  readonly ageMs: number;
  /** To within the interval at which sessions are looked after (SWEEP_MAX_MS). */
  readonly idleMs: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
}

export interface SessionList {
  readonly sessions: readonly SessionInfo[];
  /** All that match, those beyond the limit included. */
  readonly matched: number;
  /** Worker threads that gave no answer in time: their sessions are missing. */
  readonly silentWorkers: number;
}

/** How far sessions were when they were told of, in the order of their ids. */
interface Progress {
  readonly bytes: readonly number[];
  now(): MonotonicMs;
}

export function limitOf({ limit = SESSIONS_LISTED_MAX }: SessionFilter): number {
  return Math.min(limit, SESSIONS_LISTED_MAX);
}

/** `prefix`: of this registry, in front of its session numbers. Throws for a client that is no address or network. */
export function listSessions(
  registry: SessionRegistry,
  prefix: string,
  filter: SessionFilter,
  now: MonotonicMs,
): Omit<SessionList, 'silentWorkers'> {
  const limit = limitOf(filter);
  const isClient = filter.client === undefined ? null : networks([filter.client]);
  const sessions: SessionInfo[] = [];
  let matched = 0;
  for (const session of registry.sessions(filter.backend, filter.server)) {
    if (filter.frontend !== undefined && session.frontend !== filter.frontend) continue;
    if (isClient !== null && !isClient(session.client.host)) continue;
    // A system call for each that is still in question: asked last, and by nobody in the way of a client.
    if (filter.serverPort !== undefined && session.localAddress()?.port !== filter.serverPort) continue;
    matched += 1;
    if (sessions.length < limit) sessions.push(infoOf(session, prefix, now));
  }
  return { sessions, matched };
}

function infoOf(session: JoinedSession, prefix: string, now: MonotonicMs): SessionInfo {
  const { number, frontend, backend, server, client } = session;
  const id = `${prefix}-${number}`;
  return { id, frontend, backend, server, client, local: session.localAddress(), ...session.numbers(now) };
}

/**
 * Closes those of the ids that are this registry's; returns how many ended by it. `asAt`: for each id the bytes of both
 * directions that were told of it: one that has gone on since is left alone.
 */
export function closeSessions(
  registry: SessionRegistry,
  prefix: string,
  ids: readonly string[],
  reason: CloseReason,
  asAt: Progress | null = null,
): number {
  const wanted = new Map(ids.slice(0, SESSIONS_LISTED_MAX).map((id, index) => [id, index]));
  const doomed = registry.sessions().filter(session => {
    const index = wanted.get(`${prefix}-${session.number}`);
    if (index === undefined || asAt === null) return index !== undefined;
    const { bytesUp, bytesDown } = session.numbers(asAt.now());
    return bytesUp + bytesDown === asAt.bytes[index];
  });
  return doomed.filter(session => session.evict(reason)).length;
}

/** Tells the ids of one registry from those of another, of this run or of an earlier one: 36^6 are enough for a few. */
export function sessionPrefix(random: number): string {
  return Math.floor(random * 36 ** 6)
    .toString(36)
    .padStart(6, '0');
}
