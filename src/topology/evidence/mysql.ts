// What tells MySQL and MariaDB servers apart: which transactions each has (GTID sets), and how its replication fares.
// Pure. A pair of masters is writable on both sides all the time, so being writable proves nothing here: a server takes
// over when it has what the lost primary was known to have. Galera and Group Replication certify writes by themselves:
// of their members only the cluster is compared. What is wrong between the servers is told by mysql-faults.ts.

import { type GtidSet } from '../../health/result.ts';
import { claimantsOf } from '../elect.ts';
import { FORGET, type Ballot, type Choice, type Claimant, type Evidence } from '../evidence.ts';
import { isBroken, isWorkingOff } from './mysql-channels.ts';
import { mysqlFaults } from './mysql-faults.ts';
import {
  historyOf,
  isApartFrom,
  isNone,
  lackingOf,
  ownOf,
  tellGtids,
  type GtidHistory,
} from './mysql-history.ts';
import { load, save } from './mysql-saved.ts';
import { newest, remember, settledBy, type MysqlMemory, type Sample } from './mysql-memory.ts';

export type { MysqlMemory };

/**
 * How long a successor that still applies what it has received is waited for. Applied later, those transactions would
 * come after its own new ones: with one GTID domain for both servers that breaks replication (error 1950). Longer than
 * this, and an outage is the greater harm.
 */
const CATCH_UP_MAX_MS = 2000;

/**
 * What a killed server had sent is read by its follower within moments: so long a follower that still takes itself to
 * be connected is waited for. (A frozen source is noticed by nobody: its follower stays connected.)
 */
const ARRIVAL_MAX_MS = 100;

type MysqlBallot = Ballot<MysqlMemory>;

/** `wait`: not yet, and for a bounded time. `lacks`: not as long as it is so, if the policy is to hold. */
type Judgement =
  { readonly kind: 'fit' } | { readonly kind: 'stranger' | 'wait' | 'lacks'; readonly why: string };

const fit: Judgement = { kind: 'fit' };

/** `hold`: a server that is known to lack transactions is not followed. `serve`: it is, and what is lost is said. */
export function mysqlEvidence(incompleteWriter: 'hold' | 'serve'): Evidence<MysqlMemory> {
  return {
    refusalOf(claimant, ballot) {
      const judgement = judge(claimant, ballot);
      if (judgement.kind === 'fit') return null;
      if (judgement.kind !== 'lacks' || incompleteWriter === 'hold') return judgement.why;
      return ballot.memory === null && someoneIsComplete(ballot) ? judgement.why : null;
    },
    promotionOf,
    best,
    caveatOf,
    remember,
    faults: mysqlFaults,
    save,
    load,
  };
}

function judge(claimant: Claimant, ballot: MysqlBallot): Judgement {
  const { memory } = ballot;
  if (memory === null) return judgeAtStart(claimant, ballot);
  if (isStranger(claimant, memory)) return judgeStranger(claimant, memory);
  if (claimant.name === memory.primary || memory.systemId !== null) return fit;
  const primary = claimantsOf(ballot).find(({ name }) => name === memory.primary);
  if (primary === undefined) return judgeSuccessor(claimant, ballot, memory);
  if (ballot.current === null && !isStranger(primary, memory)) {
    return {
      kind: 'wait',
      why: `${claimant.name} stands back: ${primary.name} was the primary before, and is there again`,
    };
  }
  return judgeStandIn(claimant, memory);
}

/** The primary itself may join or leave a cluster; another server may not be followed out of one. */
function isStranger({ name, facts }: Claimant, { primary, systemId }: MysqlMemory): boolean {
  if (facts.systemId === systemId) return false;
  return name !== primary || (facts.systemId !== null && systemId !== null);
}

function judgeStranger({ name, facts }: Claimant, { primary, systemId }: MysqlMemory): Judgement {
  const its =
    facts.systemId === null ? 'it belongs to no cluster' : `it belongs to cluster ${facts.systemId}`;
  const ours = systemId === null ? `${primary} to none` : `${primary} to ${systemId}`;
  return {
    kind: 'stranger',
    why: `${name} is refused: ${its}, ${ours} (if that is meant, ${FORGET})`,
  };
}

/**
 * Before the first primary, under `ordered`: the first in file order may be one that returned and lacks what another
 * has; the order decides only among those that lack nothing. Other policies have `best` for that.
 */
function judgeAtStart(claimant: Claimant, ballot: MysqlBallot): Judgement {
  const history = historyOf(claimant.facts);
  if (ballot.policy !== 'ordered' || history === null) return fit;
  for (const other of claimantsOf(ballot)) {
    const its = historyOf(other.facts);
    const lacks = its === null || other.name === claimant.name ? {} : lackingOf(history, its.transactions);
    if (!isNone(lacks)) return { kind: 'lacks', why: lackingText(claimant, lacks, history, other.name) };
  }
  return fit;
}

function someoneIsComplete(ballot: MysqlBallot): boolean {
  return claimantsOf(ballot).some(claimant => judgeAtStart(claimant, ballot).kind === 'fit');
}

/** While the primary is well: whether this one could take over. Nothing depends on it but what is said. */
function judgeStandIn(claimant: Claimant, memory: MysqlMemory): Judgement {
  const { result } = claimant.server;
  const known = historyOf(claimant.facts);
  const settled = result === null ? null : settledBy(memory, result.at);
  const lacks = known === null || settled === null ? {} : lackingOf(known, settled.history.transactions);
  if (known === null || isNone(lacks)) return fit;
  return { kind: 'lacks', why: lackingText(claimant, lacks, known, memory.primary) };
}

