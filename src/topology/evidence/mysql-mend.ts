// The statements that mend broken replication without losing a row. Text only: Pointsman runs none of them. Each server's
// are meant for one session on it, in their order. Tried on real servers by test/integration/system-000-mend.test.ts.
// What servers say goes into a statement only if it is harmless: names and keys come from rows that anybody may write.

import { type Fault } from '../model.ts';
import { dialectOf, type Threads } from './mysql-dialect.ts';
import { lacksOf, type Member } from './mysql-history.ts';

export type Mend = Fault['mend'];

/** What a server said about a row that is in its way. */
export interface Conflict {
  readonly schema: string;
  readonly table: string;
  readonly key: string;
  readonly entry: string;
}

const WAIT_SECONDS = 60;
const IDENTIFIER_MAX_CHARS = 64;
const CHANNEL = /^[\w.-]*$/;

/** A channel whose name could carry SQL gets no statements at all. */
function canBeWritten(channel: string): boolean {
  return CHANNEL.test(channel);
}

const on = (member: Member, statements: readonly (string | null)[]): Mend =>
  statements.flatMap(statement => (statement === null ? [] : [{ server: member.name, statement }]));

export function startAgain(member: Member, channel: string, threads: Threads): Mend {
  return canBeWritten(channel) ? on(member, [dialectOf(member).start(channel, threads)]) : [];
}

export interface Side {
  readonly member: Member;
  /** The name of its channel from the other one; `null` for none. */
  readonly channel: string | null;
}

/**
 * Each fetches what it lacks of the other, by the position of what it has applied; MariaDB's strict order of GTIDs, which
 * forbids just that, is off meanwhile. Setting gtid_slave_pos to the other's position instead, as is often advised,
 * would make both run again and leave each without the other's rows for ever.
 */
export function reconcile(one: Side, other: Side, primary: string | null): Mend {
  const sides = [
    { ...one, lacks: lacksOf(one.member, other.member) },
    { ...other, lacks: lacksOf(other.member, one.member) },
  ].flatMap(({ channel, ...rest }) => (channel === null ? [] : [{ channel, ...rest }]));
  if (!sides.every(({ channel }) => canBeWritten(channel))) return [];
  const steps = sides.map(({ member, channel, lacks }) => ({
    member,
    channel,
    lacks,
    sql: dialectOf(member),
  }));
  return [
    ...steps.flatMap(({ member, sql }) =>
      on(
        member,
        sql.isMariadb ? ['SET @strict = @@GLOBAL.gtid_strict_mode', 'SET GLOBAL gtid_strict_mode = 0'] : [],
      ),
    ),
    ...steps.flatMap(({ member, channel, sql }) =>
      on(member, [sql.stop(channel), sql.byAppliedPosition(channel), sql.start(channel)]),
    ),
    ...steps.flatMap(({ member, lacks, sql }) => on(member, [sql.waitFor(lacks, WAIT_SECONDS)])),
    ...steps.flatMap(({ member, sql }) =>
      sql.isMariadb ? on(member, strictAgain(member.name === primary)) : [],
    ),
  ];
}

/**
 * The primary logs something of its own before: with rpl_semi_sync_slave_enabled and the strict order, MariaDB takes its
 * own transactions back from the other one and applies them a second time, unless the newest in its log is a later one
 * (MDEV-27760); and the newest there now is an old one, of the other. FLUSH HOSTS is logged and harms nobody.
 */
function strictAgain(isPrimary: boolean): readonly string[] {
  const restore = 'SET GLOBAL gtid_strict_mode = COALESCE(@strict, @@GLOBAL.gtid_strict_mode)';
  return isPrimary ? ['FLUSH HOSTS', restore] : [restore];
}

/**
 * Two rows under one key: the server's own is copied aside and makes room for the other's transaction. On the primary it
 * is put back afterwards, and the other's is copied aside too, so that applications go on with the row they know.
 */
