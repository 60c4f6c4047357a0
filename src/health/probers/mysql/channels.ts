// Replication as a server tells it: SHOW ALL SLAVES STATUS of MariaDB, SHOW REPLICA (or SLAVE) STATUS of MySQL.
// Pure. Used by interview.ts. What is wrong with it is for topology to say.

import { truncate } from '../../../core/limits.ts';
import {
  isEmptyGtids,
  missingGtids,
  parseMariadbGtids,
  parseMysqlGtids,
} from '../../../protocol/mysql/gtid.ts';
import { type ReplicationChannel, type ReplicationError } from '../../result.ts';
import { type Texts } from './variables.ts';

/** Since 8.0.22; the old words are gone in 8.4. */
const REPLICA_WORDS_SINCE = [8, 0, 22] as const;
const HAS_APPLIED_ALL = /has read all relay log/i;
/** Channels of Group Replication's own: the group has no source. */
const GROUP_CHANNEL = /^group_replication_/;

/** What to ask, the likelier first: the other one is for a version that isn't what it seems. */
export function channelQuestions(version: string): readonly string[] {
  if (isMariadb(version)) return ['show all slaves status'];
  const numbers = (/^(\d+)\.(\d+)\.(\d+)/.exec(version) ?? []).slice(1).map(Number);
  const older = REPLICA_WORDS_SINCE.map((since, i) => (numbers[i] ?? 0) - since).find(by => by !== 0);
  const questions = ['show replica status', 'show slave status'];
  return older !== undefined && older < 0 ? questions.reverse() : questions;
}

export function isMariadb(version: string): boolean {
  return /mariadb/i.test(version);
}

/** `variables`: what was selected just before. */
export function readChannels(rows: readonly Texts[], variables: Texts): readonly ReplicationChannel[] {
  return rows.map(row => readChannel(row, variables)).filter(channel => !GROUP_CHANNEL.test(channel.name));
}

function readChannel(row: Texts, variables: Texts): ReplicationChannel {
  const tell = (...names: readonly string[]): string | null => {
    for (const name of names) {
      const value = row.get(name);
      if (value !== undefined && value !== null) return value;
    }
    return null;
  };
  const receiving = tell('slave_io_running', 'replica_io_running')?.toLowerCase();
  const applying = tell('slave_sql_running', 'replica_sql_running')?.toLowerCase() === 'yes';
  const lag = tell('seconds_behind_master', 'seconds_behind_source');
  return {
    name: tell('connection_name', 'channel_name') ?? '',
    source: `${tell('master_host', 'source_host') ?? ''}:${tell('master_port', 'source_port') ?? ''}`,
    // MariaDB and MySQL 5.7 say Connecting, older ones Preparing for the first moments.
    receiving: receiving === 'yes' ? 'yes' : receiving === 'no' ? 'no' : 'connecting',
    applying,
    caughtUp: readCaughtUp(tell, applying, variables),
    lagSeconds: lag === null || !Number.isFinite(Number(lag)) ? null : Number(lag),
    receiveError: readError(tell('last_io_errno'), tell('last_io_error')),
    applyError: readError(tell('last_sql_errno'), tell('last_sql_error')),
  };
}

type Tell = (...names: readonly string[]) => string | null;

/** By transactions where they have identifiers, else by what the applying thread says, else by places in the source's log. */
function readCaughtUp(tell: Tell, applying: boolean, variables: Texts): boolean | null {
  const received = tell('gtid_io_pos');
  if (received !== null && received !== '' && tell('using_gtid')?.toLowerCase() !== 'no') {
    return mariadbHas(received, variables);
  }
  const retrieved = parseMysqlGtids(tell('retrieved_gtid_set') ?? '');
  const executed = parseMysqlGtids(tell('executed_gtid_set') ?? '');
  if (retrieved !== null && executed !== null && !isEmptyGtids(retrieved)) {
    return isEmptyGtids(missingGtids(executed, retrieved));
  }
  const state = tell('slave_sql_running_state', 'replica_sql_running_state', 'slave_sql_state') ?? '';
  if (applying && HAS_APPLIED_ALL.test(state)) return true;
  const receivedTo = [
    tell('master_log_file', 'source_log_file'),
    tell('read_master_log_pos', 'read_source_log_pos'),
  ];
  const appliedTo = [
    tell('relay_master_log_file', 'relay_source_log_file'),
    tell('exec_master_log_pos', 'exec_source_log_pos'),
  ];
  if ([...receivedTo, ...appliedTo].includes(null)) return null;
  return receivedTo[0] === appliedTo[0] && receivedTo[1] === appliedTo[1];
}

/** What was received is applied when the position in its domain is there, or the binary log has the very transaction. */
function mariadbHas(received: string, variables: Texts): boolean | null {
  const wanted = parseMariadbGtids(received);
  const logged = parseMariadbGtids(variables.get('gtid_binlog_state') ?? '');
  const position = parseMariadbGtids(variables.get('gtid_slave_pos') ?? '');
  if (wanted === null || logged === null || position === null) return null;
  const reached = new Map(
    Object.entries(position).map(([origin, ranges]) => [origin.split('-')[0], ranges.at(-1)?.[1] ?? 0]),
  );
  return Object.entries(wanted).every(([origin, ranges]) => {
    const last = ranges.at(-1)?.[1] ?? 0;
    const inLog = logged[origin]?.at(-1)?.[1] ?? 0;
    return Math.max(reached.get(origin.split('-')[0]) ?? 0, inLog) >= last;
  });
}

function readError(errno: string | null, message: string | null): ReplicationError | null {
  const number = Number(errno ?? 0);
  if (number === 0 || !Number.isFinite(number)) return null;
  return { errno: number, message: truncate(message ?? '') };
}
