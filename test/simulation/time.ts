// Simulated time: a heap of events, and the Clock that Pointsman is given of it. A step is one event taken from the heap.
// Nothing here waits: time leaps from event to event. Owned by simulation.ts; the world (servers, network, clients)
// schedules on SimTime itself, Pointsman through SimClock, so that what it leaves behind can be counted.

import { type Clock, type Timer } from '../../src/core/clock.ts';

class SimTimer implements Timer {
  readonly due: number;
  readonly order: number;
  /** `null` once it has run or was cancelled; the entry stays in the heap until it is due. */
  task: (() => void) | null;
  readonly #owner: SimClock | null;

  constructor(due: number, order: number, task: () => void, owner: SimClock | null) {
    this.due = due;
    this.order = order;
    this.task = task;
    this.#owner = owner;
  }

  cancel(): void {
    this.take();
  }

  take(): (() => void) | null {
    const { task } = this;
    if (task === null) return null;
    this.task = null;
    if (this.#owner !== null) this.#owner.pending -= 1;
    return this.#owner?.isDead === true ? null : task;
  }
}

/** No timer of a real machine runs sooner, and what is left of a wait by rounding alone would never pass here. */
const RESOLUTION_MS = 0.001;

const isBefore = (a: SimTimer, b: SimTimer): boolean =>
  a.due < b.due || (a.due === b.due && a.order < b.order);

export class SimTime {
  now = 0;
  /** Events run so far; cancelled ones don't count. */
  steps = 0;
  /** By which the clock on the wall is ahead: people and NTP set it. */
  wallOffsetMs = 1_700_000_000_000;
  /** Of them, those at the present instant. */
  stepsNow = 0;
  #order = 0;
  readonly #heap: SimTimer[] = [];

  schedule(delayMs: number, task: () => void, owner: SimClock | null = null): SimTimer {
    const due = this.now + (delayMs > 0 ? Math.max(delayMs, RESOLUTION_MS) : 0);
    const timer = new SimTimer(due, (this.#order += 1), task, owner);
    this.#push(timer);
    return timer;
  }

  /** Runs the next event, if there is one until `endMs`; else moves to `endMs` and returns false. */
  step(endMs: number): boolean {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.due > endMs) {
        this.now = Math.max(this.now, endMs);
        return false;
      }
      this.#pop();
      const task = next.take();
      if (task === null) continue;
      if (next.due > this.now) {
        this.now = next.due;
        this.stepsNow = 0;
      }
      this.steps += 1;
      this.stepsNow += 1;
      task();
      return true;
    }
  }

  /** Time passes and nothing happens: what was due meanwhile happens late, as after a stall of the process. */
  leap(ms: number): void {
    this.now += ms;
  }

  #push(timer: SimTimer): void {
    const heap = this.#heap;
    let index = heap.push(timer) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent]!;
      if (!isBefore(timer, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    const { length } = heap;
    if (length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      const below = heap[child]!;
      if (!isBefore(below, last)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
  }
}

/**
 * What a process of Pointsman takes for time. The wall clock may be set; the monotonic one never steps back, begins anew with
 * each process, and runs nothing of one that was killed.
 */
export class SimClock implements Clock {
  /** Timers that are neither fired nor cancelled. */
  pending = 0;
  isDead = false;
  readonly #time: SimTime;
  readonly #startedAt: number;

  constructor(time: SimTime) {
    this.#time = time;
    this.#startedAt = time.now;
  }

  now(): number {
    return this.#time.now - this.#startedAt;
  }

  wall(): number {
    return this.#time.wallOffsetMs + this.#time.now;
  }

  schedule(delayMs: number, task: () => void): Timer {
    this.pending += 1;
    return this.#time.schedule(delayMs, task, this);
  }

  afterInput(task: () => void): Timer {
    return this.schedule(0, task);
  }
}
