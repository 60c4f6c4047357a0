// One process of Pointsman in the simulated world: the real topology, monitors, proxy and incidents on simulated time and
// sockets, wired as src/app/app.ts does, and told to the oracle. It is closed in good order, or killed.
// Made by simulation.ts, once at the start and once after each restart.

import { backendSpecs, createMonitors, type Monitors } from '../../src/app/monitors.ts';
import { applyConfig } from '../../src/app/reload.ts';
import { type Config } from '../../src/config/schema.ts';
import { formatAddress } from '../../src/core/address.ts';
import { type Random } from '../../src/core/random.ts';
import { type ProxyObserver } from '../../src/proxy/events.ts';
import { createProxy, type Proxy } from '../../src/proxy/proxy.ts';
import { IncidentRecorder } from '../../src/topology/incidents.ts';
import { Topology } from '../../src/topology/topology.ts';
import { type SimDisk } from './disk.ts';
import { SimDriver } from './driver.ts';
import { type Path } from './network.ts';
import { type Oracle } from './oracle.ts';
import { SimProber } from './prober.ts';
import { type SimServer } from './server.ts';
import { SimClock, type SimTime } from './time.ts';

export interface PointsmanWorld {
  readonly config: Config;
  readonly backend: string;
  readonly time: SimTime;
  readonly random: Random;
  readonly timeoutMs: number;
  readonly places: ReadonlyMap<string, { readonly server: SimServer; readonly path: Path }>;
  readonly oracle: Oracle;
  /** `null`: no state file. */
  readonly disk: SimDisk | null;
  /** The primary is another one. */
  readonly changed: () => void;
}

export class SimPointsman {
  readonly topology: Topology;
  readonly driver: SimDriver;
  readonly clock: SimClock;
  readonly #world: PointsmanWorld;
  readonly #proxy: Proxy;
  readonly #monitors: Monitors;
  readonly #probers = new Set<SimProber>();
  #writeLast: () => void = () => undefined;

  constructor(world: PointsmanWorld) {
    const { config, backend, time, random, oracle, disk, places } = world;
    this.#world = world;
    const saved = disk?.read() ?? null;
    oracle.restarted(saved?.knowledge ?? null);
    const clock = new SimClock(time);
    this.clock = clock;
    const topology = new Topology(backendSpecs(config), clock, saved?.state);
    this.topology = topology;
    const incidents = new IncidentRecorder(clock);
    topology.changes.subscribe(({ before, after }) => {
      if (before.primary !== after.primary) world.changed();
      const names = after.servers.map(({ name }) => name);
      oracle.published(after.primary, after.epoch, names);
    });
    topology.changes.subscribe(change => incidents.observe(change));
    incidents.ended.subscribe(({ newPrimary, loss }) => oracle.lossReported(newPrimary, loss));
    this.driver = new SimDriver({
      clock,
      locate: address => places.get(address),
      spliced: (frontend, address) => oracle.spliced(frontend, address),
    });
    this.#proxy = createProxy({
      frontends: config.frontends,
      topology,
      driver: this.driver,
      clock,
      random,
      observer: observerOf(incidents, server => this.#monitors.askNow(backend, server)),
    });
    this.#monitors = createMonitors(config, topology, clock, random, (_backend, { address }) => onLost => {
      const key = formatAddress(address);
      const place = places.get(key);
      if (place === undefined) throw new Error(`nothing is at ${key}`);
      oracle.monitored(key);
      const prober = new SimProber(
        {
          ...place,
          clock,
          timeoutMs: world.timeoutMs,
          delivered: answer => oracle.delivered(key, answer),
        },
        onLost,
      );
      this.#probers.add(prober);
      return prober;
    });
    topology.changes.subscribe(() => oracle.settled());
  }

  async start(): Promise<void> {
    await this.#proxy.listen();
    const { disk, oracle } = this.#world;
    if (disk !== null) this.#writeLast = disk.follow(this.topology, this.clock, () => oracle.knowledge());
    this.#monitors.start();
  }

  /** Another configuration is applied, in the order of the program itself. */
  async reload(config: Config): Promise<void> {
    const { topology } = this;
    const { oracle } = this.#world;
    const nothing = { reconfigure: (): void => undefined };
    const resolver = {
      reconfigure(specs: ReturnType<typeof backendSpecs>) {
        for (const { name, servers, slots } of specs) {
          if (slots !== undefined) continue;
          oracle.members(
            servers.map(member => ({ name: member.name, address: formatAddress(member.address) })),
          );
          topology.setMembers(name, servers);
        }
      },
    };
    const parts = {
      topology,
      resolver,
      proxy: this.#proxy,
      monitors: this.#monitors,
      orchestrators: nothing,
    };
    await applyConfig(parts, config);
  }

  /** At once and without a trace but what the kernel does. */
  kill(): void {
    this.#world.oracle.isClosing = true;
    for (const prober of this.#probers) prober.close();
    this.driver.kill();
    this.clock.isDead = true;
  }

  /** In good order. Resolves once time has gone on long enough. */
  async close(): Promise<void> {
    this.#world.oracle.isClosing = true;
    this.#monitors.stop();
    this.#writeLast();
    await this.#proxy.close();
  }

  /** What it holds still; all zero once it is closed. */
  leftovers(): Readonly<Record<string, number>> {
    const { backend } = this.#world;
    const { servers } = this.topology.view(backend);
    return {
      sockets: this.driver.openSockets,
      dials: this.driver.openDials,
      timers: this.clock.pending,
      sessions: servers.reduce((sum, { name }) => sum + this.#proxy.sessionsOf(backend, name), 0),
      gauges: this.#proxy
        .frontends()
        .reduce((sum, gauge) => sum + gauge.connections + gauge.sessions + gauge.held, 0),
    };
  }
}

function observerOf(incidents: IncidentRecorder, askNow: (server: string) => void): ProxyObserver {
  const nothing = (): void => undefined;
  return {
    accepted: nothing,
    rejected: nothing,
    held: nothing,
    holdEnded: (_frontend, backend, waitedMs, outcome) =>
      incidents.noteHold(backend, waitedMs, outcome === 'served'),
    connectFailed: (_backend, server, error) => {
      if (error !== 'local') askNow(server);
    },
    connected: nothing,
    sessionEnded: nothing,
    sessionsClosed: (backend, server, reason, count) =>
      incidents.noteSessionsClosed(backend, server, count, reason),
    circuit: nothing,
    acceptError: nothing,
  };
}
