// What is wrong with the replication between the servers of a MySQL backend, in one plain sentence each, with the statements
// that mend it. Pure; says and orders nothing else. Lag is no fault, a source that is away isn't either, and what carries
// no error text must last for two results (mysql-watch.ts). Called after every election.

import { type ReplicationChannel, type ReplicationError } from '../../health/result.ts';
import { claimantsOf } from '../elect.ts';
import { type Ballot } from '../evidence.ts';
import { type Fault } from '../model.ts';
import { applyFault, isBroken, receiveFault, sourceOf } from './mysql-channels.ts';
import { conflictIn, errors, isForeignPosition, isTransient, shown, tableIn } from './mysql-errors.ts';
import { isNone, lacksOf, membersOf, tellGtids, type Member } from './mysql-history.ts';
import { isHarmless, keepBothRows, keptTable } from './mysql-keep-rows.ts';
import { reconcile, startAgain, type Side } from './mysql-mend.ts';
import { type MysqlMemory } from './mysql-memory.ts';
import { FOLLOWS_NOBODY, lasts, notApplying, notReceiving } from './mysql-watch.ts';

type FaultsBallot = Ballot<MysqlMemory>;

/** One channel of one server, and what is known of its source. */
interface Case {
  readonly member: Member;
  readonly channel: ReplicationChannel;
  /** The member it replicates from, by its last word; `null` if that isn't one of the backend, or never answered. */
  readonly source: Member | null;
  readonly from: string;
  readonly isPrimary: boolean;
  readonly primary: string | null;
  readonly lasting: { readonly notApplying: boolean; readonly notReceiving: boolean };
}

export function mysqlFaults(ballot: FaultsBallot): readonly Fault[] {
  const members = membersOf(ballot.servers);
  const cases = members.flatMap(member => casesOf(member, ballot));
  const ofChannels = cases.flatMap(faultsOf);
  return [...ofChannels, ...diverged(members, cases, ofChannels, ballot), ...unconnected(members, ballot)];
}

function casesOf(member: Member, { servers, memory }: FaultsBallot): readonly Case[] {
  return member.facts.channels.map(channel => {
    const view = sourceOf(channel, member.server, servers);
    const [source = null] = view?.lastAnswer
      ? membersOf([{ ...view, health: { kind: 'up', fails: 0 } }])
      : [];
    const watch = memory?.watch ?? {};
    return {
      member,
      channel,
      source,
      from: view?.name ?? channel.source,
      isPrimary: member.name === memory?.primary,
      primary: memory?.primary ?? null,
      lasting: {
        notApplying: lasts(watch, member.name, notApplying(channel.name)),
        notReceiving: lasts(watch, member.name, notReceiving(channel.name)),
      },
    };
  });
}

function faultsOf(it: Case): readonly Fault[] {
  const applying = applyFault(it.channel);
  const receiving = receiveFault(it.channel);
  const found: Fault[] = [];
  if (applying !== null) found.push(cannotApply(it, applying));
  if (receiving !== null) found.push(cannotReceive(it, receiving));
  if (found.length === 0) found.push(...stopped(it));
  return found;
}

function cannotApply(it: Case, error: ReplicationError): Fault {
  const { member, from } = it;
  switch (error.errno) {
    case errors.gtidOrder:
      return fault(
        it,
        'gtid-order',
        `${member.name} does not apply ${from}’s transactions, for gtid_strict_mode forbids their order: both servers wrote in one GTID domain (error 1950); ${meaning(it)}; give each server its own gtid_domain_id, and it can’t come again`,
        reconcileBoth(it),
      );
    case errors.duplicateKey:
      return duplicateKey(it, error);
    case errors.rowMissing:
      return fault(
        it,
        'row-missing',
        `${member.name} does not apply ${from}’s transactions: one changes a row of ${tableIn(error) ?? 'a table'} that ${member.name} does not have (error 1032), so the two differ; ${meaning(it)}; copy that table, or all of ${member.name}, anew from ${from} once it has what only ${member.name} has, and do not skip the transaction`,
      );
    default:
      return fault(
        it,
        'apply-error',
        `${member.name} does not apply ${from}’s transactions (${shown(error)}); ${meaning(it)}`,
        isTransient(error) ? startAgain(member, it.channel.name, 'applying') : [],
      );
  }
}

