// The tallies of all workers in one piece of shared memory: each worker writes its own cells, everybody reads all.
// A cell is a double with one writer, so nothing is locked and a reader sees a number that was true a moment ago.
// Limits across workers are kept by writing first and judging then (frontend.ts); made by pool.ts, used in every worker.

import { type Config } from '../../../config/schema.ts';
import { type LostSessions } from '../../events.ts';
import { type FrontendTally, type ServerTally, type Tallies } from '../../tallies.ts';

const FRONTEND_CELLS = 6;
const SERVER_CELLS = 2;

/** Of a frontend: names of its backend's servers, those that may come later among them, in order. */
export interface TallyPlan {
  readonly workers: number;
  readonly frontends: readonly {
    readonly name: string;
    readonly backend: string;
    readonly servers: readonly string[];
  }[];
}

export function planTallies(
  frontends: Config['frontends'],
  serversOf: (backend: string) => readonly string[],
  workers: number,
): TallyPlan {
  return {
    workers,
    frontends: Object.entries(frontends).map(([name, { backend }]) => ({
      name,
      backend,
      servers: serversOf(backend),
    })),
  };
}

const cellsOf = (servers: readonly string[]): number => FRONTEND_CELLS + SERVER_CELLS * servers.length;

export function allocateTallies(plan: TallyPlan): SharedArrayBuffer {
  return new SharedArrayBuffer(8 * plan.workers * stride(plan));
}

const stride = ({ frontends }: TallyPlan): number =>
  frontends.reduce((sum, { servers }) => sum + cellsOf(servers), 0);

export class SharedTallies implements Tallies {
  readonly #cells: Float64Array;
  readonly #plan: TallyPlan;
  readonly #stride: number;
  readonly #frontends = new Map<string, SharedFrontend>();
  // By name in two steps: a name put together for each look-up would cost more than the look-up.
  readonly #servers = new Map<string, ReadonlyMap<string, SharedServer>>();
  /** By backend and server: where its cells begin, of every frontend and worker. */
  readonly #places = new Map<string, Map<string, number[]>>();

  /** `worker`: whose cells are written. */
  constructor(plan: TallyPlan, memory: SharedArrayBuffer, worker: number) {
    this.#cells = new Float64Array(memory);
    this.#plan = plan;
    this.#stride = stride(plan);
    let at = worker * this.#stride;
    for (const { name, backend, servers } of plan.frontends) {
      this.#frontends.set(name, new SharedFrontend(this.#cells, at, this.#stride));
      const own = new Map<string, SharedServer>();
      servers.forEach((server, index) => {
        const place = at + FRONTEND_CELLS + SERVER_CELLS * index;
        own.set(server, new SharedServer(this.#cells, place));
        this.#note(backend, server, place % this.#stride);
      });
      this.#servers.set(name, own);
      at += cellsOf(servers);
    }
  }

  frontend(name: string): FrontendTally {
    return known(this.#frontends.get(name));
  }

  server(frontend: string, _backend: string, server: string): ServerTally {
    return known(this.#servers.get(frontend)?.get(server));
  }

  load(backend: string, server: string): number {
    return this.#sum(backend, server, 0) + this.#sum(backend, server, 1);
  }

  sessions(backend: string, server: string): number {
    return this.#sum(backend, server, 0);
  }

  /** Sessions of one frontend to one server of its backend, of every worker together. */
  sessionsFrom(frontend: string, server: string): number {
    return known(this.#servers.get(frontend)?.get(server)).sessionsOfAll(this.#stride);
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
    return this.#plan.frontends.flatMap(({ name, backend, servers }) => {
      Object.assign(this.frontend(name), { connections: 0, admitted: 0, sessions: 0, held: 0 });
      return servers.flatMap(server => {
        const tally = this.server(name, backend, server);
        const { sessions } = tally;
        Object.assign(tally, { sessions: 0, dials: 0 });
        return sessions === 0 ? [] : [{ frontend: name, backend, server, sessions }];
      });
    });
  }

  #note(backend: string, server: string, first: number): void {
    let places = this.#places.get(backend);
    if (places === undefined) this.#places.set(backend, (places = new Map()));
    const known = places.get(server) ?? [];
    for (let place = first; place < this.#cells.length; place += this.#stride) known.push(place);
    places.set(server, known);
  }

  #sum(backend: string, server: string, cell: 0 | 1): number {
    let sum = 0;
    for (const place of this.#places.get(backend)?.get(server) ?? []) sum += this.#cells[place + cell] ?? 0;
    return sum;
  }
}

function known<T>(tally: T | undefined): T {
  if (tally === undefined) throw new RangeError('no tally of that name');
  return tally;
}

class SharedFrontend implements FrontendTally {
  readonly #cells: Float64Array;
  readonly #at: number;
  readonly #stride: number;

  constructor(cells: Float64Array, at: number, stride: number) {
    this.#cells = cells;
    this.#at = at;
    this.#stride = stride;
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
    const first = (this.#at % this.#stride) + cell;
    for (let at = first; at < this.#cells.length; at += this.#stride) sum += this.#cells[at] ?? 0;
    return sum;
  }
}

class SharedServer implements ServerTally {
  readonly #cells: Float64Array;
  readonly #at: number;

  constructor(cells: Float64Array, at: number) {
    this.#cells = cells;
    this.#at = at;
  }

  get sessions(): number {
    return this.#cells[this.#at] ?? 0;
  }
  set sessions(value: number) {
    this.#cells[this.#at] = value;
  }
  get dials(): number {
    return this.#cells[this.#at + 1] ?? 0;
  }
  set dials(value: number) {
    this.#cells[this.#at + 1] = value;
  }

  /** `stride`: from a worker's cell to the next worker's. */
  sessionsOfAll(stride: number): number {
    let sum = 0;
    for (let at = this.#at % stride; at < this.#cells.length; at += stride) sum += this.#cells[at] ?? 0;
    return sum;
  }
}
