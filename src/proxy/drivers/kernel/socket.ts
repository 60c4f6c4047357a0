// A connected socket of the kernel driver: a descriptor, what is known of its two halves, and where its bytes go.
// Told by epoll, edge-triggered; reads into one buffer that all sockets of a worker share, and writes from it: only what
// a peer doesn't take is copied and queued. Decides nothing about sessions; its owner is told of ends and failures.
// Made by kernel.ts for the listener and the dialer; ring-socket.ts gives it a second, faster way for small messages.

import { type Address } from '../../../core/address.ts';
import { type Timer } from '../../../core/clock.ts';
import {
  type Side,
  type SocketOwner,
  type Tap,
  type TcpOptions,
  type TcpSocket,
  type Traffic,
} from '../../driver.ts';
import { applyKeepAlive, type Kernel } from './kernel.ts';
import * as linux from './libc.ts';
import { type Watcher } from './loop.ts';

/** What every socket is watched for, once. */
export const SOCKET_EVENTS = linux.EPOLLIN | linux.EPOLLOUT | linux.EPOLLRDHUP | linux.EPOLLET;

/** Full reads from one socket before the others get their turn. */
const READS_IN_A_ROW = 4;

/** States of a socket that may come together, as bits of one number: there are thousands of sockets. */
export const READABLE = 1; // the kernel may have bytes or an end for us
const PAUSED = 2; // the owner wants none now
export const PEER_ENDING = 4; // a FIN is in the kernel's queue, behind the bytes
export const PEER_ENDED = 8; // and has been read
export const ENDING = 16; // our FIN goes out behind what is queued
export const ENDED = 32; // our FIN is out
export const LEAVING = 64; // closed as soon as both are; input is dropped
export const CLOSED = 128;
const SPOKEN_TO = 256; // a server's: bytes of the client have gone there since it last spoke

export class KernelSocket implements TcpSocket, Watcher {
  bytesRead = 0;
  bytesSent = 0;
  protected readonly kernel: Kernel;
  protected readonly fd: number;
  protected state = 0;
  /** Where what is read goes, once joined; and who looks at it, and counts it, on the way. */
  protected peer: KernelSocket | null = null;
  /** What the other end of this descriptor hasn't taken yet. */
  protected queue: Uint8Array | null = null;
  #owner: SocketOwner | null = null;
  #side: Side = 'client';
  #tap: Tap | null = null;
  #traffic: Traffic | null = null;
  #readSize: number;
  #leaving: Timer | null = null;

  constructor(kernel: Kernel, fd: number) {
    this.kernel = kernel;
    this.fd = fd;
    this.#readSize = kernel.readSizes.first;
  }

  /** Begins to look for input. `watched`: epoll knows the descriptor already. */
  start(watched: boolean): void {
    if (watched) this.kernel.loop.handOver(this.fd, this);
    else this.kernel.loop.watch(this.fd, this, SOCKET_EVENTS);
  }

  localAddress(): Address | null {
    return this.state & CLOSED ? null : this.kernel.addressOf(this.fd, 'getsockname');
  }

  peerAddress(): Address | null {
    return this.state & CLOSED ? null : this.kernel.addressOf(this.fd, 'getpeername');
  }

  attach(owner: SocketOwner, side: Side): void {
    this.#owner = owner;
    this.#side = side;
  }

  keepAlive(tcp: TcpOptions): void {
    if ((this.state & CLOSED) === 0) applyKeepAlive(this.kernel.libc, this.fd, tcp);
  }

  awaitsAnswer(): boolean {
    return (this.state & SPOKEN_TO) !== 0;
  }

  write(bytes: Uint8Array): void {
    if ((this.state & (CLOSED | ENDING | ENDED)) === 0) this.send(bytes, bytes.length);
  }

  pause(): void {
    this.state |= PAUSED;
  }

  join(peer: KernelSocket, traffic: Traffic, tap: Tap | null): void {
    this.peer = peer;
    this.#traffic = traffic;
    this.#tap = tap;
  }

  part(): void {
    this.peer = this.#tap = this.#traffic = null;
    this.resume();
  }

  /** Reads what may have come while nobody wanted it. */
  resume(): void {
    this.state &= ~PAUSED;
    if (this.state & READABLE) this.kernel.loop.again(this);
  }

  end(): void {
    if (this.state & (CLOSED | ENDING | ENDED)) return;
    this.state |= ENDING;
    // After this round: often the peer has ended too by then, and one close does it all.
    if (this.hasSentAll()) this.kernel.loop.again(this);
  }

  endWithin(boundMs: number): void {
    if (this.state & (CLOSED | LEAVING)) return;
    this.state |= LEAVING;
    // With the peer's end read and nothing queued, close alone sends our FIN.
    if (this.state & PEER_ENDED && this.hasSentAll()) {
      this.destroy();
      return;
    }
    this.#leaving = this.kernel.loop.clock.schedule(boundMs, () => this.destroy());
    this.end();
    this.resume();
  }

  reset(): void {
    if (this.state & CLOSED) return;
    this.abort();
    this.destroy();
  }

  destroy(): void {
    if (this.state & CLOSED) return;
    this.state = (this.state & ~(ENDING | READABLE)) | CLOSED;
    this.queue = null;
    this.peer = this.#tap = this.#traffic = null;
    this.#leaving?.cancel();
    this.release();
    this.#owner?.socketClosed(this.#side);
  }

