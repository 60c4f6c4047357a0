// When a session has lived long enough (max_session_age): at a moment of its own, so that sessions that began together
// don't all come back together, and while it rests, so that nothing is cut that somebody waits for. Pure: time comes in.
// Asked by connection.ts at each sweep; not the closing.

import { type MonotonicMs } from '../core/clock.ts';
import { AGE_FIRST_SHARE, AGE_LAST_SHARE } from './bounds.ts';

export class Ageing {
  readonly maxMs: number;
  /** From here on it ends when it rests; and here it ends anyway. */
  readonly #restsFrom: MonotonicMs;
  readonly #endsAt: MonotonicMs;
  #up = -1;
  #down = -1;

  /** `draw`: from 0 to 1, another for each session. */
  constructor(maxMs: number, since: MonotonicMs, draw: number) {
    this.maxMs = maxMs;
    const share = AGE_FIRST_SHARE + (AGE_LAST_SHARE - AGE_FIRST_SHARE) * draw;
    this.#restsFrom = since + maxMs * share;
    this.#endsAt = since + maxMs;
  }

  /**
   * Whether it is to end now. `up`, `down`: bytes that have come of the client and of the server so far. `isOwed`: whether the
   * client was the last to speak.
   */
  isOver(now: MonotonicMs, up: number, down: number, isOwed: boolean): boolean {
    const rests = up === this.#up && down === this.#down;
    this.#up = up;
    this.#down = down;
    if (now >= this.#endsAt) return true;
    return rests && now >= this.#restsFrom && !isOwed;
  }
}