/** The primary is lost, or not seen well: whether this one has what it had. */
function judgeSuccessor(claimant: Claimant, { now }: MysqlBallot, memory: MysqlMemory): Judgement {
  const { name, facts, server } = claimant;
  const history = historyOf(facts);
  const lostAt = memory.unseenSince ?? now;
  if (facts.channels.length === 0 && (history === null || newest(memory) === null)) return fit;
  if (server.result === null || server.result.at <= lostAt) {
    return {
      kind: 'wait',
      why: `${name} is asked once more: its newest word is older than the loss of ${memory.primary}`,
    };
  }
  const lostFor = now - lostAt;
  const arriving = facts.channels.some(({ receiving }) => receiving === 'yes');
  if (facts.channels.some(isWorkingOff) ? lostFor < CATCH_UP_MAX_MS : arriving && lostFor < ARRIVAL_MAX_MS) {
    return {
      kind: 'wait',
      why: `${name} is waited for: it applies what it has received of ${memory.primary}`,
    };
  }
  return judgeBySets(claimant, history, memory);
}

function judgeBySets(claimant: Claimant, history: GtidHistory | null, memory: MysqlMemory): Judgement {
  const last = newest(memory);
  const broken = claimant.facts.channels.some(isBroken);
  if (history === null || last === null) return judgeByChannels(claimant, broken);
  const measure = broken ? last : settledBy(memory, last.at);
  const lacks = measure === null ? {} : lackingSample(history, measure);
  if (isNone(lacks)) return fit;
  return { kind: 'lacks', why: lackingText(claimant, lacks, history, memory.primary) };
}

/** Without GTIDs: how much is missing can't be told, only that it would be much or little. */
function judgeByChannels({ name, facts }: Claimant, broken: boolean): Judgement {
  if (broken) {
    const why = `${name} is refused: its replication is broken, and without GTIDs nobody can tell how much it lacks; mend it (see the faults), or allow it with incomplete_writer: serve`;
    return { kind: 'lacks', why };
  }
  if (!facts.channels.some(isWorkingOff)) return fit;
  const why = `${name} is refused: it has not applied all that it has received; it is followed once it has, or at once with incomplete_writer: serve`;
  return { kind: 'lacks', why };
}

const lackingSample = (history: GtidHistory, sample: Sample): GtidSet =>
  lackingOf(history, sample.history.transactions);

function lackingText(claimant: Claimant, lacks: GtidSet, history: GtidHistory, of: string): string {
  const { channels } = claimant.facts;
  const state = channels.some(isBroken) ? ', and its replication is broken' : '';
  const remedy =
    channels.some(isBroken) || channels.length === 0
      ? `mend its replication (see the faults), bring ${of} back, or allow it with incomplete_writer: serve`
      : `it is followed once it has them; otherwise bring ${of} back, or allow it with incomplete_writer: serve`;
  return `${claimant.name} is refused: it lacks ${tellGtids(lacks, history.flavor)} that ${of} has${state}; ${remedy}`;
}

/** That it has all that the primary was known to have, and has written since: only a promoted server does. */
function promotionOf(claimant: Claimant, { memory, policy }: MysqlBallot): string | null {
  const history = historyOf(claimant.facts);
  const last = memory === null ? null : newest(memory);
  if (policy === 'ordered' || memory === null || history === null || last === null) return null;
  if (claimant.name === memory.primary || !isNone(lackingSample(history, last))) return null;
  if (isApartFrom(history, last.history.transactions)) return null;
  const more = ownOf(lackingOf(last.history, history.transactions), history);
  if (isNone(more)) return null;
  return `it has all that ${memory.primary} was last known to have, and ${tellGtids(more, history.flavor)} of its own`;
}

/**
 * The one that has what all others have and something more. In a cluster all members have the same: there the present
 * one stays, and at the start the first in file order is as good as any.
 */
function best(eligible: readonly Claimant[], { current }: MysqlBallot): Choice | null {
  const [first] = eligible;
  const present = eligible.find(({ name }) => name === current);
  if (first === undefined) return null;
  const clusters = new Set(eligible.map(({ facts }) => facts.systemId));
  if (clusters.size === 1 && !clusters.has(null)) {
    const chosen = present ?? first;
    const why = present === undefined ? 'it is the first in file order' : 'it was the primary before';
    return {
      primary: chosen.name,
      reasons: [`all members of the cluster may be written to; ${chosen.name} is: ${why}`],
    };
  }
  const histories = eligible.map(({ name, facts }) => ({ name, history: historyOf(facts) }));
  const complete = histories.filter(({ history }) =>
    histories.every(
      other =>
        history !== null && other.history !== null && isNone(lackingOf(history, other.history.transactions)),
    ),
  );
  const [only] = complete;
  // Without its server id, what a server has written itself can't be told from what it got: a later look is no promotion.
  const certain = only?.history?.own !== undefined;
  if (only === undefined || complete.length !== 1 || !certain) return null;
  return { primary: only.name, reasons: [`${only.name} has all transactions of the others and more`] };
}

/** What the chosen one has taken over without: safety rule 9. */
function caveatOf(chosen: Claimant, { memory }: MysqlBallot): string | null {
  const history = historyOf(chosen.facts);
  if (memory === null || history === null) return null;
  const last = newest(memory);
  const owed =
    chosen.name === memory.primary
      ? memory.owed
      : last && { of: memory.primary, transactions: lackingSample(history, last) };
  const lacks = owed ? lackingOf(history, owed.transactions) : {};
  if (!owed || isNone(lacks)) return null;
  return `${chosen.name} took over without ${tellGtids(lacks, history.flavor)} of ${owed.of}: they are lost unless ${owed.of} returns with them`;
}
