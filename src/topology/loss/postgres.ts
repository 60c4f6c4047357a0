// What a failover of PostgreSQL lost, in bytes of the write-ahead log: how far the old primary was seen to be, against where
// the new one left its log. That is exact: a promoted server keeps telling where its recovery ended (pg_last_wal_replay_lsn),
// which is the fork in its timeline's history file; a crashed one likewise where its log ended. Pure.

import { type ServerFacts, type WalFacts } from '../../health/result.ts';
import { parseLsn } from '../../protocol/postgres/lsn.ts';
import { parseSynchronousNames } from '../../protocol/postgres/synchronous-names.ts';
import { truncate } from '../../core/limits.ts';
import {
  tellBytes,
  unknown,
  type Finding,
  type LossCase,
  type LossRules,
  type MissingBytes,
} from './shapes.ts';

const SHOWN_NAMES_CHARS = 80;
/** `local` and `off` wait for no standby. */
const WAITING = new Set(['on', 'remote_apply', 'remote_write']);

export const postgresLoss: LossRules = {
  find(lossCase) {
    const { former, present } = lossCase;
    const [old, now] = [former.result.facts, present.result.facts];
    if (old.systemId === null || old.systemId !== now.systemId) {
      return unknown(`${present.server} is not known to be of the cluster of ${former.server}`);
    }
    const seen = seenOf(lossCase);
    if (seen === null || old.timeline === null || now.timeline === null) {
      return unknown(`${former.server} was never seen to tell its position`);
    }
    return now.timeline === old.timeline ? sameLog(lossCase, seen) : forked(lossCase, seen);
  },

  findOnReturn(lossCase, former) {
    const [old, back] = [lossCase.former.result.facts, former.result.facts];
    const seen = seenOf(lossCase);
    const fork = forkOf(lossCase);
    // The timeline of a server in recovery may be that of its last checkpoint: only a primary's is certain.
    if (back.role !== 'primary' || !isOnLogOf(old, back) || seen === null || fork === null) return null;
    const had = endOfLog(old, back);
    const told = parseLsn(old.position);
    // With less than it told once it isn't what it was: restored from an older copy.
    return had === null || told === null || had < told ? null : bytes(max(seen, had), fork);
  },
};

const bytes = (seen: bigint, end: bigint, remark: string | null = null): MissingBytes => ({
  kind: 'bytes',
  bytes: Number(seen > end ? seen - end : 0n),
  of: 'WAL',
  atLeast: false,
  remark,
});

/** No promotion between: the server came back itself. */
function sameLog({ former, present, witnesses }: LossCase, seen: bigint): Finding {
  if (present.server !== former.server) {
    // A promotion gives the next number: two that leave a timeline apart from each other give theirs the same, and a standby
    // that is restarted as a primary gives none. Whatever it has at such a position may be its own.
    return unknown(
      `${present.server} writes a timeline of the same number as that of ${former.server}: their histories may have gone apart`,
    );
  }
  // It was rewound, and promoted again to the same number.
  if (witnesses.some(({ server }) => server === present.server)) {
    return unknown(
      `${present.server} was a standby meanwhile, and is on a timeline of the same number as before`,
    );
  }
  const end = endOfLog(former.result.facts, present.result.facts);
  if (end === null) return unknown(`${present.server} does not tell its position`);
  if (end < seen) return bytes(seen, end);
  return {
    kind: 'none',
    why: `${present.server} itself goes on with all that it was seen to have, and a commit is answered when it is on the disk (unless synchronous_commit or fsync is off)`,
  };
}

