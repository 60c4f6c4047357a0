// A driver whose sockets do nothing but tell when they are dialed and reset: the proxy's own work is what is measured.
// Used by fleet.ts.

import { formatAddress } from '../../src/core/address.ts';
import {
  type DialEvents,
  type DialRequest,
  type Driver,
  type Listener,
  type ListenerEvents,
  type ListenRequest,
  type SocketOwner,
  type TcpSocket,
} from '../../src/proxy/driver.ts';

/** A StartupMessage (PostgreSQL documentation, 55.7) of a user "u". */
const STARTUP = Uint8Array.from(Buffer.from('\0\0\0\x10\0\x03\0\0user\0u\0\0', 'latin1'));

export interface Seen {
  dialed(server: string): void;
  reset(server: string): void;
}

export class IdleDriver implements Driver {
  readonly #listeners = new Map<string, ListenerEvents>();
  readonly #seen: Seen;

  constructor(seen: Seen) {
    this.#seen = seen;
  }

  listen({ frontend, bind }: ListenRequest, events: ListenerEvents): Promise<Listener> {
    this.#listeners.set(frontend, events);
    return Promise.resolve({
      address: bind,
      descriptors: [],
      keepAlive: () => undefined,
      close: () => void this.#listeners.delete(frontend),
    });
  }

  /** A client that has sent its first packet and waits. */
  accept(frontend: string): void {
    const socket = new IdleSocket(() => undefined);
    this.#listeners.get(frontend)?.accepted({ address: { host: '127.0.0.1', port: 1024 }, socket });
    socket.owner?.socketData('client', STARTUP);
  }

  dial({ address }: DialRequest, events: DialEvents): () => void {
    const server = formatAddress(address);
    this.#seen.dialed(server);
    let aborted = false;
    queueMicrotask(() => {
      if (!aborted) events.connected(new IdleSocket(() => this.#seen.reset(server)));
    });
    return () => {
      aborted = true;
    };
  }

  splice(): void {
    // no byte ever comes
  }
}

class IdleSocket implements TcpSocket {
  readonly bytesRead = 0;
  readonly bytesSent = 0;
  owner: SocketOwner | null = null;
  readonly #onReset: () => void;
  #isOver = false;

  constructor(onReset: () => void) {
    this.#onReset = onReset;
  }

  localAddress(): null {
    return null;
  }

  peerAddress(): null {
    return null;
  }

  awaitsAnswer(): false {
    return false;
  }

  attach(owner: SocketOwner): void {
    this.owner = owner;
  }

  reset(): void {
    this.#onReset();
    this.destroy();
  }

  endWithin(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { owner } = this;
    queueMicrotask(() => owner?.socketClosed('client'));
  }

  keepAlive(): void {
    // nothing to keep
  }

  write(): void {
    // nobody reads
  }

  pause(): void {
    // nothing comes
  }

  resume(): void {
    // nothing is read
  }

  part(): void {
    // never really joined
  }

  end(): void {
    // the peer never ends
  }
}
