// A connected socket of the kernel driver: a descriptor, what is known of its two halves, and where its bytes go.
// Reads into one buffer that all sockets of a worker share, and writes from it: only what a peer doesn't take is copied.
// Decides nothing about sessions; its owner is told of ends and failures. Made by listener.ts and dialer.ts.

import { type Timer } from '../../../core/clock.ts';
import {
  type Side,
  type SocketOwner,
  type Tap,
  type TcpOptions,
  type TcpSocket,
  type Traffic,
} from '../../driver.ts';
import * as linux from './libc.ts';
import { applyKeepAlive, type Kernel } from './kernel.ts';
import { type Watcher } from './loop.ts';

/** What every socket is watched for, once. */
export const SOCKET_EVENTS = linux.EPOLLIN | linux.EPOLLOUT | linux.EPOLLRDHUP | linux.EPOLLET;

/** Full reads from one socket before the others get their turn. */
const READS_IN_A_ROW = 4;

/** States of a socket that may come together, as bits of one number: there are thousands of sockets. */
const READABLE = 1; // the kernel may have bytes or an end for us
const PAUSED = 2; // the owner wants none now
const PEER_ENDING = 4; // a FIN is in the kernel's queue, behind the bytes
const PEER_ENDED = 8; // and has been read
const ENDING = 16; // our FIN goes out behind what is queued
const ENDED = 32; // our FIN is out
const LEAVING = 64; // closed as soon as both are; input is dropped
const CLOSED = 128;

export class KernelSocket implements TcpSocket, Watcher {
  bytesRead = 0;
  bytesSent = 0;
  readonly #kernel: Kernel;
  readonly #fd: number;
  #state = 0;
  #owner: SocketOwner | null = null;
  #side: Side = 'client';
  /** Where what is read goes, once joined; and who looks at it, and counts it, on the way. */
  #peer: KernelSocket | null = null;
  #tap: Tap | null = null;
  #traffic: Traffic | null = null;
  /** What the peer of this descriptor hasn't taken yet. */
  #queue: Uint8Array | null = null;
  #readSize: number;
  #leaving: Timer | null = null;

  /** The descriptor is watched already, by the caller. */
  constructor(kernel: Kernel, fd: number) {
    this.#kernel = kernel;
    this.#fd = fd;
    this.#readSize = kernel.readSizes.first;
  }

  attach(owner: SocketOwner, side: Side): void {
    this.#owner = owner;
    this.#side = side;
  }