export function keepBothRows(side: Side, source: Member, conflict: Conflict, isPrimary: boolean): Mend {
  const { member, channel } = side;
  if (channel === null || !canBeWritten(channel) || !isHarmless(conflict)) return [];
  const sql = dialectOf(member);
  const table = `\`${conflict.schema}\`.\`${conflict.table}\``;
  const kept = `\`${conflict.schema}\`.\`${keptName(conflict.table, member.name)}\``;
  const copyAside = (from: Member): readonly string[] =>
    sql.execute(
      `CONCAT('INSERT INTO ${kept} SELECT ''${label(from)}'', NOW(6), ', @columns, ' FROM ${table} WHERE ', @row)`,
    );
  const createKept = sql.execute(
    `CONCAT('CREATE TABLE IF NOT EXISTS ${kept} AS SELECT CAST('''' AS CHAR(64)) AS kept_from, NOW(6) AS kept_at, ', @columns, ' FROM ${table} LIMIT 0')`,
  );
  const makeRoom = [
    'SET SESSION sql_log_bin = 0',
    ...sql.execute(`CONCAT('DELETE FROM ${table} WHERE ', @row)`),
    'SET SESSION sql_log_bin = 1',
  ];
  const preparation = [
    'SET SESSION group_concat_max_len = 1000000, SESSION foreign_key_checks = 0',
    ...(sql.isMariadb ? ["SET SESSION binlog_format = 'ROW'"] : []),
    columnsOf(conflict),
    rowOf(conflict),
  ];
  const go = sql.start(channel);
  if (!isPrimary) {
    const aside = ['SET SESSION sql_log_bin = 0', ...createKept, ...copyAside(member)];
    return on(member, [...preparation, ...aside, ...makeRoom, go]);
  }
  const putBack = sql.execute(
    `CONCAT('REPLACE INTO ${table} (', @columns, ') SELECT ', @columns, ' FROM ${kept} WHERE kept_from = ''${label(member)}'' AND ', @row, ' ORDER BY kept_at')`,
  );
  const wait = sql.waitFor(lacksOf(member, source), WAIT_SECONDS / 6);
  return on(member, [
    ...[...preparation, ...createKept, ...copyAside(member), ...makeRoom, go, wait],
    ...[...copyAside(source), ...putBack],
  ]);
}

/** Where the rows of `keepBothRows` are. */
export function keptTable({ schema, table }: Conflict, member: Member): string {
  return `${schema}.${keptName(table, member.name)}`;
}

export function isHarmless({ schema, table, key, entry }: Conflict): boolean {
  return [schema, table, key].every(word => /^[\w$]{1,64}$/.test(word)) && /^[\w .:@+-]{1,60}$/.test(entry);
}

const label = ({ name }: Member): string => name.replaceAll(/[^\w-]/g, '_').slice(0, IDENTIFIER_MAX_CHARS);

function keptName(table: string, server: string): string {
  const end = `_kept_on_${server.replaceAll(/\W/g, '_')}`.slice(-32);
  return table.slice(0, IDENTIFIER_MAX_CHARS - end.length) + end;
}

/** Of all but generated columns, for those can't be written. */
function columnsOf({ schema, table }: Conflict): string {
  return `SET @columns = (SELECT GROUP_CONCAT('\`', REPLACE(column_name, '\`', '\`\`'), '\`' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = '${schema}' AND table_name = '${table}' AND COALESCE(generation_expression, '') = '')`;
}

/** The condition that finds the row, from the key as the server writes it: its columns joined by dashes. */
function rowOf({ schema, table, key, entry }: Conflict): string {
  return `SET @row = (SELECT CONCAT('CONCAT_WS(''-'', ', GROUP_CONCAT('\`', REPLACE(column_name, '\`', '\`\`'), '\`' ORDER BY seq_in_index), ') = ''${entry}''') FROM information_schema.statistics WHERE table_schema = '${schema}' AND table_name = '${table}' AND index_name = '${key}')`;
}
