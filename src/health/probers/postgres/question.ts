// The one question a probe asks, and how its row becomes facts.
// One simple query, one row of texts; works for a role without privileges, on PostgreSQL 12 to 18, in and out of recovery.
// Pure. Used by the prober beside it.

import { nothingTold, type ServerFacts, type Standby, type WalFacts } from '../../result.ts';

/**
 * `pg_is_in_recovery()` is asked once and every branch follows that answer: a promotion amid the query then can't
 * call a function that is only allowed in the other state, since recovery ends but never begins again.
 * Names are qualified because the probe's database may hold functions of its own.
 * - Timeline of a primary: from the name of the WAL file it writes, for `pg_control_checkpoint()` tells the old one
 *   until the first checkpoint after a promotion.
 * - A role without pg_monitor sees of pg_stat_wal_receiver the pid only: enough to know that it receives.
 * - Lag is 0 when everything received is replayed: the replay timestamp of an idle primary grows old, but that is no lag.
 *   It is unknown before the first replayed commit; greatest() would make a 0 of that, for it ignores nulls.
 * - After a promotion pg_last_wal_replay_lsn() stays at the fork, after a crash at the end of what was recovered.
 * - The standbys are looked at only while commits wait for some, and by the functions below pg_stat_replication: to plan
 *   that view takes longer than all the rest. A role without pg_monitor sees their names, not their
 *   states, and of a receiver not how it calls itself. Both texts are cut: an answer must fit into a frame.
 * - How a receiver calls itself stands in its connection string, whose values aren't quoted: hence the words around it.
 */
export const QUESTION = `select s.r,
  pg_catalog.current_setting('transaction_read_only'),
  pg_catalog.current_setting('default_transaction_read_only'),
  (select c.system_identifier from pg_catalog.pg_control_system() c),
  case when s.r
    then coalesce(w.received_tli, (select c.timeline_id from pg_catalog.pg_control_checkpoint() c))::text
    else pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) end,
  case when s.r
    then coalesce(pg_catalog.pg_last_wal_replay_lsn(), pg_catalog.pg_last_wal_receive_lsn())
    else pg_catalog.pg_current_wal_lsn() end,
  w.pid is not null,
  case when not s.r or w.pid is null then null
    when pg_catalog.pg_last_wal_receive_lsn() <= pg_catalog.pg_last_wal_replay_lsn() then 0
    when pg_catalog.pg_last_xact_replay_timestamp() is not null then greatest(0, extract(epoch from
      pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())) end,
  w.sender_host, w.sender_port,
  case when not s.r then pg_catalog.pg_last_wal_replay_lsn() end,
  pg_catalog.left(pg_catalog.current_setting('synchronous_standby_names'), 1024),
  pg_catalog.current_setting('synchronous_commit'),
  case when not s.r and pg_catalog.current_setting('synchronous_standby_names') <> '' then pg_catalog.left((
    select pg_catalog.json_agg(pg_catalog.json_build_array(a.application_name, x.sync_state))::text
    from pg_catalog.pg_stat_get_wal_senders() x, pg_catalog.pg_stat_get_activity(x.pid) a), 8192) end,
  coalesce(
    pg_catalog.substring(w.conninfo, ' application_name=(.*?) fallback_application_name='),
    pg_catalog.substring(w.conninfo, ' fallback_application_name=([^ ]*) [a-z_]+='))
from (select pg_catalog.pg_is_in_recovery() as r offset 0) s
left join pg_catalog.pg_stat_wal_receiver w on s.r`;

const COLUMNS = 15;

/** The facts in an answer to QUESTION, or why it is none. `version` is what the server said at login. */
export function readFacts(row: readonly (string | null)[], version: string | null): ServerFacts | string {
  if (row.length !== COLUMNS) return `an answer of ${row.length} columns`;
  const [
    inRecovery,
    readOnly,
    defaultReadOnly,
    systemId,
    timeline,
    position,
    receives,
    lag,
    host,
    port,
    ...wal
  ] = row;
  if (!isBoolean(inRecovery) || !isSwitch(readOnly) || !isSwitch(defaultReadOnly) || !isBoolean(receives)) {
    return 'an answer with unexpected values';
  }
  const replica = inRecovery === 't';
  return {
    ...nothingTold,
    role: replica ? 'replica' : 'primary',
    writable: !replica && readOnly === 'off' && defaultReadOnly === 'off',
    version,
    systemId: systemId ?? null,
    timeline: readTimeline(timeline ?? null, replica),
    position: position ?? null,
    lagSeconds: readNumber(lag ?? null),
    replicating: replica ? receives === 't' : null,
    upstream: host && port ? `${host}:${port}` : null,
    wal: readWal(wal),
  };
}

function readWal([recoveredTo, names, commit, standbys, standbyName]: readonly (string | null)[]): WalFacts {
  return {
    recoveredTo: recoveredTo ?? null,
    synchronousNames: names ?? '',
    synchronousCommit: commit ?? '',
    standbys: readStandbys(standbys ?? null),
    standbyName: standbyName ?? null,
  };
}

/** `null` for a list that was cut, or whose states are hidden. */
function readStandbys(text: string | null): readonly Standby[] | null {
  const rows = text === null ? null : parseJson(text);
  if (!Array.isArray(rows)) return null;
  const standbys: Standby[] = [];
  for (const row of rows as readonly unknown[]) {
    const [name, state] = Array.isArray(row) ? (row as readonly unknown[]) : [];
    if (typeof name !== 'string' || typeof state !== 'string') return null;
    standbys.push({ name, synchronous: state === 'sync' || state === 'quorum' });
  }
  return standbys;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // the list was cut
  }
}

/** Decimal from the views, hexadecimal from a WAL file name. */
function readTimeline(text: string | null, replica: boolean): number | null {
  if (text === null) return null;
  const pattern = replica ? /^\d{1,10}$/ : /^[0-9A-F]{8}$/;
  return pattern.test(text) ? Number.parseInt(text, replica ? 10 : 16) : null;
}

function readNumber(text: string | null): number | null {
  if (text === null || !/^\d+(\.\d+)?$/.test(text)) return null;
  return Number(text);
}

const isBoolean = (text: string | null | undefined): boolean => text === 't' || text === 'f';
const isSwitch = (text: string | null | undefined): boolean => text === 'on' || text === 'off';
