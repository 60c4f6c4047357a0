// Listening sockets: opened by the main thread (so that a failed bind is known before anything runs, and a worker that
// dies leaves them open), accepted from by a worker. Decides nothing about clients. Called by pool.ts and driver.ts.

import { formatAddress, type Address } from '../../../core/address.ts';
import { PointsmanError } from '../../../core/errors.ts';
import { ACCEPT_ERROR_INTERVAL_MS, LISTEN_BACKLOG } from '../../bounds.ts';
import { type ListenerEvents, type ListenRequest } from '../../driver.ts';
import { createThrottle } from '../../throttle.ts';
import { createSocket } from './create-socket.ts';
import { applyKeepAlive, applyNoDelay, type Kernel } from './kernel.ts';
import * as linux from './libc.ts';
import { errnoName, int32, type Libc } from './libc.ts';
import { type Watcher } from './loop.ts';
import { decodeSockaddr, encodeSockaddr, SOCKADDR_MAX_BYTES } from './sockaddr.ts';

/** Accepted in a row before sessions get their turn. */
const ACCEPTS_IN_A_ROW = 64;
/** Without descriptors nothing can be accepted; one may be free again after this. */
const RETRY_MS = 50;

export interface OpenListener {
  readonly fd: number;
  readonly address: Address;
  /** Several workers accept from it. */
  readonly isShared: boolean;
  /** Who waits in it when we end is kept by whoever started us. */
  readonly isKept: boolean;
}

/** Those for a frontend: the inherited ones, else new ones. Throws BIND_FAILED. */
export function openListeners(libc: Libc, request: ListenRequest, workers: number): readonly OpenListener[] {
  const { inherited, tcp } = request;
  if (inherited.length === 0) return bindListeners(libc, request, workers);
  return inherited.map(({ fd, isKept }) => {
    // systemd passes blocking ones as a rule.
    libc.fcntl(fd, linux.F_SETFL, linux.O_NONBLOCK);
    applyNoDelay(libc, fd);
    applyKeepAlive(libc, fd, tcp);
    return { fd, address: addressOf(libc, fd), isShared: inherited.length < workers, isKept };
  });
}

/** Those that one of `workers` accepts from: each socket has somebody who does, and each worker something to accept from. */
export function shareOf<T>(all: readonly T[], worker: number, workers: number): readonly T[] {
  if (all.length <= workers) return all.filter((_, index) => index === worker % all.length);
  return all.filter((_, index) => index % workers === worker);
}

/**
 * One socket for each of `workers`, on the same port. `bind.host` is an IP address. Throws BIND_FAILED.
 * Several need SO_REUSEPORT, with which a second Pointsman could take the port unnoticed: the first is opened without,
 * and the option is set after it is known to be alone.
 */
function bindListeners(
  libc: Libc,
  { frontend, bind, tcp }: ListenRequest,
  workers: number,
): readonly OpenListener[] {
  const opened: OpenListener[] = [];
  const failed = (call: string): PointsmanError => {
    const reason = `${call}: ${errnoName(libc.errno())}`;
    for (const { fd } of opened) libc.close(fd);
    const where = `frontend ${frontend}: cannot listen on ${formatAddress(bind)}`;
    return new PointsmanError('BIND_FAILED', `${where}: ${reason}`);
  };
  let address = bind;
  if (workers > 1) {
    const scout = bound(libc, address, false);
    if (typeof scout === 'string') throw failed(scout);
    address = { host: bind.host, port: addressOf(libc, scout).port };
    libc.close(scout);
  }
  for (let worker = 0; worker < workers; worker += 1) {
    const fd = bound(libc, address, workers > 1);
    if (typeof fd === 'string') throw failed(fd);
    address = { host: bind.host, port: addressOf(libc, fd).port };
    opened.push({ fd, address, isShared: false, isKept: false });
    applyNoDelay(libc, fd);
    applyKeepAlive(libc, fd, tcp);
    if (libc.listen(fd, LISTEN_BACKLOG) === -1) throw failed('listen');
  }
  return opened;
}

/** A bound socket, or the name of the call that failed. */
function bound(libc: Libc, address: Address, shared: boolean): number | string {
  const sockaddr = encodeSockaddr(address, name => libc.if_nametoindex(name));
  if (sockaddr === null) return `${address.host} is no IP address`;
  const domain = sockaddr.length === SOCKADDR_MAX_BYTES ? linux.AF_INET6 : linux.AF_INET;
  const fd = libc.socket(domain, linux.SOCK_STREAM | linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC, 0);
  if (fd === -1) return 'socket';
  const set = (level: number, name: number, value: number): void =>
    void libc.setsockopt(fd, level, name, int32(value), 4);
  set(linux.SOL_SOCKET, linux.SO_REUSEADDR, 1);
  if (shared) set(linux.SOL_SOCKET, linux.SO_REUSEPORT, 1);
  // `::` takes IPv4 too, as node:net has it.
  if (domain === linux.AF_INET6) set(linux.IPPROTO_IPV6, linux.IPV6_V6ONLY, 0);
  if (libc.bind(fd, sockaddr, sockaddr.length) === 0) return fd;
  const reason = `bind: ${errnoName(libc.errno())}`;
  libc.close(fd);
  return reason;
}

