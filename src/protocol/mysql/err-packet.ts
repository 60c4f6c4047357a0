// The ERR packet that a MySQL or MariaDB server sends in place of its greeting when it can't take a client.
// Only written, never read; no decision which error. Pure. Called by proxy/refusal.ts.

/** MYSQL_ERRMSG_SIZE of the client libraries: what is longer they cut off, or refuse. */
const MESSAGE_MAX_BYTES = 512;
const HEADER_BYTES = 4;
const ERR = 0xff;

export interface MysqlError {
  /** Of a server: client libraries take 2000–2999, which are their own, for a malformed packet. */
  readonly errno: number;
  /** Five characters, such as `08004`. */
  readonly sqlstate: string;
  readonly message: string;
}

/**
 * `sequence`: left out, packet number 0, the first of the connection (MySQL: "ERR_Packet", "Connection Phase").
 * Before the client has told its capabilities, servers leave out the SQLSTATE with its marker `#`. It is written all the
 * same: every client since 4.1 looks for the marker (`mysql`, mysql2 and sysbench were tried), and the ones that go by
 * SQLSTATE then see a connection error (class 08) where they would assume HY000.
 */
export function errPacket({ errno, sqlstate, message }: MysqlError, sequence = 0): Uint8Array {
  const text = Buffer.from(`#${sqlstate}${message}`).subarray(0, MESSAGE_MAX_BYTES);
  const packet = Buffer.alloc(HEADER_BYTES + 3 + text.length);
  packet.writeUIntLE(3 + text.length, 0, 3);
  packet[HEADER_BYTES - 1] = sequence;
  packet[HEADER_BYTES] = ERR;
  packet.writeUInt16LE(errno, HEADER_BYTES + 1);
  packet.set(text, HEADER_BYTES + 3);
  return packet;
}
