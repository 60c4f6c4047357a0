// A clock that moves only when the test says so.

import { type Clock, type Timer } from '../../src/core/clock.ts';

interface Task {
  readonly due: number;
  readonly order: number;
  readonly run: () => void;
}

export class FakeClock implements Clock {
  #now = 0;
  #order = 0;
  #tasks: Task[] = [];

  now(): number {
    return this.#now;
  }

  wall(): number {
    return 1_700_000_000_000 + this.#now;
  }

  schedule(delayMs: number, run: () => void): Timer {
    const task: Task = { due: this.#now + delayMs, order: (this.#order += 1), run };
    this.#tasks.push(task);
    return {
      cancel: () => {
        this.#tasks = this.#tasks.filter(other => other !== task);
      },
    };
  }

  afterInput(run: () => void): Timer {
    return this.schedule(0, run);
  }

  get pending(): number {
    return this.#tasks.length;
  }

  /** Moves time forward, running what falls due in order, and lets promises settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const next = this.#tasks
        .filter(task => task.due <= end)
        .sort((a, b) => a.due - b.due || a.order - b.order)[0];
      if (next === undefined) break;
      this.#tasks = this.#tasks.filter(task => task !== next);
      this.#now = Math.max(this.#now, next.due);
      next.run();
    }
    this.#now = end;
    await settle();
  }
}

/** Lets every promise that can settle do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i += 1) await new Promise(resolve => setImmediate(resolve));
}
