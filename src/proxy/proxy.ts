// The proxy as a whole: its frontends, the registry they share, and the reaction to a change of the topology or of the
// configuration.
// Knows nothing of probes or elections: it reads views and follows them. Built by app.

import { isDeepStrictEqual } from 'node:util';
import { type Config, type FrontendConfig } from '../config/schema.ts';
import { type Clock, type MonotonicMs } from '../core/clock.ts';
import { type Random } from '../core/random.ts';
import { type Topic } from '../core/topic.ts';
import { type BackendChange, type BackendView } from '../topology/model.ts';
import { RELEASE_BURST } from './bounds.ts';
import { type KeyPeers } from './cancel.ts';
import { Door } from './door.ts';
import {
  nothingInherited,
  type Driver,
  type Inherited,
  type ListeningSocket,
  type Waiting,
} from './driver.ts';
import { type CloseReason, type FrontendGauge, type ProxyObserver } from './events.ts';
import { applyChange, applyRemoval, type ReportClosed } from './failover.ts';
import { Frontend } from './frontend.ts';
import { type AddressTable } from './limits/address-table.ts';
import { Breakers } from './limits/breakers.ts';
import { Surge } from './limits/surge.ts';
import { Pauses } from './pauses.ts';
import { planPorts, type PortPlan } from './ports.ts';
import { SessionRegistry, type JoinedSession } from './registry.ts';
import {
  closeSessions,
  listSessions,
  sessionsByIds,
  sessionPrefix,
  type Rested,
  type SessionFilter,
  type SessionList,
} from './sessions.ts';
import { Suspects } from './suspects.ts';
import { createTallies, type Tallies } from './tallies.ts';

/** What the proxy needs of the topology. */
export interface TopologySource {
  view(backend: string): BackendView;
  readonly changes: Topic<BackendChange>;
  /** The last view of a backend that is no more. */
  readonly removals: Topic<BackendView>;
}

export interface ProxyDeps {
  readonly frontends: Config['frontends'];
  readonly topology: TopologySource;
  readonly driver: Driver;
  /** Left out: this proxy is the only one. Else the numbers it shares with `workers - 1` others. */
  readonly tallies?: Tallies;
  readonly workers?: number;
  /** Left out: every port is opened anew. */
  readonly inherited?: Inherited;
  readonly clock: Clock;
  readonly random: Random;
  /** Left out: there are no other workers. */
  readonly peers?: KeyPeers;
  readonly observer: ProxyObserver;
}

export interface Proxy {
  /** Opens every port or none; rejects with BIND_FAILED. */
  listen(): Promise<void>;
  /**
   * Gets ready for other frontends: opens the ports that are new, or rejects with BIND_FAILED, and nothing has happened. One
   * change at a time: the next is prepared when this one was applied or abandoned.
   */
  prepare(frontends: Config['frontends']): Promise<ProxyChange>;
  frontends(): readonly FrontendGauge[];
  /** Client sessions that are joined to a server now; with `frontend`, those of that one only. */
  sessionsOf(backend: string, server: string, frontend?: string): number;
  /** Who is joined to whom. Looked up when asked; never rejects for want of an answer. */
  sessions(filter: SessionFilter): Promise<SessionList>;
  /**
   * Closes sessions by the ids that `sessions` told; resolves to how many ended by it. With `rested` only those that rest so,
   * and are not paused: nobody has said anything since.
   */
  closeSessions(ids: readonly string[], reason: CloseReason, rested?: Rested): Promise<number>;
  /**
   * Doesn't read for so long what the clients of these sessions send: it is not lost. Resolves to how many there are.
   */
  pauseSessions(ids: readonly string[], forMs: number): Promise<number>;
  /** Whether all that serves clients is there and moves. */
  isAlive(): boolean;
  /** What it accepts from, to be handed to a successor. */
  listening(): readonly ListeningSocket[];
  /**
   * Stops accepting and closes its listening sockets, refuses those who wait unless they are to be served, lets sessions
   * end until `deadlineMs` from now, then closes the rest.
   */
  drain(deadlineMs: number, waiting?: Waiting): Promise<void>;
  /** Until when the circuit breaker of a server is open: in the past it is half open; 0: closed. */
  openUntil(backend: string, server: string): MonotonicMs;
  /** What client addresses have and take, of frontends that limit it. */
  tables(): ReadonlyMap<string, AddressTable>;
  /** Ends everything now; resolves when the last socket is gone. */
  close(): Promise<void>;
}

