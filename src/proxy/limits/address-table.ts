// What client addresses have and take, of one frontend, in memory that all workers share: a set-associative table of
// exact keys, each set with a lock of a few hundred nanoseconds. An address without connections whose bucket is full again
// gives its place to another; when a set is full of others, clients go in unjudged and are counted (open, not closed).
// Judged here, decided in client-limits.ts; what several processes tell each other goes through `drain` and `raise`.

import { type MonotonicMs } from '../../core/clock.ts';
import { ADDRESSES_MAX, ADDRESSES_MIN } from '../../core/limits.ts';
import { type AddressKey } from './address-key.ts';
import { taken, type Rate } from './gcra.ts';

/** Places in a set. With four places for each address that may be there a full set is a matter of millions of tries. */
const WAYS = 16;
const PLACES_PER_CLIENT = 4;
const HEADER_BYTES = 64;
/** In the header, as doubles: the bucket of all clients together, and since when its takings are untold. */
const TOTAL_FULL_AT = 0;
const TOTAL_SINCE = 1;
/** The same as integers. */
const TOTAL_LOCK = 8;
const TOTAL_TAKEN = 9;
const UNJUDGED = 10;
const SEED = 11;

/** A holder is done within a microsecond, unless the system has put it to sleep. */
const SPINS = 200;
const NAP_MS = 0.25;
const NAPS = 80;

interface TablePlan {
  /** A power of two. */
  readonly places: number;
  readonly workers: number;
}

export interface AddressTableMemory {
  readonly plan: TablePlan;
  readonly memory: SharedArrayBuffer;
}

/** What one address may do; `null`: as it likes. */
export interface AddressLimits {
  readonly perIp: Rate | null;
  readonly total: Rate | null;
  readonly maxConnections: number | null;
}

export type Verdict = 'in' | 'unjudged' | 'rate-limit' | 'max-connections-per-ip';

/** Taken by an address (`key` null: by all together) and not told yet. */
export interface Taking {
  readonly place: number;
  readonly key: AddressKey | null;
  readonly count: number;
  readonly since: MonotonicMs;
}

const bytesPerPlace = (workers: number): number => 8 + 8 + 8 + 4 + 4 * workers;

/** `clients`: how many may be connected at once. `seed`: a secret of this process, so that nobody can aim at one set. */
export function allocateTable(clients: number, workers: number, seed: number): AddressTableMemory {
  const wanted = Math.min(ADDRESSES_MAX, Math.max(ADDRESSES_MIN, clients * PLACES_PER_CLIENT));
  const places = 2 ** Math.ceil(Math.log2(wanted));
  const bytes = HEADER_BYTES + places * bytesPerPlace(workers) + 4 * (places / WAYS);
  const memory = new SharedArrayBuffer(8 * Math.ceil(bytes / 8));
  new Int32Array(memory)[SEED] = Math.floor(seed * 2 ** 31);
  return { plan: { places, workers }, memory };
}

export class AddressTable {
  readonly #places: number;
  readonly #workers: number;
  readonly #worker: number;
  readonly #header: Int32Array;
  readonly #totals: Float64Array;
  readonly #fullAt: Float64Array;
  readonly #since: Float64Array;
  readonly #keys: Int32Array;
  readonly #taken: Int32Array;
  readonly #connections: Int32Array;
  readonly #locks: Int32Array;
  #drainFrom = 0;

  /** `worker`: whose connections are counted; from `plan.workers` on: nobody's, only takings are told and heard. */
  constructor({ plan: { places, workers }, memory }: AddressTableMemory, worker: number) {
    this.#places = places;
    this.#workers = workers;
    this.#worker = worker;
    this.#header = new Int32Array(memory, 0, HEADER_BYTES / 4);
    this.#totals = new Float64Array(memory, 0, 2);
    let at = HEADER_BYTES;
    this.#fullAt = new Float64Array(memory, at, places);
    this.#since = new Float64Array(memory, (at += 8 * places), places);
    this.#keys = new Int32Array(memory, (at += 8 * places), 2 * places);
    this.#taken = new Int32Array(memory, (at += 8 * places), places);
    this.#connections = new Int32Array(memory, (at += 4 * places), places * workers);
    this.#locks = new Int32Array(memory, (at += 4 * places * workers), places / WAYS);
  }

