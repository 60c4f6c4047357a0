// Reads the errors of replication threads as MySQL and MariaDB write them: what kind they are, which row is in the way, and
// what of them may be shown. Pure. Used by mysql-faults.ts.
// Numbers: MariaDB documentation, "MariaDB Error Codes"; MySQL Reference Manual, "Server Error Message Reference".

import { truncate } from '../../core/limits.ts';
import { type ReplicationError } from '../../health/result.ts';
import { type Conflict } from './mysql-keep-rows.ts';

export const errors = {
  /** ER_GTID_STRICT_OUT_OF_ORDER (MariaDB). */
  gtidOrder: 1950,
  duplicateKey: 1062,
  rowMissing: 1032,
  /** ER_MASTER_FATAL_ERROR_READING_BINLOG: purged, or the position asked for isn't in it. */
  binlogRefused: 1236,
  accessDenied: 1045,
} as const;

/** Gone by itself, as a rule, when tried once more: lock wait timeout, deadlock. */
const TRANSIENT: ReadonlySet<number> = new Set([1205, 1213]);

export const isTransient = ({ errno }: ReplicationError): boolean => TRANSIENT.has(errno);

/** The source still has its binary log, but not the transaction that the follower says it has had last. */
export const isForeignPosition = ({ message }: ReplicationError): boolean =>
  /which is not in the (master|source)'s binlog|has diverged|more GTIDs than the/i.test(message);

/** Without the statement that failed: it holds values of rows, and passwords of CREATE USER. */
export function shown({ errno, message }: ReplicationError): string {
  const words = message
    .replace(/\s+on query\. .*$/s, '')
    .replace(/[.;,]?\s*(Default database|Query): .*$/s, '')
    .replace(/; the event's (master|source) log .*$/s, '')
    .replace(/\s+/g, ' ')
    .trim();
  return `error ${errno}: ${truncate(words, 200)}`;
}

/** The row that is in the way of a transaction (error 1062); `null` where the message doesn't tell. */
export function conflictIn({ message }: ReplicationError): Conflict | null {
  const [, entry, keyName] = /Duplicate entry '([^']*)' for key '([^']*)'/.exec(message) ?? [];
  const target = tableOfEvent(message) ?? tableOfStatement(message);
  if (entry === undefined || keyName === undefined || target === null) return null;
  // MySQL 8 writes table.key.
  return { ...target, key: keyName.slice(keyName.lastIndexOf('.') + 1), entry };
}

interface Target {
  readonly schema: string;
  readonly table: string;
}

function tableOfEvent(message: string): Target | null {
  const [, schema, table] = /_rows(?:_v1)? event on table ([\w$]+)\.([\w$]+);/.exec(message) ?? [];
  return schema === undefined || table === undefined ? null : { schema, table };
}

function tableOfStatement(message: string): Target | null {
  const database = /Default database: '([\w$]*)'/.exec(message)?.[1] ?? '';
  const [, named = database, table] =
    /Query: '\s*(?:insert|replace)\s+(?:(?:low_priority|delayed|high_priority|ignore)\s+)*(?:into\s+)?(?:`?([\w$]+)`?\s*\.\s*)?`?([\w$]+)`?/i.exec(
      message,
    ) ?? [];
  return table === undefined || named === '' ? null : { schema: named, table };
}

/** The table of a failed change, for people; `null` where the message doesn't tell. */
export function tableIn({ message }: ReplicationError): string | null {
  const target = tableOfEvent(message);
  return target === null ? null : `${target.schema}.${target.table}`;
}
