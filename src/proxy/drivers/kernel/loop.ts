// The event loop of a worker: sleeps until a descriptor, a request, a timer or the main thread has something for it.
// In epoll_wait, or with an io_uring in that, which then watches the epoll. Knows descriptors, not what they are for.
// Runs until woken, so that Node's own loop gets its turn for messages and promises; worker.ts starts it again.

import { arch } from 'node:os';
import { systemClock, type Clock, type MonotonicMs, type Timer } from '../../../core/clock.ts';
import { PointsmanError } from '../../../core/errors.ts';
import * as linux from './libc.ts';
import { type Libc } from './libc.ts';
import { Timers } from './timers.ts';
import { CQE_F_MORE, OP_POLL_ADD, POLL_ADD_MULTI, type Completion, type Uring } from './uring.ts';

export interface Watcher {
  /** `events`: a set of EPOLL flags. */
  ready(events: number): void;
}

/** Who made a request of the io_uring, by its descriptor; which stays open until the last of them is completed. */
export interface Requester {
  completed(kind: number, result: number, flags: number): void;
}

const MAX_EVENTS = 256;
/** struct epoll_event is packed on x86-64 only: 32 bits of events, 64 of data. */
const EVENT_WORDS = arch() === 'x64' ? 3 : 4;
const DATA_WORD = arch() === 'x64' ? 1 : 2;

export class Loop {
  readonly #libc: Libc;
  /** The epoll instance itself. */
  readonly fd: number;
  readonly #wake: number;
  readonly #now: () => MonotonicMs;
  readonly #timers = new Timers();
  readonly #event = new Int32Array(EVENT_WORDS);
  readonly #eventBytes = new Uint8Array(this.#event.buffer);
  readonly #events = new Int32Array(MAX_EVENTS * EVENT_WORDS);
  readonly #eventsBytes = new Uint8Array(this.#events.buffer);
  readonly #wakeBytes = new Uint8Array(8);
  /** By descriptor. Numbers are used again at once, so each use has its own generation: late events are told by it. */
  readonly #watchers: (Watcher | null)[] = [];
  readonly #generations: number[] = [];
  #tasks: (() => void)[] = [];
  #again: Watcher[] = [];
  #woken = false;
  #uring: Uring | null = null;
  readonly #requesters: (Requester | null)[] = [];
  readonly #completion: Completion = { mark: 0, kind: 0, result: 0, flags: 0 };
  /** The epoll had something: it may have more, and says so no second time. */
  #hot = false;
  /** Set to give Node's loop a turn after every round: while promises are waited for. */
  yielding = false;

