// Timers for a loop that sleeps in the kernel: a binary heap that forgets a cancelled timer at once, so that thousands
// of connections a second, each with a deadline that never comes, leave nothing behind. No clock: time is passed in.
// Used by loop.ts.

import { type MonotonicMs, type Timer } from '../../../core/clock.ts';

export class Timers {
  readonly #heap: HeapTimer[] = [];

  schedule(at: MonotonicMs, task: () => void): Timer {
    const timer = new HeapTimer(this.#heap, at, task);
    timer.enter();
    return timer;
  }

  /** When the next is due; null when there is none. */
  nextAt(): MonotonicMs | null {
    return this.#heap[0]?.at ?? null;
  }

  /** Runs what is due, in order of time. A task may schedule and cancel; what it makes due at `now` runs too. */
  fire(now: MonotonicMs): void {
    for (let next = this.#heap[0]; next !== undefined && next.at <= now; next = this.#heap[0]) {
      next.cancel();
      next.task();
    }
  }
}

class HeapTimer implements Timer {
  readonly at: MonotonicMs;
  readonly task: () => void;
  readonly #heap: HeapTimer[];
  #index = -1;

  constructor(heap: HeapTimer[], at: MonotonicMs, task: () => void) {
    this.#heap = heap;
    this.at = at;
    this.task = task;
  }

  enter(): void {
    this.#heap.push(this);
    this.#rise(this.#heap.length - 1);
  }

  cancel(): void {
    const index = this.#index;
    if (index === -1) return;
    this.#index = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === this) return;
    this.#heap[index] = last;
    last.#rise(index);
    last.#sink(last.#index);
  }

  #rise(from: number): void {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = this.#heap[parent];
      if (above === undefined || above.at <= this.at) break;
      this.#heap[index] = above;
      above.#index = index;
      index = parent;
    }
    this.#heap[index] = this;
    this.#index = index;
  }

  #sink(from: number): void {
    let index = from;
    for (;;) {
      const left = this.#heap[2 * index + 1];
      if (left === undefined) break;
      const right = this.#heap[2 * index + 2];
      const least = right !== undefined && right.at < left.at ? right : left;
      if (least.at >= this.at) break;
      const below = least.#index;
      this.#heap[index] = least;
      least.#index = index;
      index = below;
    }
    this.#heap[index] = this;
    this.#index = index;
  }
}
