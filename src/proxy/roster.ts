// A set whose members know their own place in it: to enter or to leave touches two cells of one array.
// Not a Set, and on purpose: V8 makes a new table for a Set every few dozen changes, and once one of them has reached
// the old generation it drags the next one after it, with all that is in it. Connections that live for a millisecond
// would all be promoted, which is half of the collector's work. In no order. Used by frontend.ts and registry.ts.

import { invariant } from '../core/errors.ts';

/** The place of what is in no roster. */
export const NOWHERE = -1;

/** Where a member keeps its place: a field of its own for each roster that it may be in at the same time. */
export interface Places<T> {
  get(member: T): number;
  set(member: T, place: number): void;
}

export class Roster<T> {
  readonly #members: T[] = [];
  readonly #places: Places<T>;

  constructor(places: Places<T>) {
    this.#places = places;
  }

  get size(): number {
    return this.#members.length;
  }

  /** Throws INTERNAL for one that is in a roster of the same field. */
  add(member: T): void {
    invariant(this.#places.get(member) === NOWHERE, 'what enters a roster is in none');
    this.#places.set(member, this.#members.push(member) - 1);
  }

  /** False for one that isn't here. */
  delete(member: T): boolean {
    const place = this.#places.get(member);
    if (this.#members[place] !== member) return false;
    const last = this.#members.pop();
    if (last !== undefined && last !== member) {
      this.#members[place] = last;
      this.#places.set(last, place);
    }
    this.#places.set(member, NOWHERE);
    return true;
  }

  /** A copy: who is in it may leave while it is gone through. */
  members(): readonly T[] {
    return this.#members.slice();
  }
}