function addressOf(libc: Libc, fd: number): Address {
  const bytes = new Uint8Array(SOCKADDR_MAX_BYTES);
  libc.getsockname(fd, bytes, int32(bytes.length));
  return decodeSockaddr(bytes);
}

/** Accepts until what it returns is called. The descriptor stays the main thread's to close. */
export function acceptFrom(kernel: Kernel, listener: OpenListener, events: ListenerEvents): () => void {
  const acceptor = new Acceptor(kernel, listener, events);
  acceptor.start();
  return () => acceptor.close();
}

class Acceptor implements Watcher {
  readonly #kernel: Kernel;
  readonly #fd: number;
  readonly #isShared: boolean;
  readonly #isKept: boolean;
  readonly #events: ListenerEvents;
  readonly #throttle = createThrottle(ACCEPT_ERROR_INTERVAL_MS);
  readonly #address = new Uint8Array(SOCKADDR_MAX_BYTES);
  readonly #length = int32(SOCKADDR_MAX_BYTES);
  readonly #fullLength = int32(SOCKADDR_MAX_BYTES);
  /** Given up for a moment when there is no other descriptor, to accept a client and close it: it need not wait in vain. */
  #spare: number;
  #open = true;
  #resting = false;

  constructor(kernel: Kernel, { fd, isShared, isKept }: OpenListener, events: ListenerEvents) {
    this.#kernel = kernel;
    this.#fd = fd;
    this.#isShared = isShared;
    this.#isKept = isKept;
    this.#events = events;
    this.#spare = this.#openSpare();
  }

  start(): void {
    // Of those who share a socket one is woken, and not all (with epoll alone; an io_uring wakes them all).
    const mask = this.#isShared ? linux.EPOLLIN | linux.EPOLLEXCLUSIVE : linux.EPOLLIN;
    this.#kernel.loop.watch(this.#fd, this, mask);
  }

  /** The main thread closes the socket once all have stopped. It isn't shut down: it may be a successor's too, or systemd's. */
  close(): void {
    if (!this.#open) return;
    if (!this.#isKept) this.#takeWhoWaits();
    this.#open = false;
    if (!this.#resting) this.#kernel.loop.unwatch(this.#fd);
    if (this.#spare !== -1) this.#kernel.close(this.#spare);
  }

  ready(): void {
    for (let accepted = 0; accepted < ACCEPTS_IN_A_ROW && this.#open && !this.#resting; accepted += 1) {
      const fd = this.#accept();
      if (fd !== -1) this.#take(fd);
      else if (!this.#goesOn(this.#kernel.libc.errno())) return;
    }
  }

  /** Who has connected already would be reset with the socket. */
  #takeWhoWaits(): void {
    for (let fd = this.#accept(); fd !== -1; fd = this.#accept()) this.#take(fd);
  }

  #accept(): number {
    this.#length.set(this.#fullLength);
    const flags = linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC;
    return this.#kernel.libc.accept4(this.#fd, this.#address, this.#length, flags);
  }

  #take(fd: number): void {
    if (!this.#kernel.opened(fd)) {
      this.#tell('EMFILE');
      return;
    }
    const socket = createSocket(this.#kernel, fd);
    socket.start(false);
    this.#events.accepted({ address: decodeSockaddr(this.#address), socket });
  }

  /** Whether there may be more to accept after this error. */
  #goesOn(errno: number): boolean {
    switch (errno) {
      case linux.EAGAIN:
        return false;
      // The client has gone again; the next may be there.
      case linux.ECONNABORTED:
      case linux.EINTR:
        return true;
      default:
        this.#tell(errnoName(errno));
        return this.#turnAway();
    }
  }

  #turnAway(): boolean {
    const { libc, loop } = this.#kernel;
    if (this.#spare !== -1) {
      this.#kernel.close(this.#spare);
      const fd = this.#accept();
      if (fd !== -1) libc.close(fd);
      this.#spare = this.#openSpare();
      if (fd !== -1) return true;
    }
    // The listener stays ready: unwatched for a while, so that the loop doesn't spin.
    this.#resting = true;
    loop.unwatch(this.#fd);
    loop.clock.schedule(RETRY_MS, () => {
      if (!this.#open) return;
      this.#resting = false;
      if (this.#spare === -1) this.#spare = this.#openSpare();
      this.start();
    });
    return false;
  }

  #openSpare(): number {
    const fd = this.#kernel.libc.eventfd(0, linux.EFD_CLOEXEC);
    return fd !== -1 && this.#kernel.opened(fd) ? fd : -1;
  }

  #tell(code: string): void {
    const count = this.#throttle(this.#kernel.loop.clock.now());
    if (count === null) return;
    this.#events.acceptError(code, `accept: ${code} (${count} since the last report)`);
  }
}