function forked(lossCase: LossCase, seen: bigint): Finding {
  const { former, present } = lossCase;
  const end = recoveredTo(present.result.facts);
  if (end === null) {
    return unknown(
      `${present.server} was restarted since it was promoted: it does not tell where it left the log of ${former.server}`,
    );
  }
  const fork = forkOf(lossCase);
  if (fork === null) {
    // It has no more of that log than this.
    if (seen > end) return { ...bytes(seen, end), atLeast: true };
    return unknown(
      `nobody saw ${present.server} being promoted from the timeline of ${former.server}: where it left the log of ${former.server} is not known`,
    );
  }
  const missing = bytes(seen, fork);
  const { standing, words } = synchronousStanding(lossCase);
  if (standing === 'proved') {
    const unanswered =
      missing.bytes === 0 ? '' : `; of ${tellBytes(missing)} that it lacks, none was answered`;
    return { kind: 'none', why: `${words}${unanswered}` };
  }
  return { ...missing, remark: words };
}

/** Where the new primary left the log of the old one; `null` where it may have been restarted since, or promoted twice. */
function forkOf({ former, present, promotedFrom }: LossCase): bigint | null {
  const { facts } = present.result;
  const wasOn = promotedFrom?.result.facts;
  if (wasOn === undefined || facts.timeline === null) return null;
  if (!isOnLogOf(former.result.facts, wasOn)) return null;
  // Between two promotions it may have followed somebody that nobody saw.
  if (facts.timeline !== (former.result.facts.timeline ?? 0) + 1) return null;
  return recoveredTo(facts);
}

function seenOf({ former, witnesses }: LossCase): bigint | null {
  const { facts } = former.result;
  const positions = [
    parseLsn(facts.position),
    ...witnesses
      .filter(({ result }) => isOnLogOf(facts, result.facts))
      .map(({ result }) => parseLsn(result.facts.position)),
  ];
  return positions.reduce((a, b) => (a === null || b === null ? (a ?? b) : max(a, b)));
}

/** How far the log of a primary goes, or went when it crashed, against an earlier word of it. */
function endOfLog(before: ServerFacts, now: ServerFacts): bigint | null {
  const recovered = recoveredTo(now);
  // Another recovery than the one it had told of: it crashed between.
  return recovered !== null && now.wal?.recoveredTo !== before.wal?.recoveredTo
    ? recovered
    : parseLsn(now.position);
}

function isOnLogOf(old: ServerFacts, { systemId, timeline }: ServerFacts): boolean {
  return systemId !== null && systemId === old.systemId && timeline !== null && timeline === old.timeline;
}

const recoveredTo = ({ wal }: ServerFacts): bigint | null => parseLsn(wal?.recoveredTo ?? null);

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);

type Standing = 'asynchronous' | 'unclear' | 'proved';

/**
 * Whether every commit that the old primary answered had reached the very server that took over. That is so when the
 * commits waited for all that are listed, it among them: of two of which one is enough, the other may have had more.
 */
function synchronousStanding({ former, present, standbyName }: LossCase): {
  readonly standing: Standing;
  readonly words: string | null;
} {
  const { wal } = former.result.facts;
  const list = wal === null ? null : parseSynchronousNames(wal.synchronousNames);
  if (wal === null || list === null) return { standing: 'asynchronous', words: null };
  if (!WAITING.has(wal.synchronousCommit)) return { standing: 'asynchronous', words: null };
  const setting = `synchronous_standby_names = ${truncate(wal.synchronousNames, SHOWN_NAMES_CHARS)}`;
  if (list.count >= list.names.length && isListed(list.names, wal, standbyName)) {
    return {
      standing: 'proved',
      words: `synchronous: ${former.server} answered no commit before ${present.server} had it (${setting}; sessions that turn synchronous_commit off are not counted)`,
    };
  }
  const hidden =
    wal.standbys === null || standbyName === null
      ? '; to tell, the probe user needs pg_monitor on each server'
      : '';
  return {
    standing: 'unclear',
    words: `no answered commit is missing if ${present.server} had all that the synchronous standbys had (${setting}${hidden})`,
  };
}

/** By a name that no other standby has, and seen to be waited for. */
function isListed(names: readonly string[], wal: WalFacts, standbyName: string | null): boolean {
  const name = standbyName?.toLowerCase();
  const [bearer, ...others] = (wal.standbys ?? []).filter(standby => standby.name.toLowerCase() === name);
  return name !== undefined && names.includes(name) && bearer?.synchronous === true && others.length === 0;
}
