// The variables of a server that a probe reads. Which of them exist depends on flavor and version, and a SELECT of one that
// doesn't is an error: so a session learns their names once, and then selects those there are. Pure. Used by interview.ts.

/** Values by lower-case name, as texts; `null` is SQL's. */
export type Texts = ReadonlyMap<string, string | null>;

/**
 * `gtid_slave_pos` stands before `gtid_binlog_state`: a transaction is in the latter first, so that the former, read first,
 * never seems to be ahead of it.
 */
const READ = [
  'read_only',
  'super_read_only',
  'innodb_read_only',
  'transaction_read_only',
  'tx_read_only',
  'gtid_slave_pos',
  'gtid_current_pos',
  'gtid_binlog_state',
  'gtid_executed',
  'gtid_mode',
  'log_bin',
  'server_id',
  'server_uuid',
  'wsrep_on',
  'wsrep_provider',
  'wsrep_reject_queries',
  'group_replication_group_name',
] as const;

/** Limits on the run of one statement: seconds in MariaDB, milliseconds in MySQL (SELECT only). */
const MARIADB_LIMIT = 'max_statement_time';
const MYSQL_LIMIT = 'max_execution_time';

export const NAMES_QUESTION = `show global variables where variable_name in (${[
  ...READ,
  MARIADB_LIMIT,
  MYSQL_LIMIT,
]
  .map(name => `'${name}'`)
  .join(', ')})`;

/** `known`: the names that the server told, in lower case. */
export function variablesQuestion(known: ReadonlySet<string>): string {
  // `transaction_read_only` has an older name, which some versions warn of.
  const wanted = READ.filter(
    name => known.has(name) && !(name === 'tx_read_only' && known.has('transaction_read_only')),
  );
  return `select ${wanted.map(name => `@@global.${name} as ${name}`).join(', ')}`;
}

/** A statement ends by itself a little before its probe gives up, so that the session outlives it. */
const SHARE_OF_TIMEOUT = 0.9;

/**
 * Makes a statement end by itself that would outlive its probe, or threads of them would heap up on the server; and lets
 * each see what is committed now, whatever the server's default is.
 */
export function sessionSettings(known: ReadonlySet<string>, timeoutMs: number): string {
  const limitMs = Math.max(1, Math.floor(timeoutMs * SHARE_OF_TIMEOUT));
  const limits = [
    ...(known.has(MARIADB_LIMIT) ? [`${MARIADB_LIMIT} = ${(limitMs / 1000).toFixed(3)}`] : []),
    ...(known.has(MYSQL_LIMIT) ? [`${MYSQL_LIMIT} = ${limitMs}`] : []),
  ];
  const lockWaitSeconds = Math.max(1, Math.ceil(timeoutMs / 1000));
  return `set session ${['autocommit = 1', `lock_wait_timeout = ${lockWaitSeconds}`, ...limits].join(', ')}`;
}

/** One row, its values by the names of its columns. */
export function textsOf(
  columns: readonly string[],
  row: readonly (Uint8Array | null)[],
): ReadonlyMap<string, string | null> {
  return new Map(columns.map((name, i) => [name.toLowerCase(), textOf(row[i])]));
}

/** Rows of a name and a value. */
export function pairsOf(rows: readonly (readonly (Uint8Array | null)[])[]): Texts {
  return new Map(rows.map(([name, value]) => [(textOf(name) ?? '').toLowerCase(), textOf(value)]));
}

/** A variable that exists and is on. */
export function isOn(texts: Texts, name: string): boolean {
  const value = texts.get(name)?.toLowerCase() ?? '';
  return value !== '' && value !== '0' && value !== 'off' && value !== 'no';
}

function textOf(value: Uint8Array | null | undefined): string | null {
  return value === null || value === undefined ? null : Buffer.from(value).toString('utf8');
}
