// A simulated TCP socket on Pointsman's side, as proxy/driver.ts wants one: joined in pairs, ended, reset.
// What is at its other end is a Remote: a client (clients.ts) or a connection to a server (connection.ts).

import { type Clock, type Timer } from '../../src/core/clock.ts';
import {
  type Side,
  type SocketOwner,
  type Splice,
  type Tap,
  type TcpSocket,
} from '../../src/proxy/driver.ts';

/** The other end, as far as Pointsman can act on it. */
export interface Remote {
  data(bytes: Uint8Array): void;
  end(): void;
  /** Whatever was not delivered yet never will be. */
  reset(): void;
}

/** Who keeps count of sockets. */
export interface SocketBooks {
  readonly clock: Clock;
  opened(socket: SimSocket): void;
  closed(socket: SimSocket): void;
}

/** What the oracle is told of a session: bytes on their way to the server, and its end. */
export interface SessionWitness {
  forwarded(): void;
  /** `ours`: Pointsman ended it, before either side had. */
  over(ours: boolean): void;
}

export class SimSocket implements TcpSocket {
  bytesRead = 0;
  bytesSent = 0;
  /** Its peer has ended or reset it. */
  peerIsDone = false;
  /** Of a client's socket. */
  readonly frontend: string;
  /** Of a server's socket: `host:port`. */
  readonly serverAddress: string;
  readonly #remote: Remote;
  readonly #books: SocketBooks;
  #owner: SocketOwner | null = null;
  #side: Side = 'client';
  #peer: SimSocket | null = null;
  #tap: Tap | null = null;
  #traffic: Splice['traffic'] | null = null;
  #witness: SessionWitness | null = null;
  readonly #unread: Uint8Array[] = [];
  #paused = false;
  #isSpokenTo = false;
  #dropsInput = false;
  #sentEnd = false;
  #gotEnd = false;
  #done = false;
  #bound: Timer | null = null;

  constructor(
    remote: Remote,
    books: SocketBooks,
    of: { readonly frontend?: string; readonly serverAddress?: string },
  ) {
    this.#remote = remote;
    this.#books = books;
    this.frontend = of.frontend ?? '';
    this.serverAddress = of.serverAddress ?? '';
    books.opened(this);
  }

  localAddress(): null {
    return null;
  }

  peerAddress(): null {
    return null;
  }

  attach(owner: SocketOwner, side: Side): void {
    this.#owner = owner;
    this.#side = side;
  }

  keepAlive(): void {
    // peers that vanish are told by the simulated network; keepalive would take longer than a scenario lasts
  }

  write(bytes: Uint8Array): void {
    if (this.#done || this.#sentEnd) return;
    this.bytesSent += bytes.length;
    this.#remote.data(bytes);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const peer = this.#peer;
    if (peer !== null) for (const bytes of this.#unread.splice(0)) this.#pass(bytes, peer);
  }

  join(peer: SimSocket, traffic: Splice['traffic'], tap: Tap | null, witness: SessionWitness | null): void {
    this.#peer = peer;
    this.#traffic = traffic;
    this.#tap = tap;
    this.#witness = witness;
    this.#paused = false;
    for (const bytes of this.#unread.splice(0)) this.#pass(bytes, peer);
  }

  part(): void {
    this.#peer = null;
    const witness = this.#witness;
    this.#witness = null;
    witness?.over(!this.peerIsDone);
  }

  end(): void {
    if (this.#done || this.#sentEnd) return;
    this.#sentEnd = true;
    this.#remote.end();
    if (this.#gotEnd) this.#finish();
  }

  endWithin(boundMs: number): void {
    if (this.#done) return;
    this.#dropsInput = true;
    this.part();
    this.end();
    if (!this.#isDone()) this.#bound = this.#books.clock.schedule(boundMs, () => this.destroy());
  }

  reset(): void {
    if (this.#done) return;
    this.part();
    this.#remote.reset();
    this.#finish();
  }

  destroy(): void {
    this.reset();
  }

  awaitsAnswer(): boolean {
    return this.#isSpokenTo;
  }

  /** From the network: bytes of the peer. */
  arrived(bytes: Uint8Array): void {
    if (this.#done || this.#gotEnd) return;
    this.bytesRead += bytes.length;
    if (this.#dropsInput) return;
    if (this.#peer !== null && !this.#paused) this.#pass(bytes, this.#peer);
    else if (this.#owner === null || this.#paused || this.#side === 'server') this.#unread.push(bytes);
    else this.#owner.socketData(this.#side, bytes);
  }

  /** From the network: the peer has ended its half. */
  arrivedEnd(): void {
    if (this.#done || this.#gotEnd) return;
    this.#gotEnd = true;
    this.peerIsDone = true;
    if (!this.#dropsInput) this.#owner?.socketEnded(this.#side);
    if (this.#sentEnd) this.#finish();
  }

  /** From the network: the peer has reset the connection. */
  arrivedReset(): void {
    if (this.#done) return;
    this.peerIsDone = true;
    this.#owner?.socketFailed(this.#side);
    this.part();
    this.#finish();
  }

  #isDone(): boolean {
    return this.#done;
  }

  #pass(bytes: Uint8Array, peer: SimSocket): void {
    const traffic = this.#traffic;
    if (this.#side === 'client') {
      if (traffic !== null) traffic.bytesUp += bytes.length;
      peer.#isSpokenTo = true;
      peer.#witness?.forwarded();
    } else {
      if (traffic !== null) traffic.bytesDown += bytes.length;
      this.#isSpokenTo = false;
      if (this.#tap !== null && !this.#tap(bytes)) this.#tap = null;
    }
    peer.write(bytes);
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#bound?.cancel();
    this.#books.closed(this);
    const owner = this.#owner;
    if (owner !== null) this.#books.clock.schedule(0, () => owner.socketClosed(this.#side));
  }
}
