// The running numbers of the proxy, each written as it happens: per frontend, and per frontend and server.
// Plain fields here; where several workers share the limits, drivers/kernel/shared.ts keeps the same in shared memory.
// Written by frontend.ts, connection.ts and registry.ts; read for limits, balancing and gauges.

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
}

export interface Tallies {
  frontend(name: string): FrontendTally;
  server(frontend: string, backend: string, server: string): ServerTally;
  /** Sessions and dials to a server, of every frontend and worker together. */
  load(backend: string, server: string): number;
}

/** For a proxy that is alone: "all" are itself. */
export function createTallies(): Tallies {
  const frontends = new Map<string, FrontendTally>();
  const servers = new Map<string, Map<string, ServerTally>>();
  return {
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
    load(backend, server) {
      let load = 0;
      const byFrontend = servers.get(`${backend} ${server}`);
      for (const { sessions, dials } of byFrontend?.values() ?? []) load += sessions + dials;
      return load;
    },
  };
}

class LoneServer implements ServerTally {
  sessions = 0;
  dials = 0;

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
