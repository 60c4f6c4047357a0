// A TCP server on loopback that says what a test tells it to say: the peers a probe must survive.
// Ended with the test, whatever its state.

import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { type TestContext } from 'node:test';

export interface ScriptedPeer {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** Connections accepted so far. */
  connections(): number;
}

/** `script` runs for each connection; `nth` counts from 1. */
export async function scriptedPeer(
  t: TestContext,
  script: (socket: Socket, nth: number) => void,
): Promise<ScriptedPeer> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined); // the probe may hang up at any moment; that is what is tested
    accepted += 1;
    script(socket, accepted);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port, connections: () => accepted };
}

/** Frames as a PostgreSQL server writes them: type letter, length, body. */
export function frame(type: string, body: Uint8Array | string): Buffer {
  const bytes = Buffer.from(body as Uint8Array);
  const header = Buffer.alloc(5);
  header.write(type, 0, 'latin1');
  header.writeUInt32BE(4 + bytes.length, 1);
  return Buffer.concat([header, bytes]);
}

export function int32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeInt32BE(value, 4 * i));
  return bytes;
}

export function dataRow(values: readonly (string | null)[]): Buffer {
  const count = Buffer.alloc(2);
  count.writeInt16BE(values.length);
  const fields = values.map(value =>
    value === null ? int32(-1) : Buffer.concat([int32(Buffer.byteLength(value)), Buffer.from(value)]),
  );
  return frame('D', Buffer.concat([count, ...fields]));
}

/** What a server says when it lets a user in without a password. */
export const welcome = Buffer.concat([
  frame('R', int32(0)),
  frame('S', 'server_version\x0016.2 (scripted)\0'),
  frame('K', int32(7, 8)),
  frame('Z', 'I'),
]);

/** What a primary answers to the probe's question. */
export const primaryRow: readonly (string | null)[] = [
  ...['f', 'off', 'off', '77', '0000000A', '0/3000148', 'f', null, null, null],
  ...[null, '', 'on', '{}', null],
];

/** A whole answer of a writable primary to the probe's question. */
export const primaryAnswer = Buffer.concat([dataRow(primaryRow), frame('C', 'SELECT 1\0'), frame('Z', 'I')]);
