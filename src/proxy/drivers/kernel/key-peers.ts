// Asks the other workers whose session a cancel key belongs to: a CancelRequest comes to any of them. The main thread only
// passes on. Bounded in time, since one may be gone, and in number, since strangers make up keys. Used by worker.ts.

import { type Clock } from '../../../core/clock.ts';
import { KEY_QUESTIONS_MAX } from '../../../core/limits.ts';
import { WORKER_KEY_ANSWER_MS } from '../../bounds.ts';
import { type KeyQuestion } from './messages.ts';

interface Open {
  missing: number;
  readonly end: (server: string | null) => void;
}

export class KeyPeers {
  readonly #ask: (question: KeyQuestion) => void;
  readonly #others: number;
  readonly #clock: Clock;
  readonly #open = new Map<number, Open>();
  #asked = 0;

  /** `others`: how many will answer. */
  constructor(ask: (question: KeyQuestion) => void, others: number, clock: Clock) {
    this.#ask = ask;
    this.#others = others;
    this.#clock = clock;
  }

  /** `null`: nobody has it, or says so in time. Never rejects. */
  serverOfKey(backend: string, key: string): Promise<string | null> {
    if (this.#others === 0 || this.#open.size >= KEY_QUESTIONS_MAX) return Promise.resolve(null);
    this.#asked += 1;
    const request = this.#asked;
    return new Promise(resolve => {
      const end = (server: string | null): void => {
        timer.cancel();
        this.#open.delete(request);
        resolve(server);
      };
      const timer = this.#clock.schedule(WORKER_KEY_ANSWER_MS, () => end(null));
      this.#open.set(request, { missing: this.#others, end });
      this.#ask({ request, backend, key });
    });
  }

  answered(request: number, server: string | null): void {
    const open = this.#open.get(request);
    if (open === undefined) return;
    open.missing -= 1;
    if (server !== null || open.missing === 0) open.end(server);
  }
}
