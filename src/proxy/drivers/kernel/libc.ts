// The system calls of the kernel driver, called through koffi: an optional package with prebuilt binaries.
// Synchronous, non-blocking calls only (but epoll_wait); results as the kernel gives them, -1 with errno on failure.
// Numbers are those of Linux on x86-64 and arm64. Loaded by the main thread and by every worker for itself.

import { arch, constants, platform } from 'node:os';
import { describeError } from '../../../core/errors.ts';

export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  listen(fd: number, backlog: number): number;
  accept4(fd: number, address: Uint8Array, length: Uint8Array, flags: number): number;
  connect(fd: number, address: Uint8Array, length: number): number;
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  getpeername(fd: number, address: Uint8Array, length: Uint8Array): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array): number;
  recv(fd: number, buffer: Uint8Array, length: number, flags: number): number;
  send(fd: number, buffer: Uint8Array, length: number, flags: number): number;
  read(fd: number, buffer: Uint8Array, length: number): number;
  shutdown(fd: number, how: number): number;
  close(fd: number): number;
  fcntl(fd: number, command: number, value: number): number;
  eventfd(initial: number, flags: number): number;
  epoll_create1(flags: number): number;
  epoll_ctl(epoll: number, operation: number, fd: number, event: Uint8Array | null): number;
  epoll_wait(epoll: number, events: Uint8Array, max: number, timeoutMs: number): number;
  if_nametoindex(name: string): number;
  /** System calls that the C library has no function for: number, then their arguments. */
  syscallSetup(number: number, entries: number, parameters: Uint8Array): number;
  syscallRegister(number: number, fd: number, what: number, argument: Uint8Array, count: number): number;
  syscallEnter(
    number: number,
    fd: number,
    submit: number,
    minimum: number,
    flags: number,
    argument: number,
    argumentSize: number,
  ): number;
  munmap(address: number, bytes: number): number;
  /** Memory that stays where it is: of a descriptor, or of nobody (-1). Null when refused. */
  mmap(bytes: number, fd: number, offset: number): Mapping | null;
  errno(): number;
}

export interface Mapping {
  readonly address: number;
  readonly bytes: number;
  readonly memory: ArrayBuffer;
}

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const SHUT_WR = 1;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;
export const TCP_USER_TIMEOUT = 18;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;
export const MSG_NOSIGNAL = 0x4000;
export const SHUT_RDWR = 2;
export const MSG_DONTWAIT = 0x40;
export const MSG_WAITALL = 0x100;
export const EFD_NONBLOCK = 0x800;
export const EFD_CLOEXEC = 0x80000;
export const EPOLL_CLOEXEC = 0x80000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLRDHUP = 0x2000;
export const EPOLLEXCLUSIVE = 0x10000000;
export const EPOLLET = 0x80000000;
export const F_SETFL = 4;
export const O_NONBLOCK = 0x800;
const PROT_READ_WRITE = 3;
const MAP_SHARED_POPULATE = 0x8001;
const MAP_PRIVATE_ANONYMOUS = 0x22;

export const { EAGAIN, ECANCELED, ECONNABORTED, EHOSTUNREACH, EINPROGRESS, EINTR, EMFILE, ENOBUFS } =
  constants.errno;

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** `ECONNREFUSED` and the like. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}

/** The calls, or why they can't be had on this machine. */
export type LibcResult =
  { readonly ok: true; readonly libc: Libc } | { readonly ok: false; readonly reason: string };

/** Looks whether they work, too: a sandbox may forbid a call that exists. */
export async function loadLibc(): Promise<LibcResult> {
  if (platform() !== 'linux') return { ok: false, reason: `it needs Linux, this is ${platform()}` };
  if (arch() !== 'x64' && arch() !== 'arm64') {
    return { ok: false, reason: `it does not know the processor ${arch()}` };
  }
  try {
    const libc = await declare();
    const refused = tryOut(libc);
    return refused === null ? { ok: true, libc } : { ok: false, reason: refused };
  } catch (thrown) {
    return { ok: false, reason: `the package koffi can't be loaded: ${describeError(thrown).message}` };
  }
}

