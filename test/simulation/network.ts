// The way between Pointsman and one server, as TCP shows it: what is sent arrives late, in order within a connection, and
// after a partition rather than never, unless its sender has given the connection up meanwhile.
// Each direction can be cut for itself. Used by prober.ts, dialing.ts and faults.ts.

import { type Random } from '../../src/core/random.ts';
import { type SimTime } from './time.ts';

/** `to` the server, or `from` it. */
export type Direction = 'to' | 'from';

export interface Message {
  arrive(): void;
  /** The sender has dropped what was not delivered yet: it is not sent again after a partition. */
  readonly isDropped: boolean;
}

/** When the newest message of a connection arrives, by direction: none overtakes another. */
export interface Lanes {
  to: number;
  from: number;
}

export const newLanes = (): Lanes => ({ to: 0, from: 0 });

/** How long TCP waits before it sends again what was lost. */
const RESEND_MS = 200;

export class Path {
  /** How often a direction is cut: two faults may overlap. */
  readonly cuts: Lanes = { to: 0, from: 0 };
  extraDelayMs = 0;
  /** The share of messages that are lost once. */
  loss = 0;
  readonly #time: SimTime;
  readonly #random: Random;
  readonly #delayMs: number;
  readonly #stalled: Record<Direction, { lanes: Lanes; message: Message }[]> = { to: [], from: [] };
  /** Until then what waited through a cut is still on its way, and nothing may overtake it. */
  readonly #caughtUpAt: Lanes = { to: 0, from: 0 };

  constructor(time: SimTime, random: Random, delayMs: number) {
    this.#time = time;
    this.#random = random;
    this.#delayMs = delayMs;
  }

  send(direction: Direction, lanes: Lanes, message: Message): void {
    const due = this.#dueAt(direction, lanes);
    this.#time.schedule(due - this.#time.now, () => {
      const behindMs = this.#caughtUpAt[direction] - this.#time.now;
      if (behindMs <= 0) this.#arrived(direction, lanes, message);
      else this.#time.schedule(behindMs, () => this.#arrived(direction, lanes, message));
    });
  }

  cut(direction: Direction): void {
    this.cuts[direction] += 1;
  }

  mend(direction: Direction): void {
    this.cuts[direction] = Math.max(0, this.cuts[direction] - 1);
    if (this.cuts[direction] > 0) return;
    for (const { lanes, message } of this.#stalled[direction].splice(0)) {
      if (message.isDropped) continue;
      const due = this.#dueAt(direction, lanes);
      this.#caughtUpAt[direction] = Math.max(this.#caughtUpAt[direction], due);
      this.#time.schedule(due - this.#time.now, () => this.#arrived(direction, lanes, message));
    }
  }

  #dueAt(direction: Direction, lanes: Lanes): number {
    const lostMs = this.loss > 0 && this.#random() < this.loss ? RESEND_MS : 0;
    const delayMs = this.#delayMs * (0.5 + this.#random()) + this.extraDelayMs + lostMs;
    const due = Math.max(this.#time.now + delayMs, lanes[direction]);
    lanes[direction] = due;
    return due;
  }

  #arrived(direction: Direction, lanes: Lanes, message: Message): void {
    if (this.cuts[direction] === 0) message.arrive();
    else if (!message.isDropped) this.#stalled[direction].push({ lanes, message });
  }
}
