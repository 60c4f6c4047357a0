// Who is joined to which server: sessions by backend and server, dials under way, and the cancel keys servers gave out.
// Holds no socket: a session is anything that can be evicted. Filled by the connections, emptied by them as they end.

import { type Route } from '../config/schema.ts';
import { type Address } from '../core/address.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { invariant } from '../core/errors.ts';
import { type CloseReason } from './events.ts';
import { Roster, type Places } from './roster.ts';
import { createTallies, type ServerTally, type Tallies } from './tallies.ts';

/** What a session tells of itself beside its names; found out when it is asked for. */
export interface SessionNumbers {
  /** Who has connected to us. `null`: it is gone this moment. */
  readonly peer: Address | null;
  readonly ageMs: number;
  readonly idleMs: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
}

export interface JoinedSession {
  readonly frontend: string;
  readonly backend: string;
  readonly server: string;
  readonly route: Route;
  readonly client: Address;
  /** Its place in the registry: NOWHERE before, the registry's to change. */
  place: number;
  /** Counted from 1 as sessions are first joined; 0 before. The registry's to set. */
  number: number;
  /** Our end of the connection to its server: a system call. */
  localAddress(): Address | null;
  /** What else is known of it now. */
  numbers(now: MonotonicMs): SessionNumbers;
  /** Bytes of the client went to the server after it last spoke, so that an answer may be due. */
  awaitsAnswer(): boolean;
  /** Whether what the client sends is read. Harmless when the session is over. */
  listen(listens: boolean): void;
  /**
   * Takes the session from its server now; by the time it returns the session has left the registry and its server is
   * reset. False when the client goes on to another server, as one may whose request was not answered yet.
   */
  evict(reason: CloseReason): boolean;
}

/** Names a CancelRequest's key within a backend. */
export function cancelKey(pid: number, key: Uint8Array): string {
  return `${pid} ${Buffer.from(key).toString('hex')}`;
}

const places: Places<JoinedSession> = {
  get: session => session.place,
  set: (session, place) => {
    session.place = place;
  },
};

interface ServerEntry {
  readonly sessions: Roster<JoinedSession>;
  /** Of the sessions, those that came for the primary: counted, so that each new session can be checked in one step. */
  forPrimary: number;
}

export class SessionRegistry {
  readonly #backends = new Map<string, Map<string, ServerEntry>>();
  readonly #keys = new Map<string, JoinedSession>();
  readonly #tallies: Tallies;
  #lastNumber = 0;
  /** Called when a place at a server may be free: whose clients wait for one. */
  readonly awaiting = new Set<() => void>();

  constructor(tallies: Tallies = createTallies()) {
    this.#tallies = tallies;
  }

  add(session: JoinedSession): void {
    const entry = this.#entry(session.backend, session.server);
    entry.sessions.add(session);
    if (session.number === 0) session.number = ++this.#lastNumber;
    this.#tally(session).sessions += 1;
    if (session.route === 'primary') entry.forPrimary += 1;
  }

  remove(session: JoinedSession): void {
    const entry = this.#entry(session.backend, session.server);
    invariant(entry.sessions.delete(session), 'a session leaves the registry once');
    this.#tally(session).sessions -= 1;
    if (session.route === 'primary') entry.forPrimary -= 1;
    this.#freed();
  }

  /** Sessions to a server, of every frontend. */
  count(backend: string, server: string): number {
    return this.#backends.get(backend)?.get(server)?.sessions.size ?? 0;
  }

  /** Those of one backend and server, or of all. */
  sessions(backend?: string, server?: string): readonly JoinedSession[] {
    return [...this.#backends]
      .filter(([name]) => backend === undefined || name === backend)
      .flatMap(([, servers]) => [...servers])
      .filter(([name]) => server === undefined || name === server)
      .flatMap(([, { sessions }]) => sessions.members());
  }

  /** Sessions and dials, of every worker: a burst of releases must not all see the same idle server. */
  load(backend: string, server: string): number {
    return this.#tallies.load(backend, server);
  }

  /** The same, of the sessions and dials of one frontend. */
  loadFrom(frontend: string, backend: string, server: string): number {
    return this.#tallies.server(frontend, backend, server).loadOfAll;
  }

  dialStarted(frontend: string, backend: string, server: string): void {
    this.#tallies.server(frontend, backend, server).dials += 1;
  }

  dialEnded(frontend: string, backend: string, server: string): void {
    const tally = this.#tallies.server(frontend, backend, server);
    tally.dials -= 1;
    invariant(tally.dials >= 0, 'a dial ends once');
    this.#freed();
  }

  /** Sessions that came for the primary and are joined to another server than `server` (safety rule 3: none may be). */
  primarySessionsElsewhere(backend: string, server: string): number {
    let count = 0;
    for (const [name, { forPrimary }] of this.#backends.get(backend) ?? []) {
      if (name !== server) count += forPrimary;
    }
    return count;
  }

  /** Evicts the sessions to a server, of the given routes only where given; returns how many ended by it. */
  closeAll(backend: string, server: string, reason: CloseReason, routes?: readonly Route[]): number {
    const entry = this.#backends.get(backend)?.get(server);
    if (entry === undefined || entry.sessions.size === 0) return 0;
    // Asked at every probe result: a replica with thousands of readers must not be searched for writers each time.
    const onlyWriters = routes?.every(route => route === 'primary') ?? false;
    if (onlyWriters && entry.forPrimary === 0) return 0;
    const doomed = entry.sessions
      .members()
      .filter(({ route }) => routes === undefined || routes.includes(route));
    return doomed.filter(session => session.evict(reason)).length;
  }

  /** Remembers which session a cancel key belongs to; returns how to forget it. */
  learnKey(session: JoinedSession, key: string): () => void {
    const name = `${session.backend} ${key}`;
    this.#keys.set(name, session);
    return () => {
      // Two servers may give out the same key; the later session's entry isn't the earlier one's to forget.
      if (this.#keys.get(name) === session) this.#keys.delete(name);
    };
  }

  /** The server that gave out this key; null for one never seen, as of encrypted sessions. */
  serverOfKey(backend: string, key: string): string | null {
    return this.#keys.get(`${backend} ${key}`)?.server ?? null;
  }

  #freed(): void {
    if (this.awaiting.size === 0) return;
    for (const wake of [...this.awaiting]) wake();
  }

  #entry(backend: string, server: string): ServerEntry {
    let servers = this.#backends.get(backend);
    if (servers === undefined) this.#backends.set(backend, (servers = new Map()));
    let entry = servers.get(server);
    if (entry === undefined) servers.set(server, (entry = { sessions: new Roster(places), forPrimary: 0 }));
    return entry;
  }

  #tally({ frontend, backend, server }: JoinedSession): ServerTally {
    return this.#tallies.server(frontend, backend, server);
  }
}
