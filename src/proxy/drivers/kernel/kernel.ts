// What the sockets of one worker share: the calls, the loop, the read buffer, and the record of open descriptors, from
// which the main thread can close those of a worker that died. Made by worker.ts; no decisions here.

import { formatAddress, type Address } from '../../../core/address.ts';
import { type TcpOptions } from '../../driver.ts';
import * as linux from './libc.ts';
import { int32, type Libc } from './libc.ts';
import { type Loop } from './loop.ts';
import { decodeSockaddr, encodeSockaddr, SOCKADDR_MAX_BYTES } from './sockaddr.ts';
import { type Uring } from './uring.ts';

/** Small at first: a query's answer is a few hundred bytes, and a slow peer's queue should be short. */
const READ_FIRST_BYTES = 64 * 1024;
/** Twice as much gives bulk some percent more, and a peer that stalls twice as long a queue (decision 5). */
const READ_MAX_BYTES = 512 * 1024;

/** Names resolve to ever new addresses in some clouds. */
const SOCKADDRS_MAX = 1000;

const on = int32(1);
/** A sockaddr of family AF_UNSPEC. */
const nowhere = new Uint8Array(16);
/** struct linger: on, 0 seconds: close sends RST. */
const abort = int32(1, 0);

export class Kernel {
  readonly libc: Libc;
  readonly loop: Loop;
  readonly uring: Uring | null;
  readonly buffer = new Uint8Array(READ_MAX_BYTES);
  readonly readSizes = { first: READ_FIRST_BYTES, largest: READ_MAX_BYTES };
  /** One byte per descriptor, 1 while it is open; read by the main thread. */
  readonly #open: Uint8Array;

  readonly #sockaddrs = new Map<string, Uint8Array | null>();

  /** `uring`: null where there is none; everything works without. */
  constructor(libc: Libc, loop: Loop, uring: Uring | null, open: Uint8Array) {
    this.libc = libc;
    this.loop = loop;
    this.uring = uring;
    this.#open = open;
    this.opened(loop.fd);
    if (uring === null) return;
    this.opened(uring.fd);
    loop.use(uring);
  }

  /** Takes note of a new descriptor. False, and closed again, when it lies beyond the record. */
  opened(fd: number): boolean {
    if (fd < this.#open.length) {
      this.#open[fd] = 1;
      return true;
    }
    this.libc.close(fd);
    return false;
  }

  close(fd: number): void {
    this.loop.forget(fd);
    this.#open[fd] = 0;
    this.libc.close(fd);
  }

  /** Servers are few and dialed often. Null for a host that is no IP address. */
  sockaddrOf(address: Address): Uint8Array | null {
    const name = formatAddress(address);
    let sockaddr = this.#sockaddrs.get(name);
    if (sockaddr !== undefined) return sockaddr;
    sockaddr = encodeSockaddr(address, zone => this.libc.if_nametoindex(zone));
    if (this.#sockaddrs.size >= SOCKADDRS_MAX) this.#sockaddrs.clear();
    this.#sockaddrs.set(name, sockaddr);
    return sockaddr;
  }

  /** One end of a connected descriptor. */
  addressOf(fd: number, end: 'getsockname' | 'getpeername'): Address | null {
    const sockaddr = new Uint8Array(SOCKADDR_MAX_BYTES);
    return this.libc[end](fd, sockaddr, int32(sockaddr.length)) === -1 ? null : decodeSockaddr(sockaddr);
  }

  /** RST now, though requests keep the socket open. */
  disconnect(fd: number): void {
    if (this.libc.connect(fd, nowhere, nowhere.length) === -1) this.abortOnClose(fd);
  }

  /** RST with the close that follows. */
  abortOnClose(fd: number): void {
    this.libc.setsockopt(fd, linux.SOL_SOCKET, linux.SO_LINGER, abort, 8);
  }
}

/** `wasSet`: other options were in force before. So that a peer that vanished without a word is noticed. A listening socket passes it on to those it accepts. */
export function applyKeepAlive(libc: Libc, fd: number, tcp: TcpOptions, wasSet = false): void {
  const set = (level: number, name: number, value: number): void => {
    libc.setsockopt(fd, level, name, int32(value), 4);
  };
  set(linux.SOL_SOCKET, linux.SO_KEEPALIVE, 1);
  set(linux.IPPROTO_TCP, linux.TCP_KEEPIDLE, tcp.keepaliveIdleSeconds);
  set(linux.IPPROTO_TCP, linux.TCP_KEEPINTVL, tcp.keepaliveIntervalSeconds);
  set(linux.IPPROTO_TCP, linux.TCP_KEEPCNT, tcp.keepaliveCount);
  if (wasSet || tcp.userTimeoutMs > 0) set(linux.IPPROTO_TCP, linux.TCP_USER_TIMEOUT, tcp.userTimeoutMs);
}

/** Small packets go at once: a question and its answer must not wait for each other (Nagle, delayed ACK). */
export function applyNoDelay(libc: Libc, fd: number): void {
  libc.setsockopt(fd, linux.IPPROTO_TCP, linux.TCP_NODELAY, on, 4);
}
