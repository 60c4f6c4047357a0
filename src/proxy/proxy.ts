// The proxy as a whole: its frontends, the registry they share, and the reaction to a change of the topology.
// Knows nothing of probes or elections: it reads views and follows them. Built by app.

import { type Config } from '../config/schema.ts';
import { type Clock } from '../core/clock.ts';
import { type Random } from '../core/random.ts';
import { type Topic } from '../core/topic.ts';
import { type BackendChange, type BackendView } from '../topology/model.ts';
import { RELEASE_BURST } from './bounds.ts';
import { type Driver } from './driver.ts';
import { type FrontendGauge, type ProxyObserver } from './events.ts';
import { applyChange } from './failover.ts';
import { Frontend } from './frontend.ts';
import { SessionRegistry } from './registry.ts';
import { Suspects } from './suspects.ts';
import { createTallies, type Tallies } from './tallies.ts';

/** What the proxy needs of the topology. */
export interface TopologySource {
  view(backend: string): BackendView;
  readonly changes: Topic<BackendChange>;
}

export interface ProxyDeps {
  readonly frontends: Config['frontends'];
  readonly topology: TopologySource;
  readonly driver: Driver;
  /** Left out: this proxy is the only one. Else the numbers it shares with `workers - 1` others. */
  readonly tallies?: Tallies;
  readonly workers?: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: ProxyObserver;
}

export interface Proxy {
  /** Opens every port or none; rejects with BIND_FAILED. */
  listen(): Promise<void>;
  frontends(): readonly FrontendGauge[];
  /** Client sessions that are joined to a server now; with `frontend`, those of that one only. */
  sessionsOf(backend: string, server: string, frontend?: string): number;
  /** Stops accepting, refuses those who wait, lets sessions end until `deadlineMs` from now, then closes the rest. */
  drain(deadlineMs: number): Promise<void>;
  /** Ends everything now; resolves when the last socket is gone. */
  close(): Promise<void>;
}

export function createProxy(deps: ProxyDeps): Proxy {
  const { topology, driver, clock, random, observer, tallies = createTallies(), workers = 1 } = deps;
  const registry = new SessionRegistry(tallies);
  const suspects = new Suspects();
  const all: Frontend[] = [];
  /** By backend: a change, of which each probe is one, concerns those of its own only. */
  const frontends = new Map<string, Frontend[]>();
  for (const [name, config] of Object.entries(deps.frontends)) {
    const frontend = new Frontend({
      name,
      config,
      view: (): BackendView => topology.view(config.backend),
      driver,
      registry,
      tally: tallies.frontend(name),
      suspects,
      releaseBurst: Math.ceil(RELEASE_BURST / workers),
      clock,
      random,
      observer,
    });
    all.push(frontend);
    const siblings = frontends.get(config.backend);
    if (siblings === undefined) frontends.set(config.backend, [frontend]);
    else siblings.push(frontend);
  }
  const unsubscribe = topology.changes.subscribe(change => {
    const affected = frontends.get(change.after.name) ?? [];
    applyChange(change, registry, affected, (...closed) => observer.sessionsClosed(...closed));
  });

  async function close(): Promise<void> {
    unsubscribe();
    for (const frontend of all) frontend.close();
    await Promise.all(all.map(frontend => frontend.emptied()));
  }

  return {
    async listen() {
      try {
        for (const frontend of all) await frontend.listen();
      } catch (thrown) {
        await close();
        throw thrown;
      }
    },
    frontends: () => all.map(frontend => frontend.gauge()),
    sessionsOf: (backend, server, frontend) =>
      frontend === undefined
        ? registry.count(backend, server)
        : tallies.server(frontend, backend, server).sessions,
    async drain(deadlineMs) {
      for (const frontend of all) frontend.stopAccepting();
      const emptied = Promise.all(all.map(frontend => frontend.emptied()));
      await Promise.race([emptied, deadline(clock, deadlineMs, emptied)]);
      await close();
    },
    close,
  };
}

/** Resolves at the deadline; its timer ends with `unless`. */
function deadline(clock: Clock, delayMs: number, unless: Promise<unknown>): Promise<void> {
  return new Promise(resolve => {
    const timer = clock.schedule(delayMs, resolve);
    void unless.then(() => timer.cancel());
  });
}
