// One io_uring: memory shared with the kernel, requests put in, completions read out. Knows no socket and no session.
// Layouts and numbers: io_uring(7), io_uring_setup(2), io_uring_enter(2), include/uapi/linux/io_uring.h.
// x86-64 only: there a store is seen by the kernel in the order it was made, elsewhere barriers would be needed.
// Made by worker.ts where the kernel allows it (containers often forbid it); used by ring-io.ts and loop.ts.

import { arch } from 'node:os';
import { errnoName, type Libc, type Mapping } from './libc.ts';

/** Operations and flags of requests and completions; the first word of a request is operation | flags << 8 | priority << 16. */
export const OP_POLL_ADD = 6;
export const OP_ASYNC_CANCEL = 14;
export const OP_CONNECT = 16;
/**
 * Sends, and completes in words only when it fails. With MSG_DONTWAIT it is done when it is handed in, so silence after
 * that means success; with MSG_WAITALL a part is a failure.
 */
export const OP_SEND_QUIET = 26 | ((1 << 6) << 8);
/** Receives again and again, each time into a buffer that the kernel picks. */
export const OP_RECV_MULTISHOT = 27 | ((1 << 5) << 8) | (2 << 16);
export const POLL_ADD_MULTI = 1;
export const CQE_F_MORE = 2;
export const CQE_BUFFER_SHIFT = 16;

/** Kinds of requests, as their completions carry them in the upper half of their mark. */
export const RECEIVE = 1;
export const SEND = 2;
export const CANCEL = 3;
export const CONNECT = 4;
export const KIND_UNIT = 0x1_0000_0000;

const SYS_SETUP = 425;
const SYS_ENTER = 426;
const SYS_REGISTER = 427;
const SETUP_CQSIZE = 1 << 3;
const SETUP_CLAMP = 1 << 4;
const SETUP_SUBMIT_ALL = 1 << 7;
const SETUP_COOP_TASKRUN = 1 << 8;
const SETUP_SINGLE_ISSUER = 1 << 12;
const SETUP_DEFER_TASKRUN = 1 << 13;
const REGISTER_PBUF_RING = 22;
const OFFSET_SQES = 0x10000000;
const ENTER_GETEVENTS = 1;
const ENTER_EXT_ARG = 8;
const WAIT_ARGUMENT_BYTES = 24;
const FEAT_SINGLE_MMAP = 1;
const FEAT_EXT_ARG = 1 << 8;
const FEAT_CQE_SKIP = 1 << 11;
const FEATURES = FEAT_SINGLE_MMAP | FEAT_EXT_ARG | FEAT_CQE_SKIP;

const SQ_ENTRIES = 1024;
const CQ_ENTRIES = 8192;
const SQE_WORDS = 16;
const CQE_WORDS = 4;
/** Questions and answers are small; what is larger goes another way (socket.ts). */
export const RING_BUFFER_BYTES = 4096;
const BUFFERS = 1024;

export interface Completion {
  /** The two halves of the request's own mark. */
  mark: number;
  kind: number;
  /** As the system call would return; a negative errno on failure. */
  result: number;
  flags: number;
}

export interface QuietSender {
  settled(): void;
}

export type UringResult =
  { readonly ok: true; readonly uring: Uring } | { readonly ok: false; readonly reason: string };

/** `keep` is told of every mapping: should the thread die, somebody else must undo it. */
export function openUring(libc: Libc, keep: (mapping: Mapping) => void): UringResult {
  if (arch() !== 'x64') return { ok: false, reason: `it is not done for ${arch()}` };
  const parameters = new Uint32Array(30);
  parameters[1] = CQ_ENTRIES;
  parameters[2] =
    SETUP_CQSIZE |
    SETUP_CLAMP |
    SETUP_SUBMIT_ALL |
    SETUP_COOP_TASKRUN |
    SETUP_SINGLE_ISSUER |
    SETUP_DEFER_TASKRUN;
  const fd = libc.syscallSetup(SYS_SETUP, SQ_ENTRIES, new Uint8Array(parameters.buffer));
  if (fd === -1) return { ok: false, reason: `io_uring_setup is refused (${errnoName(libc.errno())})` };
  const features = parameters[5] ?? 0;
  if ((features & FEATURES) !== FEATURES) {
    libc.close(fd);
    return { ok: false, reason: 'this kernel is too old for it' };
  }
  try {
    return { ok: true, uring: new Uring(libc, fd, parameters, keep) };
  } catch (thrown) {
    libc.close(fd);
    if (!(thrown instanceof RangeError)) throw thrown;
    return { ok: false, reason: thrown.message };
  }
}