  /** Clients that went in unjudged, since the start. */
  get unjudged(): number {
    return Atomics.load(this.#header, UNJUDGED);
  }

  /** One more connection. Only with `in` it is to `leave`; a refused one takes nothing. */
  enter(key: AddressKey, now: MonotonicMs, limits: AddressLimits): Verdict {
    const ofAddress = limits.perIp !== null || limits.maxConnections !== null;
    const verdict = ofAddress ? this.#enterAddress(key, now, limits) : 'in';
    if (limits.total === null || (verdict !== 'in' && verdict !== 'unjudged')) return verdict;
    if (this.#takeOfTotal(now, limits.total)) return verdict;
    if (verdict === 'in' && ofAddress) this.leave(key);
    return 'rate-limit';
  }

  leave(key: AddressKey): void {
    const set = this.#setOf(key);
    // Counted by this worker alone, so its cell is its own: the lock is for whoever might take the place meanwhile.
    const locked = this.#lock(this.#locks, set);
    const place = this.#find(set, key);
    if (place !== -1) this.#add(place, -1);
    if (locked) this.#unlock(this.#locks, set);
  }

  /** What was taken since the last call, at most `max` of it; the rest comes next time. */
  drain(max: number): readonly Taking[] {
    const takings: Taking[] = [];
    const total = Atomics.exchange(this.#header, TOTAL_TAKEN, 0);
    if (total > 0)
      takings.push({ place: -1, key: null, count: total, since: this.#totals[TOTAL_SINCE] ?? 0 });
    for (let step = 0; step < this.#places && takings.length < max; step += 1) {
      const place = this.#drainFrom;
      this.#drainFrom = (place + 1) % this.#places;
      if (this.#taken[place] === 0) continue;
      const set = Math.floor(place / WAYS);
      if (!this.#lock(this.#locks, set)) continue;
      const count = this.#taken[place] ?? 0;
      this.#taken[place] = 0;
      const key = this.#keyAt(place);
      const since = this.#since[place] ?? 0;
      this.#unlock(this.#locks, set);
      if (count > 0) takings.push({ place, key, count, since });
    }
    return takings;
  }

  /** Others took as well: the bucket is full at `fullAt` at the earliest, and what was taken since comes on top. */
  raise({ place, key }: Taking, fullAt: MonotonicMs, { intervalMs }: Rate): void {
    if (key === null) {
      if (!this.#lock(this.#header, TOTAL_LOCK)) return;
      const untold = (this.#header[TOTAL_TAKEN] ?? 0) * intervalMs;
      this.#totals[TOTAL_FULL_AT] = Math.max(this.#totals[TOTAL_FULL_AT] ?? 0, fullAt + untold);
      this.#unlock(this.#header, TOTAL_LOCK);
      return;
    }
    const set = Math.floor(place / WAYS);
    if (!this.#lock(this.#locks, set)) return;
    if (this.#holds(place, key)) {
      const untold = (this.#taken[place] ?? 0) * intervalMs;
      this.#fullAt[place] = Math.max(this.#fullAt[place] ?? 0, fullAt + untold);
    }
    this.#unlock(this.#locks, set);
  }

  /** A worker is gone, and its connections with it. It may have died with a lock in its hands. */
  forget(worker: number): void {
    for (let place = 0; place < this.#places; place += 1)
      this.#connections[place * this.#workers + worker] = 0;
    for (let set = 0; set < this.#locks.length; set += 1)
      Atomics.compareExchange(this.#locks, set, worker + 1, 0);
    Atomics.compareExchange(this.#header, TOTAL_LOCK, worker + 1, 0);
  }

  #enterAddress(key: AddressKey, now: MonotonicMs, { perIp, maxConnections }: AddressLimits): Verdict {
    const set = this.#setOf(key);
    if (!this.#lock(this.#locks, set)) return this.#letInUnjudged();
    const place = this.#claim(set, key, now);
    const verdict = place === -1 ? this.#letInUnjudged() : this.#judge(place, now, perIp, maxConnections);
    this.#unlock(this.#locks, set);
    return verdict;
  }

  #judge(place: number, now: MonotonicMs, perIp: Rate | null, maxConnections: number | null): Verdict {
    if (maxConnections !== null && this.#connectionsAt(place) >= maxConnections)
      return 'max-connections-per-ip';
    if (perIp !== null) {
      const next = taken(this.#fullAt[place] ?? 0, now, perIp);
      if (next === null) return 'rate-limit';
      this.#fullAt[place] = next;
      if (this.#taken[place] === 0) this.#since[place] = now;
      this.#taken[place] = (this.#taken[place] ?? 0) + 1;
    }
    this.#add(place, 1);
    return 'in';
  }

  #takeOfTotal(now: MonotonicMs, rate: Rate): boolean {
    if (!this.#lock(this.#header, TOTAL_LOCK)) {
      this.#letInUnjudged();
      return true;
    }
    const next = taken(this.#totals[TOTAL_FULL_AT] ?? 0, now, rate);
    if (next !== null) {
      this.#totals[TOTAL_FULL_AT] = next;
      if (Atomics.add(this.#header, TOTAL_TAKEN, 1) === 0) this.#totals[TOTAL_SINCE] = now;
    }
    this.#unlock(this.#header, TOTAL_LOCK);
    return next !== null;
  }

  #letInUnjudged(): Verdict {
    Atomics.add(this.#header, UNJUDGED, 1);
    return 'unjudged';
  }

  /** The place of this address, or one that it may have from now on; -1 if there is none. */
  #claim(set: number, key: AddressKey, now: MonotonicMs): number {
    const known = this.#find(set, key);
    if (known !== -1) return known;
    for (let place = set * WAYS; place < (set + 1) * WAYS; place += 1) {
      if ((this.#fullAt[place] ?? 0) > now || this.#connectionsAt(place) > 0) continue;
      this.#keys[2 * place] = key.high;
      this.#keys[2 * place + 1] = key.low;
      this.#fullAt[place] = 0;
      this.#taken[place] = 0;
      return place;
    }
    return -1;
  }

  #find(set: number, key: AddressKey): number {
    for (let place = set * WAYS; place < (set + 1) * WAYS; place += 1)
      if (this.#holds(place, key)) return place;
    return -1;
  }

  #holds(place: number, { high, low }: AddressKey): boolean {
    return this.#keys[2 * place] === high && this.#keys[2 * place + 1] === low;
  }

  #keyAt(place: number): AddressKey {
    return { high: this.#keys[2 * place] ?? 0, low: this.#keys[2 * place + 1] ?? 0 };
  }

  #connectionsAt(place: number): number {
    let sum = 0;
    const first = place * this.#workers;
    for (let at = first; at < first + this.#workers; at += 1) sum += this.#connections[at] ?? 0;
    return sum;
  }

  #add(place: number, change: number): void {
    const at = place * this.#workers + this.#worker;
    this.#connections[at] = Math.max(0, (this.#connections[at] ?? 0) + change);
  }

  #setOf({ high, low }: AddressKey): number {
    let h = Math.imul(high ^ (this.#header[SEED] ?? 0), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13) ^ low, 0xc2b2ae35);
    h = Math.imul(h ^ (h >>> 16), 0x27d4eb2f);
    return ((h ^ (h >>> 15)) >>> 0) % this.#locks.length;
  }

  /** False after some milliseconds in vain. */
  #lock(cells: Int32Array, at: number): boolean {
    const me = this.#worker + 1;
    for (let spin = 0; spin < SPINS; spin += 1)
      if (Atomics.compareExchange(cells, at, 0, me) === 0) return true;
    for (let nap = 0; nap < NAPS; nap += 1) {
      const holder = Atomics.compareExchange(cells, at, 0, me);
      if (holder === 0) return true;
      Atomics.wait(cells, at, holder, NAP_MS);
    }
    return false;
  }

  #unlock(cells: Int32Array, at: number): void {
    Atomics.store(cells, at, 0);
  }
}