  ready(events: number): void {
    if (this.state & CLOSED) return;
    if (events & linux.EPOLLOUT && this.queue !== null) this.flush(this.queue);
    if (events & (linux.EPOLLIN | linux.EPOLLRDHUP | linux.EPOLLHUP | linux.EPOLLERR)) {
      this.state |= READABLE;
      if (events & (linux.EPOLLRDHUP | linux.EPOLLHUP | linux.EPOLLERR)) this.state |= PEER_ENDING;
      if (events & linux.EPOLLERR && !this.wantsInput()) {
        this.fail();
        return;
      }
    }
    if (this.state & ENDING && this.hasSentAll()) this.sendEnd();
    this.read();
  }

  protected wantsInput(): boolean {
    if (this.state & PAUSED) return false;
    return this.peer === null || this.peer.queue === null;
  }

  protected hasSentAll(): boolean {
    return this.queue === null;
  }

  protected read(): void {
    const { libc, buffer, loop } = this.kernel;
    for (let reads = 0; (this.state & (READABLE | CLOSED)) === READABLE && this.wantsInput(); reads += 1) {
      if (reads === READS_IN_A_ROW) {
        loop.again(this);
        return;
      }
      const size = this.#readSize;
      const count = libc.recv(this.fd, buffer, size, 0);
      if (count > 0) {
        // A short read has taken all there was: what comes later is a new edge, and so is an end.
        if (count < size && (this.state & PEER_ENDING) === 0) this.state &= ~READABLE;
        const { peer } = this;
        this.account(buffer, 0, count);
        if (peer !== null && (this.state & LEAVING) === 0) peer.send(buffer, count);
        this.#adapt(count, size);
        this.wasRead(count);
      } else if (count === 0) {
        this.peerEnded();
      } else if (libc.errno() === linux.EAGAIN) {
        this.state &= ~READABLE;
      } else {
        this.fail();
      }
    }
  }

  /** For who wants to change the way: so much was read by a call. */
  protected wasRead(_count: number): void {
    // epoll is the only way here
  }

  /** Counts what was read and shows it to who looks on; to the owner, while there is no peer to get it. */
  protected account(buffer: Uint8Array, from: number, count: number): void {
    this.bytesRead += count;
    if (this.state & LEAVING) return;
    const traffic = this.#traffic;
    if (traffic === null) {
      this.#owner?.socketData(this.#side, buffer.subarray(from, from + count));
      return;
    }
    if (this.#side === 'client') {
      traffic.bytesUp += count;
      if (this.peer !== null) this.peer.state |= SPOKEN_TO;
    } else {
      traffic.bytesDown += count;
      this.state &= ~SPOKEN_TO;
    }
    if (this.#tap !== null && !this.#tap(buffer.subarray(from, from + count))) this.#tap = null;
  }

  /** The first `count` of `bytes`; what the kernel doesn't take is copied and queued. */
  protected send(bytes: Uint8Array, count: number): void {
    if (this.state & (CLOSED | ENDED)) return;
    if (this.queue !== null) {
      this.enqueue(bytes.subarray(0, count));
      return;
    }
    const { libc } = this.kernel;
    const sent = libc.send(this.fd, bytes, count, linux.MSG_NOSIGNAL);
    if (sent === count) {
      this.bytesSent += sent;
    } else if (sent === -1 && libc.errno() !== linux.EAGAIN) {
      this.fail();
    } else {
      const taken = Math.max(0, sent);
      this.bytesSent += taken;
      this.enqueue(bytes.subarray(taken, count));
    }
  }

  /** A copy, behind what is queued already. */
  protected enqueue(bytes: Uint8Array): void {
    const before = this.queue;
    const queue = new Uint8Array((before?.length ?? 0) + bytes.length);
    if (before !== null) queue.set(before);
    queue.set(bytes, before?.length ?? 0);
    this.queue = queue;
  }

  protected flush(queue: Uint8Array): void {
    const { libc } = this.kernel;
    const sent = libc.send(this.fd, queue, queue.length, linux.MSG_NOSIGNAL);
    if (sent === -1) {
      if (libc.errno() !== linux.EAGAIN) this.fail();
      return;
    }
    this.bytesSent += sent;
    if (sent < queue.length) {
      this.queue = queue.slice(sent);
      return;
    }
    this.queue = null;
    if (this.state & ENDING) this.sendEnd();
    else if (this.peer !== null) this.peer.read();
  }

  protected sendEnd(): void {
    this.state = (this.state & ~ENDING) | ENDED;
    if (this.state & LEAVING && this.state & PEER_ENDED) {
      this.destroy();
      return;
    }
    // It fails when the peer has reset meanwhile; the event that tells of it is on its way.
    this.kernel.libc.shutdown(this.fd, linux.SHUT_WR);
  }

  protected peerEnded(): void {
    this.state = (this.state & ~READABLE) | PEER_ENDED;
    if (this.state & LEAVING) {
      if (this.state & ENDED) this.destroy();
      return;
    }
    this.#owner?.socketEnded(this.#side);
  }

  protected fail(): void {
    this.state &= ~READABLE;
    this.queue = null;
    if ((this.state & LEAVING) === 0) this.#owner?.socketFailed(this.#side);
    this.destroy();
  }

  /** Makes the peer see a reset, now or with the close that follows. */
  protected abort(): void {
    this.kernel.abortOnClose(this.fd);
  }

  /** Gives the descriptor up. */
  protected release(): void {
    this.kernel.close(this.fd);
  }

  /** Large reads while the peer keeps up; else they would only be copied into its queue. */
  #adapt(count: number, size: number): void {
    const { first, largest } = this.kernel.readSizes;
    if (this.peer !== null && this.peer.queue !== null) this.#readSize = Math.max(first, size >> 1);
    else if (count === size) this.#readSize = Math.min(largest, size << 1);
  }
}
