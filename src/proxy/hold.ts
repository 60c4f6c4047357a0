// The hold: clients that wait for a server, first come first served, bounded, and let go at a pace. Pure: time comes in.
// Not the deadline of a client (its session has it) and no timer: the frontend asks `take` on a change and at `nextAt`.

import { type MonotonicMs } from '../core/clock.ts';
import { invariant } from '../core/errors.ts';
import { LOGIN_MAX_MS, RELEASE_BURST, RELEASE_TICK_MS, RELEASE_TRICKLE, RETRY_PAUSE_MS } from './bounds.ts';

/**
 * Life of a client: `join` -> `take` -> `connected` -> `loggedIn`, or `take` -> `giveBack` (its dial failed, or the
 * server is no longer eligible): it waits on, ahead of those who came later. It may `leave` at any time.
 */
export class HoldQueue<T> {
  readonly #room: () => number;
  readonly #usualBurst: number;
  #burst: number;
  /** In order of arrival: a Set and not a list, so that a client that leaves is forgotten in one step. */
  readonly #waiting = new Set<T>();
  /** Given back after a failed dial: they came before everybody in `#waiting`. */
  readonly #returned = new Set<T>();
  readonly #released = new Set<T>();
  /** Connected, login not yet seen to be done; since when, oldest first. */
  readonly #loggingIn = new Map<T, MonotonicMs>();
  #pausedUntil: MonotonicMs = -Infinity;
  #tickedAt: MonotonicMs = -Infinity;
  /** After a failure one client tries for all; the first success opens the gate again. */
  #probing = false;

  /**
   * `room`: clients that may wait now, those who do included; 0 or more.
   * `burst`: clients that may be under way at once.
   */
  constructor(room: () => number, burst: number = RELEASE_BURST) {
    this.#room = room;
    this.#usualBurst = burst;
    this.#burst = burst;
  }

  /** Clients that wait now; those released and not yet settled aren't among them. */
  get size(): number {
    return this.#returned.size + this.#waiting.size;
  }

  /** Adds a client behind all others; false when the hold is full. */
  join(client: T): boolean {
    const known = this.#waiting.has(client) || this.#returned.has(client) || this.#released.has(client);
    invariant(!known, 'a client waits once');
    if (this.size >= this.#room()) return false;
    this.#waiting.add(client);
    return true;
  }

  /** A client that waits or was released is gone. Harmless for one that is neither. */
  leave(client: T): void {
    if (this.#isIdle()) return;
    this.#waiting.delete(client);
    this.#returned.delete(client);
    this.#released.delete(client);
    this.#loggingIn.delete(client);
  }

  /** A released client is joined to its server: its wait is over, its login begins. */
  connected(client: T, now: MonotonicMs): void {
    if (!this.#released.delete(client)) return;
    this.#loggingIn.set(client, now);
    this.#probing = false;
    this.#pausedUntil = -Infinity;
  }

  /** The server has let the client in; true if that makes room for the next. */
  loggedIn(client: T): boolean {
    return this.#loggingIn.delete(client);
  }

  /** A released client got none and waits on at the head. Bounded by `room` and the burst: it was in the hold before. */
  giveBack(client: T): void {
    invariant(this.#released.delete(client), 'only a released client is given back');
    this.#returned.add(client);
  }

  /** Every candidate refused: nobody goes for RETRY_PAUSE_MS, then one does. */
  pause(now: MonotonicMs): void {
    this.#probing = true;
    this.#pausedUntil = now + RETRY_PAUSE_MS;
  }

  /**
   * Who may go now, in order, at most `most`. Call it only while there is a server to go to. `burst`: how many may be under
   * way from now on; null: as many as usual.
   */
  take(now: MonotonicMs, most = Infinity, burst: number | null = null): readonly T[] {
    this.#burst = burst ?? this.#usualBurst;
    if (now < this.#pausedUntil) return [];
    this.#forgetOldLogins(now);
    const allowance = Math.min(most, this.#allowance(now));
    const clients: T[] = [];
    for (const queue of [this.#returned, this.#waiting]) {
      for (const client of queue) {
        if (clients.length >= allowance) break;
        queue.delete(client);
        this.#released.add(client);
        clients.push(client);
      }
    }
    if (clients.length > 0) this.#tickedAt = now;
    return clients;
  }

  /**
   * When to call `take` again if nothing else happens: a time in the past means now, null that only an event helps
   * (nobody waits, or the one that tries for all is under way).
   */
  nextAt(): MonotonicMs | null {
    if (this.size === 0) return null;
    if (this.#open() > 0) return this.#pausedUntil;
    return this.#probing ? null : this.#tickedAt + RELEASE_TICK_MS;
  }

  /** Nobody waits and nobody is under way, as in most hours: then the many who come and go cost nothing here. */
  #isIdle(): boolean {
    return this.size === 0 && this.#released.size === 0 && this.#loggingIn.size === 0;
  }

  /** Clients that may be under way besides those that are. */
  #open(): number {
    if (this.#probing) return 1 - this.#released.size;
    return this.#burst - this.#released.size - this.#loggingIn.size;
  }

  #forgetOldLogins(now: MonotonicMs): void {
    for (const [client, since] of this.#loggingIn) {
      if (now - since < LOGIN_MAX_MS) return;
      this.#loggingIn.delete(client);
    }
  }

  #allowance(now: MonotonicMs): number {
    const open = this.#open();
    if (open > 0) return open;
    return !this.#probing && now - this.#tickedAt >= RELEASE_TICK_MS ? RELEASE_TRICKLE : 0;
  }
}
