// The statements of replication as MariaDB and the versions of MySQL write them. Text only: nothing is run.
// Sources: MariaDB documentation, "Replication Statements"; MySQL Reference Manual, "SQL Statements for Controlling
// Replicas" (REPLICA since 8.0.22, CHANGE REPLICATION SOURCE since 8.0.23). Used by mysql-mend.ts.

import { type GtidSet } from '../../health/result.ts';
import { formatGtids, isEmptyGtids } from '../../protocol/mysql/gtid.ts';
import { type Member } from './mysql-history.ts';

export type Threads = 'both' | 'receiving' | 'applying';

export interface Dialect {
  readonly isMariadb: boolean;
  stop(channel: string): string;
  start(channel: string, threads?: Threads): string;
  /** Ask for what is lacking by what was received and applied, not by what was written here. */
  byAppliedPosition(channel: string): string;
  /** Waits until all of `lacks` is there, at most so long; `null` where that can't be asked. */
  waitFor(lacks: GtidSet, seconds: number): string | null;
  /** Sets a variable to whether the channel's applying thread is stopped. */
  notApplying(variable: string, channel: string): readonly string[];
  /** Runs the text that an SQL expression makes. */
  execute(expression: string): readonly string[];
}

export function dialectOf({ facts }: Member): Dialect {
  const version = facts.version ?? '';
  // MySQL went from 5 to 8 and 9, MariaDB from 5 to 10 and on.
  const isMariadb =
    facts.history?.kind === 'gtid' ? facts.history.flavor === 'mariadb' : !isBefore(version, [10]);
  if (isMariadb) return mariadb;
  return isBefore(version, [8, 0, 23]) ? oldMysql : newMysql;
}

const mariadb: Dialect = {
  isMariadb: true,
  stop: channel => `STOP SLAVE${quoted(channel)}`,
  start: (channel, threads = 'both') =>
    `START SLAVE${quoted(channel)}${threads === 'both' ? '' : threads === 'receiving' ? ' IO_THREAD' : ' SQL_THREAD'}`,
  byAppliedPosition: channel => `CHANGE MASTER${quoted(channel)} TO MASTER_USE_GTID = slave_pos`,
  waitFor(lacks, seconds) {
    const position = lastByDomain(lacks);
    return position === '' ? null : `SELECT MASTER_GTID_WAIT('${position}', ${seconds})`;
  },
  notApplying: (variable, channel) => [
    `SET SESSION default_master_connection = '${channel}'`,
    `SET ${variable} = (SELECT variable_value <> 'ON' FROM information_schema.global_status WHERE variable_name = 'SLAVE_RUNNING')`,
  ],
  execute: expression => [`EXECUTE IMMEDIATE ${expression}`],
};

const mysql = (replica: string, changeSource: string, autoPosition: string): Dialect => ({
  isMariadb: false,
  stop: channel => `STOP ${replica}${forChannel(channel)}`,
  start: (channel, threads = 'both') =>
    `START ${replica}${threads === 'both' ? '' : threads === 'receiving' ? ' IO_THREAD' : ' SQL_THREAD'}${forChannel(channel)}`,
  byAppliedPosition: channel => `${changeSource} TO ${autoPosition} = 1${forChannel(channel)}`,
  waitFor: (lacks, seconds) =>
    isEmptyGtids(lacks)
      ? null
      : `SELECT WAIT_FOR_EXECUTED_GTID_SET('${formatGtids(lacks, 'mysql')}', ${seconds})`,
  notApplying: (variable, channel) => [
    `SET ${variable} = (SELECT service_state <> 'ON' FROM performance_schema.replication_applier_status WHERE channel_name = '${channel}')`,
  ],
  execute: expression => [`SET @statement = ${expression}`, 'PREPARE made FROM @statement', 'EXECUTE made'],
});

const oldMysql = mysql('SLAVE', 'CHANGE MASTER', 'MASTER_AUTO_POSITION');
const newMysql = mysql('REPLICA', 'CHANGE REPLICATION SOURCE', 'SOURCE_AUTO_POSITION');

const quoted = (channel: string): string => (channel === '' ? '' : ` '${channel}'`);
const forChannel = (channel: string): string => (channel === '' ? '' : ` FOR CHANNEL '${channel}'`);

/** A position of MariaDB has one transaction of each domain: the last. */
function lastByDomain(set: GtidSet): string {
  const lasts = new Map<string, { readonly text: string; readonly sequence: number }>();
  for (const [origin, ranges] of Object.entries(set)) {
    const [domain = '', server = ''] = origin.split('-');
    const sequence = ranges.at(-1)?.[1] ?? 0;
    if (server === '*' || sequence <= (lasts.get(domain)?.sequence ?? 0)) continue;
    lasts.set(domain, { text: `${origin}-${sequence}`, sequence });
  }
  return [...lasts.values()].map(({ text }) => text).join(',');
}

function isBefore(version: string, bound: readonly number[]): boolean {
  const parts = (/^\d+(\.\d+)*/.exec(version)?.[0] ?? '').split('.').map(Number);
  for (const [index, wanted] of bound.entries()) {
    const part = parts[index] ?? 0;
    if (part !== wanted) return part < wanted;
  }
  return false;
}
