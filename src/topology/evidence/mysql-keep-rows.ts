// The statements for two rows under one key (error 1062), which keep both. Text only: Pointsman runs none of them. Each
// server's are meant for one session on it, in their order. Tried on real servers by test/scenario/system-000-mend.test.ts.
// What servers say goes into a statement only if it is harmless: names and keys come from rows that anybody may write.

import { type GtidSet } from '../../health/result.ts';
import { dialectOf, type Dialect } from './mysql-dialect.ts';
import { lacksOf, type Member } from './mysql-history.ts';
import { canBeWritten, on, type Mend, type Side } from './mysql-mend.ts';

/** What a server said about a row that is in its way. */
export interface Conflict {
  readonly schema: string;
  readonly table: string;
  readonly key: string;
  readonly entry: string;
}

const WAIT_SECONDS = 10;
const IDENTIFIER_MAX_CHARS = 64;

/**
 * The server's own row is copied aside and makes room for the other's transaction. On the primary it is put back
 * afterwards, and the other's is copied aside in its place, so that applications go on with the row they know. Each exchange
 * is one transaction that holds the key, so that nothing is overwritten that was not copied before. What a server that
 * isn't the primary does here is not logged: it must not write while another does.
 */
export function keepBothRows(side: Side, source: Member, conflict: Conflict, isPrimary: boolean): Mend {
  const { member, channel } = side;
  if (channel === null || !canBeWritten(channel) || !isHarmless(conflict)) return [];
  const sql = dialectOf(member);
  const { create, copyAside, remove, moved, putBack, forget } = exchange(conflict, member, sql);
  const preparation = [
    'SET SESSION group_concat_max_len = 1000000, SESSION foreign_key_checks = 0',
    'SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ',
    ...(sql.isMariadb ? ["SET SESSION binlog_format = 'ROW'"] : []),
    columnsOf(conflict),
    rowOf(conflict),
    // Run once more when all is well again, all this does nothing.
    ...sql.notApplying('@broken', channel),
  ];
  const makeRoom = unlogged(atOnce(copyAside(member, '@broken'), remove('@broken')));
  const go = sql.start(channel);
  if (!isPrimary) return on(member, [...preparation, ...unlogged(create), ...makeRoom, go]);
  // Till the first that is missing is there: that is the one that failed. It may not be known yet.
  const wait = sql.waitFor(firstsOf(lacksOf(member, source)), WAIT_SECONDS) ?? 'SELECT SLEEP(1)';
  return on(member, [
    ...preparation,
    ...create,
    ...makeRoom,
    go,
    wait,
    ...moved,
    ...atOnce(copyAside(source, '@moved'), remove('@moved'), putBack),
    ...unlogged(forget),
  ]);
}

/** Where the rows of `keepBothRows` are. */
export function keptTable({ schema, table }: Conflict, member: Member): string {
  return `${schema}.${keptName(table, member.name)}`;
}

export function isHarmless({ schema, table, key, entry }: Conflict): boolean {
  return [schema, table, key].every(word => /^[\w$]{1,64}$/.test(word)) && /^[\w .:@+-]{1,60}$/.test(entry);
}

const atOnce = (...parts: readonly (readonly string[])[]): readonly string[] => [
  'START TRANSACTION',
  ...parts.flat(),
  'COMMIT',
];

const unlogged = (statements: readonly string[]): readonly string[] => [
  'SET SESSION sql_log_bin = 0',
  ...statements,
  'SET SESSION sql_log_bin = 1',
];

/** The steps, on what `columnsOf` and `rowOf` have put into variables. */
function exchange(conflict: Conflict, member: Member, sql: Dialect) {
  const table = `\`${conflict.schema}\`.\`${conflict.table}\``;
  const kept = `\`${conflict.schema}\`.\`${keptName(conflict.table, member.name)}\``;
  const own = `kept_from = ''${label(member)}'' AND `;
  return {
    create: sql.execute(
      `CONCAT('CREATE TABLE IF NOT EXISTS ${kept} AS SELECT CAST('''' AS CHAR(64)) AS kept_from, NOW(6) AS kept_at, ', @columns, ' FROM ${table} LIMIT 0')`,
    ),
    copyAside: (from: Member, condition: string) =>
      sql.execute(
        `CONCAT('INSERT INTO ${kept} SELECT ''${label(from)}'', NOW(6), ', @columns, ' FROM ${table} WHERE ${condition} AND ', @row, ' FOR UPDATE')`,
      ),
    remove: (condition: string) =>
      sql.execute(`CONCAT('DELETE FROM ${table} WHERE ${condition} AND ', @row)`),
    moved: sql.execute(`CONCAT('SELECT COUNT(*) > 0 INTO @moved FROM ${kept} WHERE ${own}', @row)`),
    putBack: sql.execute(
      `CONCAT('INSERT INTO ${table} (', @columns, ') SELECT ', @columns, ' FROM ${kept} WHERE ${own}', @row, ' ORDER BY kept_at DESC LIMIT 1')`,
    ),
    forget: sql.execute(`CONCAT('DELETE FROM ${kept} WHERE ${own}', @row)`),
  };
}

/** Of each origin the first. */
function firstsOf(set: GtidSet): GtidSet {
  return Object.fromEntries(
    Object.entries(set).map(([origin, [range]]) => [
      origin,
      range === undefined ? [] : [[range[0], range[0]]],
    ]),
  );
}

const label = ({ name }: Member): string => name.replaceAll(/[^\w-]/g, '_').slice(0, IDENTIFIER_MAX_CHARS);

function keptName(table: string, server: string): string {
  const end = `_kept_on_${server.replaceAll(/\W/g, '_')}`.slice(-32);
  return table.slice(0, IDENTIFIER_MAX_CHARS - end.length) + end;
}

const COLUMN = "'`', REPLACE(column_name, '`', '``'), '`'";

/** Of all but generated columns, for those can't be written. */
function columnsOf({ schema, table }: Conflict): string {
  return `SET @columns = (SELECT GROUP_CONCAT(${COLUMN} ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = '${schema}' AND table_name = '${table}' AND COALESCE(generation_expression, '') = '')`;
}

/**
 * The condition that finds the row, from the key as the server writes it: its columns joined by dashes. Where each column's
 * part is plain to see it is compared by itself too, so that the index is used and no other row is locked.
 */
function rowOf({ schema, table, key, entry }: Conflict): string {
  const part = `SUBSTRING_INDEX(SUBSTRING_INDEX('${entry}', '-', seq_in_index), '-', -1)`;
  const equals = (value: string): string =>
    `GROUP_CONCAT(${COLUMN}, ' = ''', ${value}, ''' AND ' ORDER BY seq_in_index SEPARATOR '')`;
  const plain = `CASE COUNT(*) WHEN 1 THEN ${equals(`'${entry}'`)} WHEN ${entry.split('-').length} THEN ${equals(part)} ELSE '' END`;
  const joined = `'CONCAT_WS(''-'', ', GROUP_CONCAT(${COLUMN} ORDER BY seq_in_index), ') = ''${entry}'''`;
  return `SET @row = (SELECT CONCAT(${plain}, ${joined}) FROM information_schema.statistics WHERE table_schema = '${schema}' AND table_name = '${table}' AND index_name = '${key}')`;
}
