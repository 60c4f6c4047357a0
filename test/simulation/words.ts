// What simulated clients and servers say to each other. Real PostgreSQL messages where Pointsman reads them (the startup
// packet, the cancel key at the end of a login), else only told apart by identity.

const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

/** Messages of a server have a type byte; both have a length that counts itself. */
function message(type: string, body: string): string {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length + 4);
  return `${type}${length.toString('latin1')}${body}`;
}

export const said = {
  startup: ascii(message('', '\0\x03\0\0user\0app\0database\0app\0\0')),
  read: ascii(message('Q', 'select 1\0')),
  write: ascii(message('Q', 'insert into ledger\0')),
  welcome: ascii(message('R', '\0\0\0\0') + message('K', '\0\0\0\x07\0\0\0\x09') + message('Z', 'I')),
  row: ascii(message('C', 'SELECT 1\0') + message('Z', 'I')),
  done: ascii(message('C', 'INSERT 0 1\0') + message('Z', 'I')),
  readOnly: ascii(message('E', 'SERROR\0C25006\0Mread-only\0\0') + message('Z', 'I')),
  refused: ascii(message('E', 'SFATAL\0C53300\0Msorry, too many clients already\0\0')),
} as const;
