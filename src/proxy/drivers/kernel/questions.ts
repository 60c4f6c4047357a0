// Questions that the main thread asks of its workers, and the wait for what they say: bounded, since one may hang or die.
// Doesn't know what is asked. Owned by pool.ts.

import { type Clock } from '../../../core/clock.ts';
import { WORKER_ANSWER_MS } from '../../bounds.ts';
import { type Answer, type Question, type ToWorker } from './messages.ts';

interface Open {
  /** By worker; `null` until it has answered. */
  readonly answers: (Answer | null)[];
  readonly missing: Set<number>;
  readonly end: () => void;
}

export class Questions {
  readonly #clock: Clock;
  readonly #open = new Map<number, Open>();
  #asked = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Never rejects: who has said nothing within the bound stays `null`. */
  ask(
    workers: readonly { send(message: ToWorker): void }[],
    question: Question,
  ): Promise<readonly (Answer | null)[]> {
    this.#asked += 1;
    const request = this.#asked;
    return new Promise(resolve => {
      const answers = workers.map((): Answer | null => null);
      const end = (): void => {
        timer.cancel();
        this.#open.delete(request);
        resolve(answers);
      };
      const timer = this.#clock.schedule(WORKER_ANSWER_MS, end);
      const missing = new Set(workers.keys());
      this.#open.set(request, { answers, missing, end });
      for (const worker of workers) worker.send({ kind: 'ask', request, question });
      if (missing.size === 0) end();
    });
  }

  answered(worker: number, request: number, answer: Answer): void {
    const open = this.#open.get(request);
    if (open === undefined) return;
    open.answers[worker] = answer;
    this.#settle(open, worker);
  }

  /** It says nothing any more to what it was asked. */
  lost(worker: number): void {
    for (const open of [...this.#open.values()]) this.#settle(open, worker);
  }

  /** Nobody answers any more. */
  close(): void {
    for (const { end } of [...this.#open.values()]) end();
  }

  #settle({ missing, end }: Open, worker: number): void {
    missing.delete(worker);
    if (missing.size === 0) end();
  }
}
