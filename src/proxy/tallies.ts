// The running numbers of the proxy, each written as it happens: per frontend, and per frontend and server.
// Plain fields here; where several workers share the limits, drivers/kernel/shared.ts keeps the same in shared memory.
// Written by frontend.ts, connection.ts and registry.ts; read for limits, balancing and gauges.

import { type FrontendConfig } from '../config/schema.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { type Random } from '../core/random.ts';
import { AddressTable, allocateTable } from './limits/address-table.ts';
import { limitsClients } from './limits/client-limits.ts';

export interface FrontendTally {
  /** Client connections of any state but closed; those that count against max_connections; and joined ones. */
  connections: number;
  admitted: number;
  sessions: number;
  held: number;
  /** Since start, open sessions included. */
  bytesUp: number;
  bytesDown: number;
  /** The same of every worker together. */
  readonly admittedByAll: number;
  readonly heldByAll: number;
}

/** Of one frontend to one server. */
export interface ServerTally {
  sessions: number;
  dials: number;
  /** Sessions and dials of every worker together. */
  readonly loadOfAll: number;
  /** Since when clients of the frontend wait for this server to have room, or were last given some; 0: none waits. */
  waitingSince: MonotonicMs;
  /** Until when its circuit breaker, opened by a client of the frontend, keeps it free of clients; 0: it is closed. */
  openUntil: MonotonicMs;
}

export interface Tallies {
  frontend(name: string): FrontendTally;
  server(frontend: string, backend: string, server: string): ServerTally;
  /** Sessions and dials to a server, of every frontend and worker together. */
  load(backend: string, server: string): number;
  /** The same, when what this worker has just written is known to all: to judge by. */
  judgedLoad(backend: string, server: string): number;
  /** The longest wait for this server; Infinity: nobody waits. */
  waitingSince(backend: string, server: string): MonotonicMs;
  /** The latest of all frontends and workers; 0: closed. */
  openUntil(backend: string, server: string): MonotonicMs;
  closeCircuit(backend: string, server: string): void;
  /** Where client addresses of a frontend are counted; null where its configuration limits none. */
  addresses(frontend: string, config: FrontendConfig): AddressTable | null;
}

/** For a proxy that is alone: "all" are itself. */
export function createTallies(random: Random = () => 0.5): Tallies {
  const tables = new Map<string, AddressTable>();
  const frontends = new Map<string, FrontendTally>();
  const servers = new Map<string, Map<string, ServerTally>>();
  const all = (backend: string, server: string): readonly ServerTally[] => [
    ...(servers.get(`${backend} ${server}`)?.values() ?? []),
  ];
  function load(backend: string, server: string): number {
    let load = 0;
    const byFrontend = servers.get(`${backend} ${server}`);
    for (const { sessions, dials } of byFrontend?.values() ?? []) load += sessions + dials;
    return load;
  }
  return {
    load,
    judgedLoad: load,
    waitingSince: (backend, server) =>
      Math.min(...all(backend, server).map(({ waitingSince }) => waitingSince || Infinity)),
    openUntil: (backend, server) => Math.max(0, ...all(backend, server).map(({ openUntil }) => openUntil)),
    closeCircuit(backend, server) {
      for (const tally of all(backend, server)) tally.openUntil = 0;
    },
    addresses(frontend, config) {
      if (!limitsClients(config)) return null;
      let table = tables.get(frontend);
      if (table === undefined) {
        tables.set(
          frontend,
          (table = new AddressTable(allocateTable(config.maxConnections, 1, random()), 0)),
        );
      }
      return table;
    },
    frontend(name) {
      let tally = frontends.get(name);
      if (tally === undefined) frontends.set(name, (tally = new LoneFrontend()));
      return tally;
    },
    server(frontend, backend, server) {
      const name = `${backend} ${server}`;
      let byFrontend = servers.get(name);
      if (byFrontend === undefined) servers.set(name, (byFrontend = new Map()));
      let tally = byFrontend.get(frontend);
      if (tally === undefined) byFrontend.set(frontend, (tally = new LoneServer()));
      return tally;
    },
  };
}

class LoneServer implements ServerTally {
  sessions = 0;
  dials = 0;
  waitingSince = 0;
  openUntil = 0;

  get loadOfAll(): number {
    return this.sessions + this.dials;
  }
}

class LoneFrontend implements FrontendTally {
  connections = 0;
  admitted = 0;
  sessions = 0;
  held = 0;
  bytesUp = 0;
  bytesDown = 0;

  get admittedByAll(): number {
    return this.admitted;
  }

  get heldByAll(): number {
    return this.held;
  }
}