  /** `wake`: an eventfd that the main thread writes to. Throws INTERNAL when the kernel refuses. */
  constructor(libc: Libc, wake: number, now: () => MonotonicMs) {
    this.#libc = libc;
    this.#now = now;
    this.#wake = wake;
    this.fd = libc.epoll_create1(linux.EPOLL_CLOEXEC);
    if (this.fd === -1) throw this.#failure('epoll_create1');
    this.watch(wake, { ready: () => this.#heard() }, linux.EPOLLIN);
  }

  readonly clock: Clock = {
    now: () => this.#now(),
    wall: () => systemClock.wall(),
    schedule: (delayMs, task) => this.#timers.schedule(this.#now() + delayMs, task),
    afterInput: task => this.#afterInput(task),
  };

  /** `mask`: EPOLL flags. Throws INTERNAL: the descriptor is ours and fresh, so only a lack of memory can be in the way. */
  watch(fd: number, watcher: Watcher, mask: number): void {
    const generation = ((this.#generations[fd] ?? 0) + 1) | 0;
    while (this.#watchers.length <= fd) this.#watchers.push(null);
    this.#generations[fd] = generation;
    this.#watchers[fd] = watcher;
    this.#event[0] = mask | 0;
    this.#event[DATA_WORD] = fd;
    this.#event[DATA_WORD + 1] = generation;
    if (this.#libc.epoll_ctl(this.fd, linux.EPOLL_CTL_ADD, fd, this.#eventBytes) === -1) {
      this.#watchers[fd] = null;
      throw this.#failure('epoll_ctl');
    }
  }

  /** From now on it sleeps in the io_uring, which takes requests besides. */
  use(uring: Uring): void {
    this.#uring = uring;
    this.setRequester(this.fd, { completed: (_kind, _result, flags) => this.#epollRang(flags) });
    this.#watchEpoll(uring);
  }

  /** Told of the completions of requests that carry this descriptor as their mark. */
  setRequester(fd: number, requester: Requester): void {
    while (this.#requesters.length <= fd) this.#requesters.push(null);
    this.#requesters[fd] = requester;
  }

  /** Another watcher takes over; the events stay the same. */
  handOver(fd: number, watcher: Watcher): void {
    this.#watchers[fd] = watcher;
  }

  /** Before its descriptor is closed: that takes it out of the kernel's set. */
  forget(fd: number): void {
    this.#watchers[fd] = null;
    this.#requesters[fd] = null;
  }

  /** Takes a descriptor out of the kernel's set that stays open. */
  unwatch(fd: number): void {
    this.#watchers[fd] = null;
    this.#libc.epoll_ctl(this.fd, linux.EPOLL_CTL_DEL, fd, null);
  }

  /** Calls it with no events in the next round: it has more to do, and others come first. */
  again(watcher: Watcher): void {
    this.#again.push(watcher);
  }

  /** Returns when the main thread has woken it, or after each round while it is yielding. */
  run(): void {
    this.#woken = false;
    do {
      if (this.#uring === null) this.#poll(this.#patienceMs());
      else this.#complete(this.#uring);
      this.#resume();
      if (this.#timers.nextAt() !== null) this.#timers.fire(this.#now());
      this.#runTasks();
    } while (!this.#woken && !this.yielding);
  }

  #poll(patienceMs: number): void {
    const count = this.#libc.epoll_wait(this.fd, this.#eventsBytes, MAX_EVENTS, patienceMs);
    if (count === -1 && this.#libc.errno() !== linux.EINTR) throw this.#failure('epoll_wait');
    this.#hot = count > 0;
    for (let at = 0; at < count * EVENT_WORDS; at += EVENT_WORDS) {
      const fd = this.#events[at + DATA_WORD] ?? -1;
      if (this.#generations[fd] !== this.#events[at + DATA_WORD + 1]) continue;
      this.#watchers[fd]?.ready(this.#events[at] ?? 0);
    }
  }

  #complete(uring: Uring): void {
    uring.wait(this.#hot ? 0 : this.#patienceMs());
    const completion = this.#completion;
    while (uring.take(completion)) {
      this.#requesters[completion.mark]?.completed(completion.kind, completion.result, completion.flags);
    }
    uring.settle();
    if (this.#hot) this.#poll(0);
    uring.feed();
  }

  #watchEpoll(uring: Uring): void {
    uring.request(OP_POLL_ADD, this.fd, 0, 0, POLL_ADD_MULTI, linux.EPOLLIN, this.fd, 0);
  }

  #epollRang(flags: number): void {
    this.#hot = true;
    if ((flags & CQE_F_MORE) === 0 && this.#uring !== null) this.#watchEpoll(this.#uring);
  }

  #patienceMs(): number {
    if (this.#again.length > 0 || this.#tasks.length > 0) return 0;
    const next = this.#timers.nextAt();
    return next === null ? -1 : Math.max(0, Math.ceil(next - this.#now()));
  }

  #resume(): void {
    if (this.#again.length === 0) return;
    const waiting = this.#again;
    this.#again = [];
    for (const watcher of waiting) watcher.ready(0);
  }

  #runTasks(): void {
    if (this.#tasks.length === 0) return;
    const tasks = this.#tasks;
    this.#tasks = [];
    for (const task of tasks) task();
  }

  #afterInput(task: () => void): Timer {
    let cancelled = false;
    this.#tasks.push(() => {
      if (!cancelled) task();
    });
    return { cancel: () => void (cancelled = true) };
  }

  #heard(): void {
    this.#libc.read(this.#wake, this.#wakeBytes, this.#wakeBytes.length);
    this.#woken = true;
  }

  #failure(call: string): PointsmanError {
    return new PointsmanError('INTERNAL', `${call}: ${linux.errnoName(this.#libc.errno())}`);
  }
}
