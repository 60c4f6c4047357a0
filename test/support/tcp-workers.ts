// The worker threads that a test's proxy starts, seen through Node's own `worker` event: which live, which views they
// were shown and say they have applied; and ways to end one that the product doesn't have.

import { type TestContext } from 'node:test';
import { type Worker } from 'node:worker_threads';

interface Seen {
  shown: number;
  applied: number;
  ready: boolean;
}

interface ViewMessage {
  readonly kind: string;
  readonly version: number;
}

export class WorkerWatch {
  readonly #seen = new Map<Worker, Seen>();
  /** Started since the beginning, those that are gone included. */
  started = 0;

  constructor(t: TestContext) {
    const take = (worker: Worker): void => this.#take(worker);
    process.on('worker', take);
    t.after(() => process.off('worker', take));
  }

  /** Those that live, oldest first. */
  get live(): readonly Worker[] {
    return [...this.#seen.keys()];
  }

  /** All live ones accept clients and have applied what they were shown. */
  get settled(): boolean {
    return [...this.#seen.values()].every(({ ready, shown, applied }) => ready && applied >= shown);
  }

  get ready(): number {
    return [...this.#seen.values()].filter(({ ready }) => ready).length;
  }

  #take(worker: Worker): void {
    const seen: Seen = { shown: 0, applied: 0, ready: false };
    this.#seen.set(worker, seen);
    this.started += 1;
    const post = worker.postMessage.bind(worker);
    worker.postMessage = (message: ViewMessage, ...rest: []) => {
      if (message.kind === 'view') seen.shown = message.version;
      post(message, ...rest);
    };
    worker.on('message', (message: ViewMessage) => {
      if (message.kind === 'applied') seen.applied = message.version;
      if (message.kind === 'ready') seen.ready = true;
    });
    worker.on('exit', () => this.#seen.delete(worker));
  }
}

/** A message it can't understand: it throws, as a bug of ours would make it. It reads it when it is next woken. */
export function confuse(worker: Worker): void {
  worker.postMessage({ kind: 'view', version: -1, view: { name: 'a backend that is not there' } });
}