async function declare(): Promise<Libc> {
  const { default: koffi } = await import('koffi');
  // The running program itself: Node is linked with the system's C library, whichever that is.
  const library = koffi.load(null);
  const call = (definition: string): unknown => library.func(definition);
  const calls: Record<Exclude<keyof Libc, 'errno' | 'mmap'>, unknown> = {
    socket: call('int socket(int domain, int type, int protocol)'),
    bind: call('int bind(int fd, void *address, uint32_t length)'),
    listen: call('int listen(int fd, int backlog)'),
    accept4: call('int accept4(int fd, void *address, void *length, int flags)'),
    connect: call('int connect(int fd, void *address, uint32_t length)'),
    getsockname: call('int getsockname(int fd, void *address, void *length)'),
    getpeername: call('int getpeername(int fd, void *address, void *length)'),
    setsockopt: call('int setsockopt(int fd, int level, int name, void *value, uint32_t length)'),
    getsockopt: call('int getsockopt(int fd, int level, int name, void *value, void *length)'),
    recv: call('int recv(int fd, void *buffer, int length, int flags)'),
    send: call('int send(int fd, void *buffer, int length, int flags)'),
    read: call('int read(int fd, void *buffer, size_t length)'),
    shutdown: call('int shutdown(int fd, int how)'),
    close: call('int close(int fd)'),
    fcntl: call('int fcntl(int fd, int command, int value)'),
    eventfd: call('int eventfd(unsigned int initial, int flags)'),
    epoll_create1: call('int epoll_create1(int flags)'),
    epoll_ctl: call('int epoll_ctl(int epoll, int operation, int fd, void *event)'),
    epoll_wait: call('int epoll_wait(int epoll, void *events, int max, int timeout)'),
    if_nametoindex: call('unsigned int if_nametoindex(const char *name)'),
    syscallSetup: call('int syscall(int number, int entries, void *parameters)'),
    syscallRegister: call('int syscall(int number, int fd, int what, void *argument, int count)'),
    syscallEnter: call(
      'int syscall(int number, int fd, int submit, int minimum, int flags, size_t argument, int size)',
    ),
    munmap: call('int munmap(size_t address, size_t bytes)'),
  };
  const mmap = call(
    'size_t mmap(size_t address, size_t bytes, int protection, int flags, int fd, int64_t offset)',
  ) as (...values: readonly number[]) => number | bigint;
  // Of this thread, for ever: cheaper to look at than to ask for.
  const location = library.func('void *__errno_location()') as () => unknown;
  const errno = new Int32Array(koffi.view(location(), 4));
  return {
    ...(calls as Omit<Libc, 'errno' | 'mmap'>),
    errno: () => errno[0] ?? 0,
    mmap(bytes, fd, offset) {
      const flags = fd === -1 ? MAP_PRIVATE_ANONYMOUS : MAP_SHARED_POPULATE;
      const address = Number(mmap(0, bytes, PROT_READ_WRITE, flags, fd, offset));
      // MAP_FAILED is -1, which as an address is the highest of all.
      if (address > Number.MAX_SAFE_INTEGER) return null;
      return { address, bytes, memory: koffi.view(BigInt(address), bytes) };
    },
  };
}

/** Null if all is well. Nothing stays open. */
function tryOut(libc: Libc): string | null {
  const epoll = libc.epoll_create1(EPOLL_CLOEXEC);
  if (epoll === -1) return `epoll_create1 is refused (${errnoName(libc.errno())})`;
  const event = libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  const refusal = event === -1 ? `eventfd is refused (${errnoName(libc.errno())})` : null;
  if (event !== -1) libc.close(event);
  libc.close(epoll);
  return refusal;
}

/** An int in the machine's byte order (little-endian on both), as options and lengths are passed. */
export function int32(...values: number[]): Uint8Array {
  return new Uint8Array(Int32Array.from(values).buffer);
}
