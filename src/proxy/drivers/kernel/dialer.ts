// One connection attempt to a server: non-blocking, bounded in time, abortable, and reported exactly once.
// Takes IP addresses only, as servers have in views. Doesn't choose the server. Called by driver.ts.

import { type Timer } from '../../../core/clock.ts';
import { type DialEvents, type DialRequest } from '../../driver.ts';
import { classifyConnectError } from '../connect-errors.ts';
import { createSocket } from './create-socket.ts';
import { applyNoDelay, type Kernel } from './kernel.ts';
import * as linux from './libc.ts';
import { errnoName, int32 } from './libc.ts';
import { type Requester, type Watcher } from './loop.ts';
import { SOCKADDR_MAX_BYTES } from './sockaddr.ts';
import { SOCKET_EVENTS } from './socket.ts';
import { CANCEL, CONNECT, KIND_UNIT, OP_ASYNC_CANCEL, OP_CONNECT } from './uring.ts';

export function dial(kernel: Kernel, request: DialRequest, events: DialEvents): () => void {
  const dialing = new Dialing(kernel, request, events);
  return () => dialing.settle();
}

class Dialing implements Watcher, Requester {
  readonly #kernel: Kernel;
  readonly #request: DialRequest;
  readonly #events: DialEvents;
  readonly #timer: Timer;
  #fd = -1;
  #settled = false;
  #requested = false;

  constructor(kernel: Kernel, request: DialRequest, events: DialEvents) {
    this.#kernel = kernel;
    this.#request = request;
    this.#events = events;
    const { timeoutMs } = request;
    this.#timer = kernel.loop.clock.schedule(timeoutMs, () => {
      if (this.settle()) events.failed('timeout', `not connected within ${timeoutMs} ms`);
    });
    const sockaddr = kernel.sockaddrOf(request.address);
    if (sockaddr === null) this.#failSoon(linux.EHOSTUNREACH);
    else this.#connect(sockaddr);
  }

  /** False when it was settled before; a descriptor that isn't handed over is closed. */
  settle(keep = false): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#timer.cancel();
    if (!keep) this.#drop();
    return true;
  }

  ready(events: number): void {
    const { libc } = this.#kernel;
    const fd = this.#fd;
    if (events & (linux.EPOLLERR | linux.EPOLLHUP)) {
      const error = new Int32Array(1);
      libc.getsockopt(fd, linux.SOL_SOCKET, linux.SO_ERROR, new Uint8Array(error.buffer), int32(4));
      this.#refused(error[0] ?? 0);
      return;
    }
    if (events & linux.EPOLLOUT) this.#connected(events & ~linux.EPOLLOUT);
  }

  /** The request to connect is over, and may have been given up meanwhile. */
  completed(kind: number, result: number): void {
    if (kind !== CONNECT) return;
    this.#requested = false;
    if (this.#settled) this.#drop();
    else if (result === 0) this.#connected(0);
    else this.#refused(-result);
  }

  #connected(events: number): void {
    if (this.#settled) return;
    const { header } = this.#request;
    if (header !== undefined && !this.#sendWhole(header)) return;
    this.settle(true);
    const socket = createSocket(this.#kernel, this.#fd);
    socket.start(this.#kernel.uring === null);
    this.#events.connected(socket);
    // A server that speaks first may have done so already, and an edge comes once.
    if (events !== 0) socket.ready(events);
  }

  /** The buffer of a new connection takes it as a whole, unless the server has reset it already. */
  #sendWhole(header: Uint8Array): boolean {
    const { libc } = this.#kernel;
    const sent = libc.send(this.#fd, header, header.length, linux.MSG_NOSIGNAL);
    if (sent !== header.length) this.#refused(sent === -1 ? libc.errno() : linux.ENOBUFS);
    return sent === header.length;
  }

  #connect(sockaddr: Uint8Array): void {
    const { libc, loop, uring } = this.#kernel;
    const domain = sockaddr.length === SOCKADDR_MAX_BYTES ? linux.AF_INET6 : linux.AF_INET;
    const fd = libc.socket(domain, linux.SOCK_STREAM | linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC, 0);
    if (fd === -1 || !this.#kernel.opened(fd)) {
      this.#failSoon(fd === -1 ? libc.errno() : linux.EMFILE);
      return;
    }
    this.#fd = fd;
    applyNoDelay(libc, fd);
    if (uring !== null) {
      this.#requested = true;
      loop.setRequester(fd, this);
      const address = uring.scratchFor(sockaddr);
      uring.request(OP_CONNECT, fd, sockaddr.length, address, 0, 0, fd, CONNECT);
      return;
    }
    const result = libc.connect(fd, sockaddr, sockaddr.length);
    const errno = result === 0 ? linux.EINPROGRESS : libc.errno();
    if (errno === linux.EINPROGRESS) loop.watch(fd, this, SOCKET_EVENTS);
    else this.#failSoon(errno);
  }

  /** Not within the call that began it: who dials isn't ready for the answer yet. */
  #failSoon(errno: number): void {
    this.#kernel.loop.clock.afterInput(() => this.#refused(errno));
  }

  #refused(errno: number): void {
    const code = errnoName(errno);
    const { host, port } = this.#request.address;
    if (this.settle()) {
      this.#events.failed(classifyConnectError(code), `connect ${code} ${host}:${port}`);
    }
  }

  #drop(): void {
    const { uring } = this.#kernel;
    if (this.#requested && uring !== null) {
      // Its completion comes back here.
      uring.request(OP_ASYNC_CANCEL, -1, 0, this.#fd + CONNECT * KIND_UNIT, 0, 0, this.#fd, CANCEL);
      return;
    }
    if (this.#fd !== -1) this.#kernel.close(this.#fd);
    this.#fd = -1;
  }
}
