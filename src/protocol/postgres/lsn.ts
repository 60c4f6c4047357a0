// A position in PostgreSQL's write-ahead log: two hexadecimal halves of a 64-bit count of bytes.
// Text format: PostgreSQL documentation, 8.20 "pg_lsn Type". No I/O. Used by evidence and loss reports.

/** Bytes since the beginning of the log; `null` for what is no position. */
export function parseLsn(text: string | null): bigint | null {
  const match = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text ?? '');
  return match === null ? null : (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}
