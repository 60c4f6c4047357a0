// The tallies of all workers in shared memory: each worker writes its own cells, everybody reads all.
// A cell is a double with one writer, so nothing is locked and a reader sees a number that was true a moment ago.
// Limits across workers are kept by writing first and judging then (frontend.ts). Which memory there is says the plan
// (tally-plan.ts); after a reload another one, with the same memory for what stays. Used by pool.ts and in every worker.

import { type FrontendConfig } from '../../../config/schema.ts';
import { type LostSessions } from '../../events.ts';
import { type FrontendTally, type ServerTally, type Tallies } from '../../tallies.ts';
import { AddressTable } from '../../limits/address-table.ts';
import { limitsClients } from '../../limits/client-limits.ts';
import { FRONTEND_CELLS, SERVER_CELLS, type TallyPlan } from './tally-plan.ts';

/** Of a server's cells. */
const SESSIONS = 0;
const DIALS = 1;
const WAITING_SINCE = 2;
const OPEN_UNTIL = 3;

type ByServer = Map<string, SharedServer>;

export class SharedTallies implements Tallies {
  readonly #worker: number;
  #plan: TallyPlan;
  #frontends: ReadonlyMap<string, SharedFrontend> = new Map();
  // By name in steps: a name put together for each look-up would cost more than the look-up.
  #servers: ReadonlyMap<string, ReadonlyMap<string, ByServer>> = new Map();
  /** By backend and server: the cells of every frontend. */
  #places: ReadonlyMap<string, ReadonlyMap<string, readonly SharedServer[]>> = new Map();

  #tables: ReadonlyMap<string, AddressTable> = new Map();

  /** `worker`: whose cells are written. */
  constructor(plan: TallyPlan, worker: number) {
    this.#worker = worker;
    this.#plan = plan;
    this.follow(plan);
  }