  keepAlive(tcp: TcpOptions): void {
    if ((this.#state & CLOSED) === 0) applyKeepAlive(this.#kernel.libc, this.#fd, tcp);
  }

  write(bytes: Uint8Array): void {
    if ((this.#state & (CLOSED | ENDING | ENDED)) === 0) this.#send(bytes, bytes.length);
  }

  pause(): void {
    this.#state |= PAUSED;
  }

  join(peer: KernelSocket, traffic: Traffic, tap: Tap | null): void {
    this.#peer = peer;
    this.#traffic = traffic;
    this.#tap = tap;
  }

  part(): void {
    this.#peer = this.#tap = this.#traffic = null;
    this.resume();
  }

  /** Reads what may have come while nobody wanted it. */
  resume(): void {
    this.#state &= ~PAUSED;
    if (this.#state & READABLE) this.#kernel.loop.again(this);
  }

  end(): void {
    if (this.#state & (CLOSED | ENDING | ENDED)) return;
    this.#state |= ENDING;
    // After this round: often the peer has ended too by then, and one close does it all.
    if (this.#queue === null) this.#kernel.loop.again(this);
  }

  endWithin(boundMs: number): void {
    if (this.#state & (CLOSED | LEAVING)) return;
    this.#state |= LEAVING;
    // With the peer's end read and nothing queued, close alone sends our FIN.
    if (this.#state & PEER_ENDED && this.#queue === null) {
      this.destroy();
      return;
    }
    this.#leaving = this.#kernel.loop.clock.schedule(boundMs, () => this.destroy());
    this.end();
    this.resume();
  }

  reset(): void {
    if (this.#state & CLOSED) return;
    this.#kernel.abortOnClose(this.#fd);
    this.destroy();
  }

  destroy(): void {
    if (this.#state & CLOSED) return;
    this.#state |= CLOSED;
    this.#queue = null;
    this.#peer = this.#tap = this.#traffic = null;
    this.#leaving?.cancel();
    this.#kernel.close(this.#fd);
    this.#owner?.socketClosed(this.#side);
  }

  ready(events: number): void {
    if (events & linux.EPOLLOUT && this.#queue !== null) this.#flush(this.#queue);
    if (events & (linux.EPOLLIN | linux.EPOLLRDHUP | linux.EPOLLHUP | linux.EPOLLERR)) {
      this.#state |= READABLE;
      if (events & (linux.EPOLLRDHUP | linux.EPOLLHUP | linux.EPOLLERR)) this.#state |= PEER_ENDING;
      if (events & linux.EPOLLERR && !this.#wantsInput()) {
        this.#fail();
        return;
      }
    }
    if (this.#state & ENDING && this.#queue === null) this.#sendEnd();
    this.#read();
  }

  #wantsInput(): boolean {
    if (this.#state & PAUSED) return false;
    return this.#peer === null || this.#peer.#queue === null;
  }

  #read(): void {
    const { libc, buffer, loop } = this.#kernel;
    for (let reads = 0; (this.#state & (READABLE | CLOSED)) === READABLE && this.#wantsInput(); reads += 1) {
      if (reads === READS_IN_A_ROW) {
        loop.again(this);
        return;
      }
      const size = this.#readSize;
      const count = libc.recv(this.#fd, buffer, size, 0);
      if (count > 0) {
        this.bytesRead += count;
        // A short read has taken all there was: what comes later is a new edge, and so is an end.
        if (count < size && (this.#state & PEER_ENDING) === 0) this.#state &= ~READABLE;
        if (count === size) this.#readSize = this.#kernel.readSizes.next(size);
        this.#deliver(buffer, count);
      } else if (count === 0) {
        this.#peerEnded();
      } else if (libc.errno() === linux.EAGAIN) {
        this.#state &= ~READABLE;
      } else {
        this.#fail();
      }
    }
  }

  #deliver(buffer: Uint8Array, count: number): void {
    const peer = this.#peer;
    if (this.#state & LEAVING) return;
    if (peer === null || this.#traffic === null) {
      this.#owner?.socketData(this.#side, buffer.subarray(0, count));
      return;
    }
    if (this.#side === 'client') this.#traffic.bytesUp += count;
    else this.#traffic.bytesDown += count;
    if (this.#tap !== null && !this.#tap(buffer.subarray(0, count))) this.#tap = null;
    peer.#send(buffer, count);
    // The peer is the slower one: large reads would only be copied into its queue.
    if (peer.#queue !== null) this.#readSize = this.#kernel.readSizes.first;
  }

  /** The first `count` of `bytes`; what the kernel doesn't take is copied and queued. */
  #send(bytes: Uint8Array, count: number): void {
    if (this.#state & (CLOSED | ENDED)) return;
    if (this.#queue !== null) {
      this.#queue = joined(this.#queue, bytes.subarray(0, count));
      return;
    }
    const { libc } = this.#kernel;
    const sent = libc.send(this.#fd, bytes, count, linux.MSG_NOSIGNAL);
    if (sent === count) {
      this.bytesSent += sent;
      return;
    }
    if (sent === -1 && libc.errno() !== linux.EAGAIN) {
      this.#fail();
      return;
    }
    const taken = Math.max(0, sent);
    this.bytesSent += taken;
    this.#queue = bytes.slice(taken, count);
  }

  #flush(queue: Uint8Array): void {
    const { libc } = this.#kernel;
    const sent = libc.send(this.#fd, queue, queue.length, linux.MSG_NOSIGNAL);
    if (sent === -1) {
      if (libc.errno() !== linux.EAGAIN) this.#fail();
      return;
    }
    this.bytesSent += sent;
    if (sent < queue.length) {
      this.#queue = queue.slice(sent);
      return;
    }
    this.#queue = null;
    if (this.#state & ENDING) this.#sendEnd();
    else if (this.#peer !== null) this.#peer.#read();
  }

  #sendEnd(): void {
    this.#state = (this.#state & ~ENDING) | ENDED;
    if (this.#state & LEAVING && this.#state & PEER_ENDED) {
      this.destroy();
      return;
    }
    // It fails when the peer has reset meanwhile; the event that tells of it is on its way.
    this.#kernel.libc.shutdown(this.#fd, linux.SHUT_WR);
  }

  #peerEnded(): void {
    this.#state = (this.#state & ~READABLE) | PEER_ENDED;
    if (this.#state & LEAVING) {
      if (this.#state & ENDED) this.destroy();
      return;
    }
    this.#owner?.socketEnded(this.#side);
  }

  #fail(): void {
    this.#state &= ~READABLE;
    this.#queue = null;
    if (this.#state & LEAVING) {
      this.destroy();
      return;
    }
    this.#owner?.socketFailed(this.#side);
    this.destroy();
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}
