// What tells Redis servers apart: replication ids and offsets, the process behind each, whom the replicas follow, and what
// the Sentinels say. Above all: a primary that was restarted calls itself primary for 10 to 15 s until it is told otherwise,
// with an empty or an old data set, and gets no writes meanwhile. Pure.
// Ids and offsets: redis.io, "Redis replication" ("Replication ID explained"), and loadDataFromDisk in src/server.c: a primary
// never keeps its id over a restart; what it loaded may be told as the history *before* its own, just as after a promotion.

import { z } from 'zod';
import { formatAddress } from '../../core/address.ts';
import { type MonotonicMs } from '../../core/clock.ts';
import { factsOf, type History, type ServerFacts } from '../../health/result.ts';
import { isUnheard } from '../elect.ts';
import { type Ballot, type Choice, type Claimant, type Evidence } from '../evidence.ts';
import { type ServerView } from '../model.ts';
import { isNamed } from '../opinion.ts';

type RedisHistory = Extract<History, { kind: 'redis' }>;

export interface RedisMemory {
  /** Of the primary elected last; `null` before the first. */
  readonly lineage: Lineage | null;
  /** By address: the process that was last seen there as a replica. */
  readonly replicas: Readonly<Record<string, string>>;
  /** By address: who says it is the primary, and since when nothing has contradicted it. */
  readonly claims: Readonly<Record<string, { readonly runId: string; readonly since: MonotonicMs }>>;
}

const id = z.string().min(1).max(64);
const savedMemory = z.strictObject({
  lineage: z
    .strictObject({ replicationId: id, offset: z.int(), runId: id, address: z.string().max(300) })
    .nullable(),
  replicas: z.record(z.string().max(300), id),
});

interface Lineage {
  readonly replicationId: string;
  /** The most that anybody was seen to have of it. */
  readonly offset: number;
  readonly runId: string;
  readonly address: string;
}

/**
 * `same`: the process that was the primary. `promoted`: one that was seen as a replica and now goes on with that history;
 * `behind`: the same, but another replica had more. `reloaded`: it has that history from its disk, all that is known of it;
 * `incomplete`: less. `foreign`: it has another history, or none.
 */
type Standing = 'same' | 'promoted' | 'behind' | 'reloaded' | 'incomplete' | 'foreign';

/** `settleMs`: how long a server must have said that it is the primary before it is believed without proof. */
export function redisEvidence(settleMs: number): Evidence<RedisMemory> {
  return {
    refusalOf: (claimant, ballot) => refusalOf(claimant, ballot, settleMs),

    promotionOf({ server, facts }, { memory, servers }) {
      const history = historyOf(facts);
      const lineage = memory?.lineage ?? null;
      if (history === null || memory === null || lineage === null) return null;
      return standingOf(history, server, lineage, memory, servers) === 'promoted'
        ? `it was a replica, and goes on with the history ${short(lineage.replicationId)} from offset ${history.previous?.until ?? 0}`
        : null;
    },

    best: (eligible, ballot) => byFollowers(eligible, ballot) ?? byHistory(eligible, ballot),

    remember: (ballot, chosen) => ({
      lineage: lineageAfter(ballot, chosen),
      replicas: replicasAfter(ballot),
      claims: claimsAfter(ballot, chosen),
    }),

    faults: () => [],

    // Processes are what they were. Since when each says that it is the primary is heard anew.
    save: ({ lineage, replicas }) => ({ lineage, replicas }),
    load(saved) {
      const memory = savedMemory.safeParse(saved).data;
      return memory === undefined ? null : { ...memory, claims: {} };
    },
  };
}

function refusalOf(
  { name, server, facts }: Claimant,
  ballot: Ballot<RedisMemory>,
  settleMs: number,
): string | null {
  const { memory, opinion, servers, now } = ballot;
  const history = historyOf(facts);
  // Servers from before Redis 4 tell no ids: nothing speaks against them.
  if (history === null || opinion?.process === history.runId) return null;
  // A process that was seen as a replica has been promoted since, and not restarted. What it goes on with may be new to us:
  // replicas that found their primary restarted empty have taken that for theirs.
  if (opinion !== null && memory?.replicas[keyOf(server)] === history.runId) return null;
  const claim = memory?.claims[keyOf(server)];
  const settled = now - (claim?.runId === history.runId ? claim.since : now) >= settleMs;
  const unless = `it is believed when it has said so for ${settleMs / 1000} s without contradiction`;
  const lineage = memory?.lineage ?? null;
  if (memory === null || lineage === null) {
    const objection = objectionAtFirst(history, server, servers);
    if (objection === null || (objection.passes && settled)) return null;
    return `${name} says that it is the primary, but ${objection.what}${objection.passes ? `; ${unless}` : ''}`;
  }
  const standing = standingOf(history, server, lineage, memory, servers);
  if (standing === 'same' || standing === 'promoted') return null;
  if (standing === 'behind' && (settled || isFollowed(history, server, servers))) return null;
  const rivals = rivalsOf(server, lineage, servers).map(rival => rival.name);
  if (standing === 'reloaded' && (rivals.length === 0 || isFollowed(history, server, servers))) return null;
  if (settled && (standing === 'reloaded' || rivals.length === 0)) return null;
  const holders = rivals.length === 0 ? '' : `, and ${rivals.join(' and ')} may have more`;
  return `${name} is refused: ${wordsFor(standing, lineage)}${holders}; ${unless}`;
}