function duplicateKey(it: Case, error: ReplicationError): Fault {
  const { member, from, source, channel, isPrimary } = it;
  const conflict = conflictIn(error);
  const side: Side = { member, channel: channel.name };
  const mend = conflict === null || source === null ? [] : keepBothRows(side, source, conflict, isPrimary);
  const where = conflict === null ? shown(error) : whereIs(conflict);
  const after =
    conflict === null || mend.length === 0
      ? 'copy one of the two rows aside, so that none is overwritten, and start replication again'
      : `the statements keep both: the row that gives way then stands in ${keptTable(conflict, member)}${isPrimary ? '' : ' (there only: drop it later with sql_log_bin = 0)'}, for you to give it a new key`;
  return fault(
    it,
    'duplicate-key',
    `${member.name} does not apply ${from}’s transactions: another row with that key is there already (${where}); ${meaning(it)}; ${after}; distinct auto_increment_offset, and auto_increment_increment at the number of servers, keep keys apart`,
    mend,
  );
}

function whereIs(conflict: NonNullable<ReturnType<typeof conflictIn>>): string {
  const { schema, table, key, entry } = conflict;
  return isHarmless(conflict)
    ? `error 1062: ${key} ${entry} in ${schema}.${table}`
    : `error 1062 in ${schema}.${table}`;
}

function cannotReceive(it: Case, error: ReplicationError): Fault {
  const { member, from } = it;
  if (error.errno === errors.binlogRefused && isForeignPosition(error)) {
    return fault(
      it,
      'diverged',
      `${member.name} gets nothing from ${from}: it asks to go on after a transaction of its own that ${from} does not have (error 1236); ${meaning(it)}; follow by slave_pos in place of current_pos, and give each server its own gtid_domain_id`,
      reconcileBoth(it),
    );
  }
  if (error.errno === errors.binlogRefused) {
    return fault(
      it,
      'binlog-gone',
      `${member.name} gets nothing from ${from}: ${from} has purged the binary logs with what comes next (error 1236); ${meaning(it)}; only a fresh copy of ${from} helps (mariabackup, mysqldump), ${rescue(it)}`,
    );
  }
  const why = error.errno === errors.accessDenied ? `${from} does not let its user in` : shown(error);
  return fault(it, 'receive-error', `${member.name} gets nothing from ${from} (${why}); ${meaning(it)}`);
}

/** Before a server is copied over, what only it has must be elsewhere. */
function rescue({ member, source, from }: Case): string {
  const only = source === null ? {} : lacksOf(source, member);
  if (isNone(only) || !source?.history) return `after you have made sure that ${from} lacks nothing of it`;
  return `after ${from} has fetched the ${tellGtids(only, source.history.flavor)} that only ${member.name} has`;
}

function stopped(it: Case): readonly Fault[] {
  const { member, from, channel, lasting } = it;
  const apply = lasting.notApplying && !channel.applying;
  const receive = lasting.notReceiving && channel.receiving === 'no';
  if (apply) {
    const both = channel.receiving === 'no';
    const what = `replication ${both ? '' : '(the applying thread) '}from ${from} is stopped on ${member.name}`;
    const mend = startAgain(member, channel.name, both ? 'both' : 'applying');
    return [fault(it, 'apply-stopped', `${what}; ${meaning(it)}`, mend)];
  }
  if (!receive) return [];
  const what = `replication (the receiving thread) from ${from} is stopped on ${member.name}`;
  return [
    fault(it, 'receive-stopped', `${what}; ${meaning(it)}`, startAgain(member, channel.name, 'receiving')),
  ];
}

