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

/** Who has asked is answered within this time, or won't be. */
const ANSWER_DUE_MS = 1000;

/** What makes sure, as one is closed, that it rests: nothing was said since it was listed, and it is silent for the right time. */
export interface Rested {
  /** Of both directions, of each session when it was told of, in the order of their ids. */
  readonly bytes: readonly number[];
  /** Silent for less than this: whoever speaks there has only just been answered; or for as long as that: nobody does. */
  readonly idleBelowMs: number;
  readonly idleFromMs: number;
}

interface Progress extends Rested {
  /** What its client may have sent is not read now. */
  isPaused(session: JoinedSession): boolean;
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
 * Closes those of the ids that are this registry's; returns how many ended by it. `asAt`: one that has gone on since, or is
 * silent for so long that its client may speak at any moment, is left alone.
 */
export function closeSessions(
  registry: SessionRegistry,
  prefix: string,
  ids: readonly string[],
  reason: CloseReason,
  asAt: Progress | null = null,
): number {
  const found = sessionsByIds(registry, prefix, ids);
  const doomed = found.filter(([session, index]) => asAt === null || hasRested(session, asAt, index));
  return doomed.filter(([session]) => session.evict(reason)).length;
}

/** Those of the ids that are this registry's, each with its place among them. */
export function sessionsByIds(
  registry: SessionRegistry,
  prefix: string,
  ids: readonly string[],
): readonly (readonly [JoinedSession, number])[] {
  const wanted = new Map(ids.slice(0, SESSIONS_LISTED_MAX).map((id, index) => [id, index]));
  return registry.sessions().flatMap(session => {
    const index = wanted.get(`${prefix}-${session.number}`);
    return index === undefined ? [] : [[session, index] as const];
  });
}

/**
 * Nobody has said anything since, and no answer is due: a server that has had no turn yet since it was asked doesn't know
 * itself that it is. (Some packets of MySQL are never answered: who is silent for long waits for nothing.)
 */
function hasRested(session: JoinedSession, seen: Progress, index: number): boolean {
  const { bytes, idleBelowMs, idleFromMs, isPaused, now } = seen;
  if (isPaused(session)) return false;
  const { bytesUp, bytesDown, idleMs } = session.numbers(now());
  if (idleMs >= idleBelowMs && idleMs < idleFromMs) return false;
  return bytesUp + bytesDown === bytes[index] && !(session.awaitsAnswer() && idleMs < ANSWER_DUE_MS);
}

/** Tells the ids of one registry from those of another, of this run or of an earlier one: 36^6 are enough for a few. */
export function sessionPrefix(random: number): string {
  return Math.floor(random * 36 ** 6)
    .toString(36)
    .padStart(6, '0');
}