function wordsFor(standing: Standing, { address, replicationId }: Lineage): string {
  const history = `the history ${short(replicationId)} of the last primary, ${address},`;
  switch (standing) {
    case 'reloaded':
      return `it was restarted, with ${history} from its disk`;
    case 'incomplete':
      return `it was restarted, with an old part of ${history} from its disk`;
    case 'behind':
      return `it was promoted, and another replica has more of ${history}`;
    default:
      return `it has nothing of ${history} as a server that was restarted empty`;
  }
}

/**
 * Nothing is remembered. A lone primary is the normal single server; with replicas, they must follow it, or at least have
 * nothing that it lacks: it may have been restarted a moment before we were.
 */
function objectionAtFirst(
  history: RedisHistory,
  claimant: ServerView,
  servers: readonly ServerView[],
): { readonly what: string; readonly passes: boolean } | null {
  const others = servers.filter(({ name }) => name !== claimant.name);
  const unheard = others.filter(isUnheard);
  if (unheard.length > 0) {
    return { what: `${namesOf(unheard)} has not said a word yet`, passes: false };
  }
  if (isFollowed(history, claimant, servers)) return null;
  const strangers = others.filter(({ lastAnswer }) => {
    const other = lastAnswer?.facts.role === 'replica' ? historyOf(lastAnswer.facts) : null;
    return other !== null && !contains(history, other);
  });
  if (strangers.length === 0) return null;
  return { what: `${namesOf(strangers)} has another history, or more of it`, passes: true };
}

function standingOf(
  history: RedisHistory,
  server: ServerView,
  lineage: Lineage,
  memory: RedisMemory,
  servers: readonly ServerView[],
): Standing {
  // The same process may change its id: it does so when it has been without replicas for `repl-backlog-ttl`.
  if (history.runId === lineage.runId) return 'same';
  const until = knownUntil(history, lineage);
  if (until === null) return 'foreign';
  const others = servers.flatMap(other => (other.name === server.name ? [] : [offsetIn(lineage, other)]));
  const most = Math.max(0, ...others);
  // A process that was seen as a replica has been promoted; one that wasn't has read its history from its disk.
  if (memory.replicas[keyOf(server)] === history.runId) return until >= most ? 'promoted' : 'behind';
  return until >= Math.max(most, lineage.offset) ? 'reloaded' : 'incomplete';
}

/** How far a primary has the history that was followed; null: nothing of it. Its own may bear the same id (a copied disk). */
function knownUntil({ replicationId, offset, previous }: RedisHistory, lineage: Lineage): number | null {
  if (replicationId === lineage.replicationId) return offset;
  return previous?.replicationId === lineage.replicationId ? previous.until : null;
}

/** How much a server was last seen to have of a history, as a replica; 0 for another history. */
function offsetIn({ replicationId }: Lineage, { lastAnswer }: ServerView): number {
  const history = lastAnswer?.facts.role === 'replica' ? historyOf(lastAnswer.facts) : null;
  return history?.replicationId === replicationId ? history.offset : 0;
}

/** Servers that aren't lost and were last seen with the known history: the last primary, and replicas of it. */
function rivalsOf(
  claimant: ServerView,
  lineage: Lineage,
  servers: readonly ServerView[],
): readonly ServerView[] {
  return servers.filter(({ name, health, lastAnswer }) => {
    if (name === claimant.name || health.kind === 'down' || lastAnswer === null) return false;
    const history = historyOf(lastAnswer.facts);
    const isLast = lastAnswer.facts.role === 'primary' && history?.runId === lineage.runId;
    return isLast || history?.replicationId === lineage.replicationId;
  });
}

/** Whether a replica is joined to this very primary now: it then has the same data. */
function isFollowed(history: RedisHistory, claimant: ServerView, servers: readonly ServerView[]): boolean {
  return servers.some(({ name, result }) => {
    const facts = factsOf(result);
    if (name === claimant.name || facts?.role !== 'replica' || facts.replicating !== true) return false;
    return historyOf(facts)?.replicationId === history.replicationId;
  });
}

/** Whether `one` has all of `other`. Of one id the replica's word is newer, or the primary's: nothing can be told by that. */
function contains({ replicationId, previous }: RedisHistory, other: RedisHistory): boolean {
  if (replicationId === other.replicationId) return true;
  return previous?.replicationId === other.replicationId && previous.until >= other.offset;
}

