// Scripted TCP peers on loopback: servers that record what they get, clients that record what they see.
// For tests of the proxy's driver: no protocol here, only bytes, ends and resets.

import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { type Address } from '../../src/core/address.ts';
import { pace } from './pace.ts';

const DEADLINE_MS = 30_000 * pace;

/**
 * An address of this test process alone, as all of 127/8 is loopback. Tests of other processes dial ports of 127.0.0.1 where
 * nobody listens, again and again; such a port given to us meanwhile would bring us their connections.
 */
export const OWN_LOOPBACK = `127.${64 + ((process.pid >> 14) & 63)}.${(process.pid >> 7) & 127}.${1 + (process.pid & 127)}`;

/** Waits until `condition` holds; fails with `what` after a generous deadline. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + DEADLINE_MS;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

/** Waits until `value` has stayed the same for a while. */
export async function untilSteady(value: () => number, steadyMs = 300): Promise<void> {
  let last = NaN;
  let since = 0;
  await until(() => {
    const now = value();
    if (now !== last) since = performance.now();
    last = now;
    return performance.now() - since > steadyMs;
  }, 'a number to keep still');
}

/** One end of a connection, with everything that came out of it. */
export class Peer {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];
  bytes = 0;
  ended = false;
  closed = false;
  error: string | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.bytes += chunk.length;
    });
    socket.on('end', () => (this.ended = true));
    socket.on('error', (thrown: NodeJS.ErrnoException) => (this.error = thrown.code ?? thrown.message));
    socket.on('close', () => (this.closed = true));
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  async untilBytes(count: number): Promise<void> {
    await until(() => this.bytes >= count || this.closed, `${count} bytes, have ${this.bytes}`);
  }
}

export class ScriptServer {
  readonly peers: Peer[] = [];
  readonly #server = createServer({ allowHalfOpen: true }, socket => {
    const peer = new Peer(socket);
    this.peers.push(peer);
    this.onPeer(peer, this.peers.length - 1);
  });
  #host = '';
  #port = 0;
  onPeer: (peer: Peer, index: number) => void = () => undefined;

  async listen(port = 0, host = OWN_LOOPBACK): Promise<this> {
    this.#host = host;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  get address(): Address {
    return { host: this.#host, port: this.#port };
  }

  /** Stops listening; connections are refused from now on. */
  async refuse(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve));
    for (const { socket } of this.peers) socket.destroy();
    await closed;
  }

  async peer(index: number): Promise<Peer> {
    await until(() => this.peers.length > index, `connection ${index} at the server`);
    const peer = this.peers[index];
    if (peer === undefined) throw new Error('unreachable');
    return peer;
  }
}

const clients = new Set<Socket>();

/** Ends every client of this process, so that a failed test leaves none behind. */
export function closeClients(): void {
  for (const socket of clients) socket.destroy();
}

export async function connectPeer({ host, port }: Address, first?: Uint8Array): Promise<Peer> {
  const peer = beginPeer({ host, port });
  const { socket } = peer;
  await until(() => !socket.connecting || peer.closed, 'a connection');
  if (first !== undefined) socket.write(first);
  return peer;
}

/** Without waiting for the connection: a thousand of these cost no thousand waits. */
export function beginPeer({ host, port }: Address): Peer {
  const socket = connect({ port, host, allowHalfOpen: true, noDelay: true });
  clients.add(socket);
  socket.once('close', () => clients.delete(socket));
  return new Peer(socket);
}