export class Uring {
  readonly fd: number;
  /** The kernel's buffers, one after the other. */
  readonly buffers: Uint8Array;
  /** Memory that requests may point to until they are handed in, one piece for each; behind it the arguments of a wait. */
  readonly #scratch: Uint8Array;
  readonly #scratchAddress: number;
  readonly #waitAddress: number;
  readonly #timeout: BigInt64Array;
  readonly #buffersAddress: number;
  readonly #libc: Libc;
  readonly #ring: Int32Array;
  readonly #sqes: Int32Array;
  readonly #offers: Int32Array;
  readonly #offers16: Uint16Array;
  readonly #sqTailAt: number;
  readonly #cqHeadAt: number;
  readonly #cqTailAt: number;
  readonly #cqesAt: number;
  readonly #sqMask: number;
  readonly #cqMask: number;
  #sqTail: number;
  #cqHead: number;
  #queued = 0;
  #offered = 0;
  #published = 0;
  readonly #starved: (() => void)[] = [];
  #quiet: QuietSender[] = [];
  #handedIn: QuietSender[] = [];
  #pressing = false;

  constructor(libc: Libc, fd: number, parameters: Uint32Array, keep: (mapping: Mapping) => void) {
    this.fd = fd;
    this.#libc = libc;
    const word = (index: number): number => parameters[index] ?? 0;
    const map = (bytes: number, of: number, offset: number): Mapping => {
      const mapping = libc.mmap(bytes, of, offset);
      if (mapping === null) throw new RangeError(`mmap is refused (${errnoName(libc.errno())})`);
      keep(mapping);
      return mapping;
    };
    const [sqEntries, cqEntries] = [word(0), word(1)];
    // sq_off from word 10 (head, tail, mask, entries, flags, dropped, array), cq_off from word 20
    const sqArray = word(16);
    const ringBytes = Math.max(sqArray + 4 * sqEntries, word(25) + 16 * cqEntries);
    this.#ring = new Int32Array(map(ringBytes, fd, 0).memory);
    this.#sqes = new Int32Array(map(4 * SQE_WORDS * sqEntries, fd, OFFSET_SQES).memory);
    this.#sqTailAt = word(11) >> 2;
    this.#cqHeadAt = word(20) >> 2;
    this.#cqTailAt = word(21) >> 2;
    this.#cqesAt = word(25) >> 2;
    this.#sqMask = sqEntries - 1;
    this.#cqMask = cqEntries - 1;
    for (let index = 0; index < sqEntries; index += 1) this.#ring[(sqArray >> 2) + index] = index;
    this.#sqTail = this.#ring[this.#sqTailAt] ?? 0;
    this.#cqHead = this.#ring[this.#cqHeadAt] ?? 0;

    const scratch = map(SCRATCH_BYTES * (sqEntries + 2), -1, 0);
    this.#scratch = new Uint8Array(scratch.memory);
    this.#scratchAddress = scratch.address;
    const buffers = map(RING_BUFFER_BYTES * BUFFERS, -1, 0);
    this.buffers = new Uint8Array(buffers.memory);
    this.#buffersAddress = buffers.address;
    const offers = map(16 * BUFFERS, -1, 0);
    this.#offers = new Int32Array(offers.memory);
    this.#offers16 = new Uint16Array(offers.memory);
    const registration = new DataView(new ArrayBuffer(40));
    registration.setBigUint64(0, BigInt(offers.address), true);
    registration.setUint32(8, BUFFERS, true);
    const answer = libc.syscallRegister(
      SYS_REGISTER,
      fd,
      REGISTER_PBUF_RING,
      new Uint8Array(registration.buffer),
      1,
    );
    if (answer === -1) throw new RangeError(`buffer rings are refused (${errnoName(libc.errno())})`);
    for (let buffer = 0; buffer < BUFFERS; buffer += 1) this.giveBack(buffer);
    this.#publish();

    // struct io_uring_getevents_arg (signal mask, its size, minimum wait, address of a timespec), then the timespec
    const behind = SCRATCH_BYTES * sqEntries;
    this.#waitAddress = scratch.address + behind;
    new DataView(scratch.memory).setBigUint64(behind + 16, BigInt(this.#waitAddress + SCRATCH_BYTES), true);
    this.#timeout = new BigInt64Array(scratch.memory, behind + SCRATCH_BYTES, 2);
  }

  /** A request; `first` is opcode | flags << 8 | priority << 16. Handed in by the next `wait`, or when the queue is full. */
  request(
    first: number,
    fd: number,
    offset: number,
    address: number,
    length: number,
    operationFlags: number,
    mark: number,
    kind: number,
  ): void {
    if (this.#queued > this.#sqMask) this.#enter(0, -1);
    const at = (this.#sqTail & this.#sqMask) * SQE_WORDS;
    const sqes = this.#sqes;
    sqes[at] = first;
    sqes[at + 1] = fd;
    sqes[at + 2] = offset;
    sqes[at + 3] = 0;
    sqes[at + 4] = address;
    sqes[at + 5] = Math.floor(address / 0x1_0000_0000);
    sqes[at + 6] = length;
    sqes[at + 7] = operationFlags;
    sqes[at + 8] = mark;
    sqes[at + 9] = kind;
    sqes[at + 10] = 0;
    sqes[at + 11] = 0;
    this.#sqTail = (this.#sqTail + 1) | 0;
    this.#queued += 1;
  }

  /** Copies up to SCRATCH_BYTES for the next request and returns their address. */
  scratchFor(bytes: Uint8Array): number {
    if (this.#queued > this.#sqMask) this.#enter(0, -1);
    const at = (this.#sqTail & this.#sqMask) * SCRATCH_BYTES;
    this.#scratch.set(bytes, at);
    return this.#scratchAddress + at;
  }

  bufferAddress(buffer: number): number {
    return this.#buffersAddress + buffer * RING_BUFFER_BYTES;
  }

  /** A buffer is free again. The kernel hears of it with the next `wait`. */
  giveBack(buffer: number): void {
    const at = (this.#offered & (BUFFERS - 1)) * 4;
    const address = this.bufferAddress(buffer);
    this.#offers[at] = address;
    this.#offers[at + 1] = Math.floor(address / 0x1_0000_0000);
    this.#offers[at + 2] = RING_BUFFER_BYTES;
    this.#offers16[2 * at + 6] = buffer;
    this.#offered = (this.#offered + 1) & 0xffff;
  }

  /** Who has requested a quiet send: told when it has succeeded, unless a completion said that it failed. */
  onQuiet(sender: QuietSender): void {
    this.#quiet.push(sender);
  }

  /** Something waits for a quiet send: the next `wait` must not. */
  press(): void {
    this.#pressing = true;
  }

  /** Call it after the completions of a `wait`: the quiet sends that it handed in are done. */
  settle(): void {
    const { length } = this.#handedIn;
    for (let index = 0; index < length; index += 1) this.#handedIn[index]?.settled();
    this.#handedIn.length = 0;
  }

  /** Runs `task` when buffers were given back: a request to receive had none left. */
  whenFree(task: () => void): void {
    this.#starved.push(task);
  }

  /** Call it after each round of completions. */
  feed(): void {
    if (this.#starved.length === 0) return;
    if (this.#offered === this.#published) {
      // The buffers come back with the sends that are about to be handed in, of which no completion will tell.
      if (this.#quiet.length > 0) this.#pressing = true;
      return;
    }
    for (const task of this.#starved.splice(0)) task();
  }

  /** Hands in what is queued, and waits for a completion: `patienceMs` at most, -1: for ever, 0: not at all. */
  wait(patienceMs: number): void {
    this.#publish();
    const ready = this.#ring[this.#cqTailAt] !== this.#cqHead;
    const handedIn = this.#quiet;
    this.#quiet = this.#handedIn;
    this.#handedIn = handedIn;
    this.#enter(ready || this.#pressing || patienceMs === 0 ? 0 : 1, patienceMs);
    this.#pressing = false;
  }

  /** The next completion in `into`; false when there is none. */
  take(into: Completion): boolean {
    const ring = this.#ring;
    if (ring[this.#cqTailAt] === this.#cqHead) return false;
    const at = this.#cqesAt + (this.#cqHead & this.#cqMask) * CQE_WORDS;
    into.mark = ring[at] ?? 0;
    into.kind = ring[at + 1] ?? 0;
    into.result = ring[at + 2] ?? 0;
    into.flags = ring[at + 3] ?? 0;
    this.#cqHead = (this.#cqHead + 1) | 0;
    ring[this.#cqHeadAt] = this.#cqHead;
    return true;
  }

  #publish(): void {
    this.#offers16[7] = this.#offered;
    this.#published = this.#offered;
  }

  #enter(minimum: number, patienceMs: number): void {
    const { errno, syscallEnter } = this.#libc;
    this.#ring[this.#sqTailAt] = this.#sqTail;
    const count = this.#queued;
    this.#queued = 0;
    const bounded = minimum > 0 && patienceMs > 0;
    if (bounded) {
      this.#timeout[0] = BigInt(Math.floor(patienceMs / 1000));
      this.#timeout[1] = BigInt(Math.floor((patienceMs % 1000) * 1e6));
    }
    const result = syscallEnter(
      SYS_ENTER,
      this.fd,
      count,
      minimum,
      ENTER_GETEVENTS | (bounded ? ENTER_EXT_ARG : 0),
      bounded ? this.#waitAddress : 0,
      bounded ? WAIT_ARGUMENT_BYTES : 8,
    );
    if (result === -1 && !harmless.has(errnoName(errno()))) {
      throw new RangeError(`io_uring_enter: ${errnoName(errno())}`);
    }
  }
}

/** A sockaddr fits. */
const SCRATCH_BYTES = 32;

/** Nothing came in time, a signal, or completions that must be taken first: the caller does so and comes again. */
const harmless: ReadonlySet<string> = new Set(['ETIME', 'EINTR', 'EBUSY', 'EAGAIN']);