/** Each has what the other lacks, and at least one of them will not get it by itself. */
function diverged(
  members: readonly Member[],
  cases: readonly Case[],
  found: readonly Fault[],
  { memory }: FaultsBallot,
): readonly Fault[] {
  const broken = new Set(cases.filter(isSurelyBroken).map(({ member }) => member.name));
  return members.flatMap((one, index) =>
    members.slice(index + 1).flatMap(other => {
      const [oneLacks, otherLacks] = [lacksOf(one, other), lacksOf(other, one)];
      if (isNone(oneLacks) || isNone(otherLacks) || !(broken.has(one.name) || broken.has(other.name)))
        return [];
      const ofBoth = found.filter(({ server }) => server === one.name || server === other.name);
      if (ofBoth.some(({ code }) => code === 'diverged')) return [];
      const flavor = one.history?.flavor ?? 'mariadb';
      const what = `${one.name} and ${other.name} have gone apart: ${one.name} lacks ${tellGtids(oneLacks, flavor)}, ${other.name} ${tellGtids(otherLacks, flavor)}, and replication is broken; neither has all rows`;
      const isMended = ofBoth.some(({ mend }) => mend.length > 0);
      const stillStopped = ofBoth.some(({ code }) => code === 'row-missing' || code === 'binlog-gone');
      const mend =
        isMended || stillStopped
          ? []
          : reconcile(sideOf(one, cases), sideOf(other, cases), memory?.primary ?? null);
      return [{ server: broken.has(one.name) ? one.name : other.name, code: 'diverged', what, mend }];
    }),
  );
}

function isSurelyBroken({ channel, lasting }: Case): boolean {
  if (!isBroken(channel)) return false;
  return (
    applyFault(channel) !== null ||
    receiveFault(channel) !== null ||
    lasting.notApplying ||
    lasting.notReceiving
  );
}

function sideOf(member: Member, cases: readonly Case[]): Side {
  return { member, channel: cases.find(it => it.member === member)?.channel.name ?? null };
}

/** Of servers that are all writable at once, each must follow another, or what is written there is nowhere else. */
function unconnected(members: readonly Member[], ballot: FaultsBallot): readonly Fault[] {
  const { memory, policy, servers } = ballot;
  if (policy !== 'ordered' || servers.length < 2 || memory === null) return [];
  const writable = new Set(claimantsOf(ballot).map(({ name }) => name));
  const primary = members.find(({ name }) => name === memory.primary) ?? null;
  return members.flatMap(member => {
    const { name, facts, history } = member;
    const isAlone = facts.channels.length === 0 && facts.channelsHidden !== true && facts.systemId === null;
    if (!isAlone || !writable.has(name) || !lasts(memory.watch, name, FOLLOWS_NOBODY)) return [];
    const lacks = lacksOf(member, primary);
    const already = history === null || isNone(lacks) ? '' : ` and lacks ${tellGtids(lacks, history.flavor)}`;
    const what = `${name} takes writes but replicates from no other server${already}: what is written elsewhere never gets there, so after a failover it would be missing; set it up with CHANGE MASTER TO`;
    return [{ server: name, code: 'not-replicating', what, mend: [] }];
  });
}

function reconcileBoth({ member, channel, source, primary }: Case): Fault['mend'] {
  if (source === null) return [];
  // The other's channel is taken to be the one that comes from here: of a pair there is no other.
  const back = source.facts.channels[0]?.name ?? null;
  return reconcile({ member, channel: channel.name }, { member: source, channel: back }, primary);
}

/** What it comes to: how much each lacks, and what follows for the next failover. */
function meaning({ member, source, from, isPrimary }: Case): string {
  const lacks = lacksOf(member, source);
  const otherLacks = source === null ? {} : lacksOf(source, member);
  const flavor = member.history?.flavor ?? 'mariadb';
  const words = isNone(lacks)
    ? [`it lacks nothing of ${from} so far`]
    : [`it lacks ${tellGtids(lacks, flavor)} of ${from}`];
  if (!isNone(otherLacks)) words.push(`${from} lacks ${tellGtids(otherLacks, flavor)} of ${member.name}`);
  if (!isPrimary && !isNone(lacks)) words.push(`${member.name} can’t take over without loss`);
  return words.join(', ');
}

function fault({ member }: Case, code: string, what: string, mend: Fault['mend'] = []): Fault {
  return { server: member.name, code, what, mend };
}
