// First packets of a PostgreSQL client and the first messages of a server, as bytes, for tests of the proxy.
// Written by hand and not with src/protocol, so that a mistake there can't hide itself.

function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => bytes.writeUInt32BE(value >>> 0, index * 4));
  return bytes;
}

export const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
export const gssRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30]);
export const directTls = Buffer.from([0x16, 0x03, 0x01, 0x00, 0x05, 1, 2, 3, 4, 5]);

export function startupPacket(user = 'app'): Buffer {
  const body = Buffer.concat([u32(196_608), Buffer.from(`user\0${user}\0\0`)]);
  return Buffer.concat([u32(body.length + 4), body]);
}

/** A key is a number in protocol 3.0, and up to 256 bytes in 3.2. */
const keyBytes = (key: number | Buffer): Buffer => (typeof key === 'number' ? u32(key) : key);

export function cancelPacket(pid: number, key: number | Buffer): Buffer {
  const bytes = keyBytes(key);
  return Buffer.concat([u32(12 + bytes.length, 80_877_102, pid), bytes]);
}

/** AuthenticationOk and BackendKeyData. */
export function greetingWithKey(pid: number, key: number | Buffer): Buffer {
  const bytes = keyBytes(key);
  return Buffer.concat([Buffer.from('R'), u32(8, 0), Buffer.from('K'), u32(8 + bytes.length, pid), bytes]);
}

/** Severity, SQLSTATE and message of an ErrorResponse. */
export function readError(bytes: Buffer): { severity: string; sqlstate: string; message: string } {
  if (bytes[0] !== 0x45) throw new Error(`not an ErrorResponse: ${bytes.toString('latin1')}`);
  const fields = new Map(
    bytes
      .subarray(5, 1 + bytes.readUInt32BE(1))
      .toString()
      .split('\0')
      .map(field => [field.slice(0, 1), field.slice(1)]),
  );
  return {
    severity: fields.get('S') ?? '',
    sqlstate: fields.get('C') ?? '',
    message: fields.get('M') ?? '',
  };
}