/** A proxy that carries its sessions itself. */
export interface LocalProxy extends Proxy {
  /** Who gave out a cancel key that one of its sessions has; `null`: none has it. */
  serverOfKey(backend: string, key: string): string | null;
}

export interface ProxyChange {
  /**
   * Puts it in force at once, and resolves when it is so everywhere. The topology has the backends already. Frontends that
   * stay go on listening; those that are gone stop, refuse who waits, and let their sessions end by themselves.
   */
  apply(): Promise<void>;
  /** Closes what was opened. */
  abandon(): void;
}

export function createProxy(deps: ProxyDeps): LocalProxy {
  const { topology, driver, clock, random, observer, workers = 1 } = deps;
  const { tallies = createTallies(random), inherited = nothingInherited } = deps;
  const registry = new SessionRegistry(tallies);
  const prefix = sessionPrefix(random());
  const pauses = new Pauses(clock);
  const suspects = new Suspects();
  const breakers = new Breakers(tallies);
  const surges = new Map<string, Surge>();
  const surgeOf = (backend: string): Surge => {
    let surge = surges.get(backend);
    if (surge === undefined) surges.set(backend, (surge = new Surge(workers)));
    return surge;
  };
  /** Backends that are no more, without their servers: frontends may still lead there until they are changed as well. */
  const gone = new Map<string, BackendView>();
  const view = (backend: string): BackendView => gone.get(backend) ?? topology.view(backend);
  const report: ReportClosed = (...closed) => observer.sessionsClosed(...closed);
  const create = (name: string, config: FrontendConfig): Frontend =>
    new Frontend(config, {
      name,
      view,
      driver,
      inherited,
      registry,
      tallies,
      suspects,
      breakers,
      surgeOf,
      workers,
      releaseBurst: Math.ceil(RELEASE_BURST / workers),
      clock,
      random,
      peers: deps.peers,
      observer,
    });
  let configs = deps.frontends;
  let frontends = new Map(Object.entries(configs).map(([name, config]) => [name, create(name, config)]));
  /** Those that the configuration has no more, with their last sessions. */
  const leaving = new Map<string, Frontend>();
  /** By backend: a change, of which each probe is one, concerns those of its own only. */
  let byBackend = groupByBackend(frontends.values());
  const all = (): readonly Frontend[] => [...frontends.values(), ...leaving.values()];

  const unsubscribe = topology.changes.subscribe(change => {
    const { before, after } = change;
    if (after.surge !== null && after.primary !== null && before.primary !== after.primary) {
      surgeOf(after.name).begin(after.surge, clock.now());
    }
    applyChange(change, registry, byBackend.get(change.after.name) ?? [], report);
  });
  const unsubscribeRemovals = topology.removals.subscribe(last => {
    gone.set(last.name, { ...last, servers: [], primary: null });
    applyRemoval(last, registry, byBackend.get(last.name) ?? [], report);
  });

  function retire(name: string, frontend: Frontend): void {
    leaving.set(name, frontend);
    frontend.leaveDoor()?.close();
    frontend.stopAccepting('frontend-removed');
    void frontend.emptied().then(() => {
      if (leaving.get(name) !== frontend) return;
      leaving.delete(name);
      byBackend = groupByBackend(all());
      frontend.close();
    });
  }

  /** In one turn, so that nobody sees half of it. */
  function reconfigure(next: Config['frontends'], ports: PortPlan, opened: ReadonlyMap<string, Door>): void {
    const [before, configsBefore] = [frontends, configs];
    const isReplaced = ({ backend }: FrontendConfig): boolean => gone.has(backend);
    const isAsItWas = (name: string, config: FrontendConfig): boolean =>
      before.has(name) && !isReplaced(config) && isDeepStrictEqual(configsBefore[name], config);
    const changed = Object.entries(next).filter(([name, config]) => !isAsItWas(name, config));
    for (const { backend } of Object.values(next)) gone.delete(backend);
    const moved = new Map<string, Door | null>();
    for (const [name, { from }] of ports) {
      if (from === name) continue;
      moved.set(name, from === null ? (opened.get(name) ?? null) : (before.get(from)?.leaveDoor() ?? null));
    }
    configs = next;
    frontends = new Map(
      Object.entries(next).map(([name, config]) => {
        const known = before.get(name) ?? leaving.get(name);
        return [name, known ?? create(name, config)];
      }),
    );
    for (const [name, config] of changed) frontends.get(name)?.reconfigure(config);
    for (const [name, door] of moved) {
      const frontend = frontends.get(name);
      leaving.delete(name);
      // The port that it had, unless another frontend has taken it.
      frontend?.leaveDoor()?.close();
      if (door !== null) frontend?.open(door);
    }
    for (const [name, frontend] of before) if (!frontends.has(name)) retire(name, frontend);
    byBackend = groupByBackend(all());
    // What changed routes forbid is closed before anybody is released.
    for (const [backend, affected] of byBackend) {
      const now = view(backend);
      applyChange({ before: now, after: now }, registry, affected, report);
    }
  }

  async function close(): Promise<void> {
    unsubscribe();
    unsubscribeRemovals();
    pauses.close();
    for (const frontend of all()) frontend.close();
    await Promise.all(all().map(frontend => frontend.emptied()));
  }

  return {
    async listen() {
      try {
        for (const frontend of frontends.values()) await frontend.listen();
      } catch (thrown) {
        await close();
        throw thrown;
      }
    },
    async prepare(next) {
      const ports = planPorts(configs, next);
      const opened = new Map<string, Door>();
      const abandon = (): void => opened.forEach(door => door.close());
      try {
        for (const [frontend, { bind, tcp }] of Object.entries(next)) {
          if (ports.get(frontend)?.from !== null) continue;
          opened.set(frontend, await Door.open(driver, { frontend, bind, tcp, inherited: [] }));
        }
      } catch (thrown) {
        abandon();
        throw thrown;
      }
      return {
        apply() {
          reconfigure(next, ports, opened);
          return Promise.resolve();
        },
        abandon,
      };
    },
    frontends: () => all().map(frontend => frontend.gauge()),
    serverOfKey: (backend, key) => registry.serverOfKey(backend, key),
    sessionsOf: (backend, server, frontend) =>
      frontend === undefined
        ? registry.count(backend, server)
        : tallies.server(frontend, backend, server).sessions,
    sessions: filter => {
      const list = listSessions(registry, prefix, filter, clock.now());
      return Promise.resolve({ ...list, silentWorkers: 0 });
    },
    closeSessions: (ids, reason, rested) => {
      if (rested === undefined) return Promise.resolve(closeSessions(registry, prefix, ids, reason));
      const isPaused = (session: JoinedSession): boolean => pauses.has(session);
      const asAt = { ...rested, isPaused, now: () => clock.now() };
      // What they have sent and we have not read yet is read first: who has begun to speak is not closed.
      return new Promise(resolve => {
        clock.afterInput(() => {
          clock.afterInput(() => resolve(closeSessions(registry, prefix, ids, reason, asAt)));
        });
      });
    },
    pauseSessions: (ids, forMs) => {
      const found = sessionsByIds(registry, prefix, ids).map(([session]) => session);
      return Promise.resolve(pauses.begin(found, forMs));
    },
    openUntil: (backend, server) => tallies.openUntil(backend, server),
    tables: () =>
      new Map(
        [...frontends.values()].flatMap(({ name, addresses }) =>
          addresses === null ? [] : [[name, addresses]],
        ),
      ),
    isAlive: () => true,
    listening: () => all().flatMap(frontend => frontend.listening()),
    async drain(deadlineMs, waiting = 'refuse') {
      for (const frontend of all()) {
        if (waiting === 'serve') frontend.leaveDoor()?.close();
        else frontend.stopAccepting();
      }
      const emptied = Promise.all(all().map(frontend => frontend.emptied()));
      await Promise.race([emptied, deadline(clock, deadlineMs, emptied)]);
      await close();
    },
    close,
  };
}

function groupByBackend(frontends: Iterable<Frontend>): ReadonlyMap<string, readonly Frontend[]> {
  const groups = new Map<string, Frontend[]>();
  for (const frontend of frontends) {
    groups.set(frontend.backend, [...(groups.get(frontend.backend) ?? []), frontend]);
  }
  return groups;
}

/** Resolves at the deadline; its timer ends with `unless`. */
function deadline(clock: Clock, delayMs: number, unless: Promise<unknown>): Promise<void> {
  return new Promise(resolve => {
    const timer = clock.schedule(delayMs, resolve);
    void unless.then(() => timer.cancel());
  });
}
