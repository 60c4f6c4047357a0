// How a server stands as one to read from: how far behind it is, beyond which limits, and whether commits wait for it.
// A reducer from answer to answer, so that a replica at the edge of a limit doesn't come and go: one that went beyond comes
// back at half. Pure. It is kept in the view, and so is the same for every worker; asked by eligibility.ts.

import { type FrontendConfig } from '../config/schema.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { hasPassed, type PassedResult, type ServerFacts } from '../health/result.ts';
import { parseLsn } from '../protocol/postgres/lsn.ts';
import { parseSynchronousNames } from '../protocol/postgres/synchronous-names.ts';
import { type ServerView, type Standing } from './model.ts';

/** A replica that went beyond a limit is let in again when it is no further behind than this part of it. */
export const RETURN_SHARE = 0.5;

/** What the frontends of a backend ask of its replicas. */
export interface ReadWants {
  /** Every `max_lag`, in milliseconds, and every `max_lag_bytes`, each once. */
  readonly lagMs: readonly number[];
  readonly lagBytes: readonly number[];
  readonly synchronous: boolean;
}

export const wantsNothing: ReadWants = { lagMs: [], lagBytes: [], synchronous: false };

export const initialStanding: Standing = Object.freeze({
  lagBytes: null,
  beyond: Object.freeze([]),
  synchronous: null,
  told: null,
});

type Limits = Pick<FrontendConfig, 'maxLagMs' | 'maxLagBytes'>;

export function wantsOf(frontends: readonly (Limits & Pick<FrontendConfig, 'synchronousOnly'>)[]): ReadWants {
  return {
    lagMs: [...new Set(frontends.flatMap(({ maxLagMs }) => maxLagMs ?? []))],
    lagBytes: [...new Set(frontends.flatMap(({ maxLagBytes }) => maxLagBytes ?? []))],
    synchronous: frontends.some(({ synchronousOnly }) => synchronousOnly),
  };
}

const timeLimit = (ms: number): string => `${ms} ms`;
const bytesLimit = (bytes: number): string => `${bytes} bytes`;

/** The limits of a frontend as `Standing.beyond` names them. */
export function limitsOf({ maxLagMs, maxLagBytes }: Limits): readonly string[] {
  const inTime = maxLagMs === null ? [] : [timeLimit(maxLagMs)];
  return maxLagBytes === null ? inTime : [...inTime, bytesLimit(maxLagBytes)];
}

/** How far a primary is, told by itself, and in which history. Kept while there is no primary: of the last one. */
export interface Reach {
  readonly history: string;
  readonly bytes: bigint;
}

/** Where a server is in the history that its log belongs to; `null` where there is no such position. */
export function reachOf(facts: ServerFacts | null): Reach | null {
  if (facts === null) return null;
  const { history, systemId, position } = facts;
  if (history?.kind === 'redis') return { history: history.replicationId, bytes: BigInt(history.offset) };
  const bytes = parseLsn(position);
  return bytes === null || systemId === null ? null : { history: systemId, bytes };
}

export interface Scene {
  readonly servers: readonly ServerView[];
  readonly primary: string | null;
  readonly reach: Reach | null;
  readonly wants: ReadWants;
  readonly at: MonotonicMs;
}

/** Who has just answered: a server, nobody (something else has changed), or all when what is wanted of them has changed. */
export type Reporter = string | null | { readonly all: true };

/** The servers with their standing after that. */
export function restand(scene: Scene, reporter: Reporter): readonly ServerView[] {
  const { servers, wants } = scene;
  if (reporter === null && !wants.synchronous) return servers;
  return servers.map(server => {
    const hasAnswered = server.name === reporter || (typeof reporter === 'object' && reporter !== null);
    if (!hasAnswered && !wants.synchronous) return server;
    const standing = standingOf(server, scene, hasAnswered);
    return isSame(standing, server.standing) ? server : Object.freeze({ ...server, standing });
  });
}

function standingOf(server: ServerView, scene: Scene, hasAnswered: boolean): Standing {
  const { result } = server;
  // What can't be seen well keeps its standing: whether it gets anybody is a question of health.
  if (result === null || !hasPassed(result)) return server.standing;
  const { facts } = result;
  if (facts.role !== 'replica') return initialStanding;
  const synchronous = scene.wants.synchronous ? synchronousStanding(facts, scene) : null;
  if (!hasAnswered) return { ...server.standing, synchronous };
  return { ...behind(server.standing, result, scene), synchronous };
}

function behind(
  before: Standing,
  { facts, at: toldAt }: PassedResult,
  { primary, reach, wants, at }: Scene,
): Omit<Standing, 'synchronous'> {
  const lagBytes = bytesBehind(facts, reach);
  const { replicating, lagSeconds } = facts;
  const told =
    replicating === true && lagSeconds !== null
      ? Object.freeze({ at: toldAt, seconds: lagSeconds })
      : before.told;
  // While nobody is the primary a replica can't follow one. It is no staler than it was, plus the time since.
  const isOrphan = primary === null && replicating !== true;
  const lagMs = (): number => {
    if (replicating === true) return lagSeconds === null ? Infinity : lagSeconds * 1000;
    return isOrphan && told !== null ? told.seconds * 1000 + (at - told.at) : Infinity;
  };
  const bytes = replicating === true || isOrphan ? (lagBytes ?? Infinity) : Infinity;
  const isBeyond = (limit: string, most: number, lag: number): boolean =>
    lag > (before.beyond.includes(limit) ? most * RETURN_SHARE : most);
  return {
    lagBytes,
    told,
    beyond: Object.freeze([
      ...wants.lagMs.filter(most => isBeyond(timeLimit(most), most, lagMs())).map(timeLimit),
      ...wants.lagBytes.filter(most => isBeyond(bytesLimit(most), most, bytes)).map(bytesLimit),
    ]),
  };
}

function bytesBehind(facts: ServerFacts, reach: Reach | null): number | null {
  const own = reachOf(facts);
  if (own === null || own.history !== reach?.history) return null;
  return own.bytes >= reach.bytes ? 0 : Number(reach.bytes - own.bytes);
}

/** `local` and `off` wait for no standby. */
const WAITING = new Set(['on', 'remote_apply', 'remote_write']);

/**
 * Whether every commit of the primary waits for this replica, by the primary's own word. Of a quorum (`ANY 1 (a, b)`) no
 * member is known to be among those that were waited for, unless all are.
 */
function synchronousStanding(replica: ServerFacts, { servers, primary }: Scene): Standing['synchronous'] {
  const wal = servers.find(({ name }) => name === primary)?.lastAnswer?.facts.wal ?? null;
  if (wal === null) return 'unknown';
  const list = parseSynchronousNames(wal.synchronousNames);
  if (list === null || !WAITING.has(wal.synchronousCommit)) return 'no';
  const name = replica.wal?.standbyName?.toLowerCase();
  if (replica.replicating !== true) return 'no';
  if (wal.standbys === null || name === undefined) return 'hidden';
  const isQuorum = /^\s*ANY\s/i.test(wal.synchronousNames);
  if (isQuorum && (list.count < list.names.length || list.names.includes('*'))) return 'quorum';
  const [bearer, ...others] = wal.standbys.filter(standby => standby.name.toLowerCase() === name);
  return bearer?.synchronous === true && others.length === 0 ? 'yes' : 'no';
}

function isSame(one: Standing, other: Standing): boolean {
  return (
    one.lagBytes === other.lagBytes &&
    one.synchronous === other.synchronous &&
    one.told === other.told &&
    one.beyond.length === other.beyond.length &&
    one.beyond.every((limit, index) => limit === other.beyond[index])
  );
}
