// From what a MySQL or MariaDB server answered to the facts of a probe: role, writability, position, history. Pure.
// Not the asking (interview.ts, which uses it) and not the channels of replication (channels.ts).

import { truncate } from '../../../core/limits.ts';
import { mariadbHistory, parseMariadbGtids, parseMysqlGtids } from '../../../protocol/mysql/gtid.ts';
import { nothingTold, type History, type ReplicationChannel, type ServerFacts } from '../../result.ts';
import { isMariadb } from './channels.ts';
import { type Membership } from './clusters.ts';
import { isOn, type Texts } from './variables.ts';

const POSITION_MAX_CHARS = 200;
const READ_ONLY = [
  'read_only',
  'super_read_only',
  'innodb_read_only',
  'transaction_read_only',
  'tx_read_only',
];

export interface Told {
  readonly version: string;
  readonly variables: Texts;
  /** Of a Galera cluster or a MySQL group; `null`: it is in none. */
  readonly membership: Membership | null;
  /** `null`: the probe user may not see them. */
  readonly channels: readonly ReplicationChannel[] | null;
}

export interface Reading {
  readonly facts: ServerFacts;
  /** What the facts have no field for. */
  readonly remark: string | null;
}

export function readFacts({ version, variables, membership, channels }: Told): Reading {
  const readOnly = READ_ONLY.find(name => isOn(variables, name)) ?? null;
  const role = roleOf(membership, readOnly !== null);
  const replica = role === 'replica';
  const facts: ServerFacts = {
    ...nothingTold,
    role,
    writable: role === 'primary',
    version: version.split('-')[0] ?? null,
    systemId: membership?.id ?? null,
    position: membership?.position ?? positionOf(variables, isMariadb(version)),
    lagSeconds: replica ? lagOf(channels) : null,
    replicating: replica ? isReplicating(channels, membership) : null,
    upstream: replica ? (channels?.[0]?.source ?? null) : null,
    channels: Object.freeze(channels ?? []),
    ...(channels === null ? { channelsHidden: true } : {}),
    // Members of a Galera cluster each log the same transactions under numbers of their own: these compare to nothing.
    history: membership?.kind === 'galera' ? null : historyOf(variables, isMariadb(version)),
  };
  const remarks = [
    membership?.remark ?? null,
    readOnly === null ? null : `${readOnly} is on`,
    channels === null
      ? 'replication is not visible (GRANT REPLICATION CLIENT; MariaDB: REPLICA MONITOR)'
      : null,
    ...(channels ?? []).map(brokenWords),
  ].filter(words => words !== null);
  return { facts, remark: remarks.length === 0 ? null : remarks.join('; ') };
}

function roleOf(membership: Membership | null, readOnly: boolean): ServerFacts['role'] {
  if (membership?.role === 'none') return 'unknown';
  return readOnly || membership?.role === 'reader' ? 'replica' : 'primary';
}

function positionOf(variables: Texts, mariadb: boolean): string | null {
  const text = variables.get(mariadb ? 'gtid_current_pos' : 'gtid_executed') ?? '';
  return text === '' ? null : truncate(text.replaceAll(/\s/g, ''), POSITION_MAX_CHARS);
}

/** `null`: transactions have no identifiers there. An empty history is one: that of a server that has nothing. */
function historyOf(variables: Texts, mariadb: boolean): History | null {
  if (!mariadb) {
    const transactions = parseMysqlGtids(variables.get('gtid_executed') ?? '');
    // ON_PERMISSIVE and OFF_PERMISSIVE: some transactions have one and some don't.
    const told = (variables.get('gtid_mode') ?? '').toUpperCase() === 'ON';
    return told && transactions !== null
      ? { kind: 'gtid', flavor: 'mysql', transactions, ...ownOrigin(variables, 'server_uuid') }
      : null;
  }
  const state = variables.get('gtid_binlog_state') ?? '';
  const position = variables.get('gtid_slave_pos') ?? '';
  if (!isOn(variables, 'log_bin') && position === '') return null;
  const logged = parseMariadbGtids(state);
  const applied = parseMariadbGtids(position);
  if (logged === null || applied === null) return null;
  const transactions = mariadbHistory(logged, applied);
  return { kind: 'gtid', flavor: 'mariadb', transactions, ...ownOrigin(variables, 'server_id') };
}

/** What its own transactions are known by, as `parseMysqlGtids` writes it. */
function ownOrigin(variables: Texts, name: 'server_id' | 'server_uuid'): { own?: string } {
  const own = variables.get(name)?.toLowerCase() ?? '';
  return own === '' ? {} : { own };
}

/** Of several sources, the one it is behind most. */
function lagOf(channels: readonly ReplicationChannel[] | null): number | null {
  const lags = channels?.map(channel => (isRunning(channel) ? channel.lagSeconds : null)) ?? [];
  return lags.length === 0 || lags.includes(null) ? null : Math.max(...lags.map(lag => lag ?? 0));
}

function isReplicating(
  channels: readonly ReplicationChannel[] | null,
  membership: Membership | null,
): boolean | null {
  if (membership !== null) return true; // the group carries the transactions, and it is in step with it
  if (channels === null) return null;
  return channels.length > 0 && channels.every(isRunning);
}

function isRunning(channel: ReplicationChannel): boolean {
  return channel.receiving === 'yes' && channel.applying;
}

function brokenWords(channel: ReplicationChannel): string | null {
  const from = `from ${channel.source}`;
  if (channel.applyError !== null) return `applying ${from} failed with ${channel.applyError.errno}`;
  if (!channel.applying) return `applying ${from} is stopped`;
  if (channel.receiveError !== null) return `receiving ${from} failed with ${channel.receiveError.errno}`;
  return channel.receiving === 'no' ? `receiving ${from} is stopped` : null;
}
