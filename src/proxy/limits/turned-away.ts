// Clients that are turned away without a word are told of in sums: a line and a count for each would make a flood dearer
// than it is. One per frontend; its timer runs only while there is something to tell. Used by frontend.ts.

import { type Address } from '../../core/address.ts';
import { type Clock, type Timer } from '../../core/clock.ts';
import { TURNED_AWAY_TELL_MS } from '../bounds.ts';
import { type RejectReason } from '../events.ts';

type Tell = (reason: RejectReason, last: Address, count: number) => void;

export class TurnedAway {
  readonly #clock: Clock;
  readonly #tell: Tell;
  readonly #sums = new Map<RejectReason, { last: Address; count: number }>();
  #timer: Timer | null = null;

  constructor(clock: Clock, tell: Tell) {
    this.#clock = clock;
    this.#tell = tell;
  }

  note(reason: RejectReason, client: Address): void {
    const sum = this.#sums.get(reason);
    if (sum === undefined) this.#sums.set(reason, { last: client, count: 1 });
    else {
      sum.last = client;
      sum.count += 1;
    }
    this.#timer ??= this.#clock.schedule(TURNED_AWAY_TELL_MS, () => this.flush());
  }

  /** Tells what there is now; also the end of it. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = null;
    for (const [reason, { last, count }] of this.#sums) this.#tell(reason, last, count);
    this.#sums.clear();
  }
}