  /** What is found from now on; what was found before stays good while its memory is in the plan. */
  follow(plan: TallyPlan): void {
    this.#plan = plan;
    const frontends = new Map<string, SharedFrontend>();
    const servers = new Map<string, Map<string, ByServer>>();
    const places = new Map<string, Map<string, SharedServer[]>>();
    for (const { name, memory, blocks } of plan.frontends) {
      frontends.set(name, new SharedFrontend(new Float64Array(memory), this.#worker * FRONTEND_CELLS));
      const own = new Map<string, ByServer>();
      servers.set(name, own);
      for (const block of blocks) {
        const cells = new Float64Array(block.memory);
        const stride = SERVER_CELLS * block.servers.length;
        const byServer = own.get(block.backend) ?? new Map<string, SharedServer>();
        own.set(block.backend, byServer);
        const ofBackend = places.get(block.backend) ?? new Map<string, SharedServer[]>();
        places.set(block.backend, ofBackend);
        for (const [index, server] of block.servers.entries()) {
          const place = new SharedServer(cells, this.#worker * stride + SERVER_CELLS * index, stride);
          byServer.set(server, place);
          ofBackend.set(server, [...(ofBackend.get(server) ?? []), place]);
        }
      }
    }
    this.#frontends = frontends;
    this.#servers = servers;
    this.#places = places;
    this.#tables = new Map(
      plan.frontends.flatMap(({ name, addresses }) =>
        addresses === null
          ? []
          : [[name, this.#tables.get(name) ?? new AddressTable(addresses, this.#worker)]],
      ),
    );
  }

  frontend(name: string): FrontendTally {
    return known(this.#frontends.get(name));
  }

  server(frontend: string, backend: string, server: string): ServerTally {
    return known(this.#servers.get(frontend)?.get(backend)?.get(server));
  }

  load(backend: string, server: string): number {
    let sum = 0;
    for (const place of this.#placesOf(backend, server)) sum += place.loadOfAll;
    return sum;
  }

  judgedLoad(backend: string, server: string): number {
    this.#placesOf(backend, server)[0]?.publish();
    return this.load(backend, server);
  }

  sessions(backend: string, server: string): number {
    let sum = 0;
    for (const place of this.#placesOf(backend, server)) sum += place.sumOf(SESSIONS);
    return sum;
  }

  waitingSince(backend: string, server: string): number {
    let first = Infinity;
    for (const place of this.#placesOf(backend, server)) {
      for (const since of place.valuesOf(WAITING_SINCE)) first = Math.min(first, since || Infinity);
    }
    return first;
  }

  openUntil(backend: string, server: string): number {
    let last = 0;
    for (const place of this.#placesOf(backend, server)) last = Math.max(last, ...place.valuesOf(OPEN_UNTIL));
    return last;
  }

  /** Of all workers: the one exception to a cell's having one writer, and whoever opens it at the same moment may win. */
  closeCircuit(backend: string, server: string): void {
    for (const place of this.#placesOf(backend, server)) place.closeCircuit();
  }

  addresses(frontend: string, config: FrontendConfig): AddressTable | null {
    return limitsClients(config) ? (this.#tables.get(frontend) ?? null) : null;
  }

  tables(): ReadonlyMap<string, AddressTable> {
    return this.#tables;
  }

  /** Sessions of one frontend to one server, of every worker together. */
  sessionsFrom(frontend: string, backend: string, server: string): number {
    return this.#servers.get(frontend)?.get(backend)?.get(server)?.sumOf(SESSIONS) ?? 0;
  }

  /** The sums of a frontend over all workers. */
  total(frontend: string): Omit<FrontendTally, 'admittedByAll' | 'heldByAll'> {
    const [connections = 0, admitted = 0, sessions = 0, held = 0, bytesUp = 0, bytesDown = 0] = known(
      this.#frontends.get(frontend),
    ).sums();
    return { connections, admitted, sessions, held, bytesUp, bytesDown };
  }

  /** Sets what this worker has open to 0, and returns how many sessions that were, by frontend and server. */
  clear(): readonly LostSessions[] {
    for (const table of this.#tables.values()) table.forget(this.#worker);
    return this.#plan.frontends.flatMap(({ name, blocks }) => {
      Object.assign(this.frontend(name), { connections: 0, admitted: 0, sessions: 0, held: 0 });
      return blocks.flatMap(({ backend, servers }) =>
        servers.flatMap(server => {
          const tally = this.server(name, backend, server);
          const { sessions } = tally;
          Object.assign(tally, { sessions: 0, dials: 0, waitingSince: 0 });
          return sessions === 0 ? [] : [{ frontend: name, backend, server, sessions }];
        }),
      );
    });
  }

  #placesOf(backend: string, server: string): readonly SharedServer[] {
    return this.#places.get(backend)?.get(server) ?? [];
  }
}

function known<T>(tally: T | undefined): T {
  if (tally === undefined) throw new RangeError('no tally of that name');
  return tally;
}

class SharedFrontend implements FrontendTally {
  readonly #cells: Float64Array;
  readonly #at: number;

  constructor(cells: Float64Array, at: number) {
    this.#cells = cells;
    this.#at = at;
  }

  get connections(): number {
    return this.#get(0);
  }
  set connections(value: number) {
    this.#cells[this.#at] = value;
  }
  get admitted(): number {
    return this.#get(1);
  }
  set admitted(value: number) {
    this.#cells[this.#at + 1] = value;
  }
  get sessions(): number {
    return this.#get(2);
  }
  set sessions(value: number) {
    this.#cells[this.#at + 2] = value;
  }
  get held(): number {
    return this.#get(3);
  }
  set held(value: number) {
    this.#cells[this.#at + 3] = value;
  }
  get bytesUp(): number {
    return this.#get(4);
  }
  set bytesUp(value: number) {
    this.#cells[this.#at + 4] = value;
  }
  get bytesDown(): number {
    return this.#get(5);
  }
  set bytesDown(value: number) {
    this.#cells[this.#at + 5] = value;
  }
  get admittedByAll(): number {
    return this.#sum(1);
  }
  get heldByAll(): number {
    return this.#sum(3);
  }

  sums(): readonly number[] {
    return Array.from({ length: FRONTEND_CELLS }, (_, cell) => this.#sum(cell));
  }

  #get(cell: number): number {
    return this.#cells[this.#at + cell] ?? 0;
  }

  #sum(cell: number): number {
    let sum = 0;
    for (let at = cell; at < this.#cells.length; at += FRONTEND_CELLS) sum += this.#cells[at] ?? 0;
    return sum;
  }
}

class SharedServer implements ServerTally {
  readonly #cells: Float64Array;
  readonly #at: number;
  readonly #stride: number;

  /** `stride`: from a worker's cell to the next worker's. */
  constructor(cells: Float64Array, at: number, stride: number) {
    this.#cells = cells;
    this.#at = at;
    this.#stride = stride;
  }

  get sessions(): number {
    return this.#cells[this.#at] ?? 0;
  }
  set sessions(value: number) {
    this.#cells[this.#at] = value;
  }
  get dials(): number {
    return this.#cells[this.#at + DIALS] ?? 0;
  }
  set dials(value: number) {
    this.#cells[this.#at + DIALS] = value;
  }
  get waitingSince(): number {
    return this.#cells[this.#at + WAITING_SINCE] ?? 0;
  }
  set waitingSince(value: number) {
    this.#cells[this.#at + WAITING_SINCE] = value;
  }
  get openUntil(): number {
    return this.#cells[this.#at + OPEN_UNTIL] ?? 0;
  }
  set openUntil(value: number) {
    this.#cells[this.#at + OPEN_UNTIL] = value;
  }

  /** In this order: a dial becomes a session, which is counted before it is no dial any more. */
  get loadOfAll(): number {
    const dials = this.sumOf(DIALS);
    return dials + this.sumOf(SESSIONS);
  }

  /**
   * A processor may read the cells of others before what it wrote itself is out, and so may another: each would miss the
   * other's. An atomic addition is a full barrier.
   */
  publish(): void {
    Atomics.add(new Int32Array(this.#cells.buffer), 2 * (this.#at + DIALS), 0);
  }

  closeCircuit(): void {
    for (let at = (this.#at % this.#stride) + OPEN_UNTIL; at < this.#cells.length; at += this.#stride) {
      this.#cells[at] = 0;
    }
  }

  /** Of every worker together: the sessions, or the dials. */
  sumOf(cell: typeof SESSIONS | typeof DIALS): number {
    let sum = 0;
    const first = (this.#at % this.#stride) + cell;
    for (let at = first; at < this.#cells.length; at += this.#stride) sum += this.#cells[at] ?? 0;
    return sum;
  }

  /** Of each worker. */
  valuesOf(cell: typeof WAITING_SINCE | typeof OPEN_UNTIL): readonly number[] {
    const values: number[] = [];
    const first = (this.#at % this.#stride) + cell;
    for (let at = first; at < this.#cells.length; at += this.#stride) values.push(this.#cells[at] ?? 0);
    return values;
  }
}