/** The one that replicas are joined to, when all that have any are one. */
function byFollowers(eligible: readonly Claimant[], { servers }: Ballot<RedisMemory>): Choice | null {
  const followed = eligible.filter(({ server, facts }) => {
    const history = historyOf(facts);
    return history !== null && isFollowed(history, server, servers);
  });
  const [only] = followed;
  if (only === undefined || followed.length !== 1) return null;
  return { primary: only.name, reasons: [`${only.name} is the one that the replicas follow`] };
}

/** The one that has the known history when the others haven't; the present primary is never displaced by that. */
function byHistory(eligible: readonly Claimant[], ballot: Ballot<RedisMemory>): Choice | null {
  const { memory, servers, current } = ballot;
  const lineage = memory?.lineage ?? null;
  if (memory === null || lineage === null || eligible.some(({ name }) => name === current)) return null;
  const heirs = eligible.filter(({ server, facts }) => {
    const history = historyOf(facts);
    const standing = history === null ? 'foreign' : standingOf(history, server, lineage, memory, servers);
    return standing === 'same' || standing === 'promoted' || standing === 'reloaded';
  });
  const [only] = heirs;
  if (only === undefined || heirs.length !== 1) return null;
  return {
    primary: only.name,
    reasons: [`${only.name} alone goes on with the history ${short(lineage.replicationId)}`],
  };
}

function lineageAfter({ memory, servers }: Ballot<RedisMemory>, chosen: Claimant | null): Lineage | null {
  const before = memory?.lineage ?? null;
  const history = chosen === null ? null : historyOf(chosen.facts);
  const lineage =
    chosen === null || history === null
      ? before
      : {
          replicationId: history.replicationId,
          offset: history.offset,
          runId: history.runId,
          address: keyOf(chosen.server),
        };
  if (lineage === null) return null;
  const known = before?.replicationId === lineage.replicationId ? before.offset : 0;
  const offsets = servers.map(server => offsetIn(lineage, server));
  return { ...lineage, offset: Math.max(known, lineage.offset, ...offsets) };
}

function replicasAfter({ memory, servers }: Ballot<RedisMemory>): RedisMemory['replicas'] {
  const replicas = { ...memory?.replicas };
  for (const server of servers) {
    const facts = factsOf(server.result);
    const history = facts === null ? null : historyOf(facts);
    if (facts?.role === 'replica' && history !== null) replicas[keyOf(server)] = history.runId;
  }
  return replicas;
}

function claimsAfter(ballot: Ballot<RedisMemory>, chosen: Claimant | null): RedisMemory['claims'] {
  const { memory, servers, now } = ballot;
  const claims: Record<string, { readonly runId: string; readonly since: MonotonicMs }> = {};
  for (const server of servers) {
    const known = memory?.claims[keyOf(server)];
    if (server.health.kind !== 'up') continue;
    const facts = factsOf(server.result);
    if (facts === null) {
      // One missed answer is no contradiction.
      if (known !== undefined) claims[keyOf(server)] = known;
      continue;
    }
    const history = historyOf(facts);
    if (!isClaim(facts) || history === null) continue;
    const goesOn = known?.runId === history.runId && !isContradicted(server, history, ballot, chosen);
    claims[keyOf(server)] = goesOn ? known : { runId: history.runId, since: now };
  }
  return claims;
}

function isContradicted(
  server: ServerView,
  history: RedisHistory,
  { memory, servers, opinion }: Ballot<RedisMemory>,
  chosen: Claimant | null,
): boolean {
  if (chosen !== null && chosen.name !== server.name) return true;
  if (opinion !== null && !isNamed(opinion, server, servers)) return true;
  const others = servers.filter(({ name, health }) => name !== server.name && health.kind === 'up');
  if (others.some(({ result }) => isClaim(factsOf(result)))) return true;
  const lineage = memory?.lineage ?? null;
  if (memory === null || lineage === null) return false;
  const standing = standingOf(history, server, lineage, memory, servers);
  const doubtful = standing === 'incomplete' || standing === 'foreign';
  return doubtful && rivalsOf(server, lineage, servers).length > 0;
}

const isClaim = (facts: ServerFacts | null): boolean => facts?.role === 'primary' && facts.writable;

const historyOf = ({ history }: ServerFacts): RedisHistory | null =>
  history?.kind === 'redis' ? history : null;

/** Servers are known by address here: a name may be another server's after it left. */
const keyOf = ({ address }: ServerView): string => formatAddress(address);

const namesOf = (servers: readonly ServerView[]): string => servers.map(({ name }) => name).join(' and ');

/** Ids are 40 digits long; as with commits, the first few tell them apart. */
const short = (replicationId: string): string => replicationId.slice(0, 8);
