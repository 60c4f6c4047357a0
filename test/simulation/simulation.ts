// Runs one scenario: builds the simulated world and the real Pointsman in it (topology, monitors, proxy, incidents), lets the
// faults come, heals everything, and asks the oracle after every step. No sockets, no waiting, no chance but the seed's.
// Called by the command (simulate.ts), the shrinker and the tests.

import { createMonitors, backendSpecs } from '../../src/app/monitors.ts';
import { configSchema, type Config } from '../../src/config/schema.ts';
import { formatAddress } from '../../src/core/address.ts';
import { describeError } from '../../src/core/errors.ts';
import { seededRandom } from '../../src/core/random.ts';
import { createProxy } from '../../src/proxy/proxy.ts';
import { type ProxyObserver } from '../../src/proxy/events.ts';
import { IncidentRecorder } from '../../src/topology/incidents.ts';
import { assignSlots, slotNames } from '../../src/topology/sources/slots.ts';
import { Topology } from '../../src/topology/topology.ts';
import { SimClient, type Tally } from './clients.ts';
import { Cluster } from './cluster.ts';
import { SimDriver } from './driver.ts';
import { apply } from './faults.ts';
import { Path } from './network.ts';
import { Oracle, type Violation } from './oracle.ts';
import { SimProber } from './prober.ts';
import { type Scenario, type Setup } from './scenario.ts';
import { SimServer } from './server.ts';
import { SimClock, SimTime } from './time.ts';

export interface RunResult {
  readonly steps: number;
  readonly violation: Violation | null;
  /** Of all that was delivered, elected and joined, in order. */
  readonly hash: number;
  readonly tally: Tally;
  readonly changes: number;
}

export interface RunOptions {
  /** Only violations of this rule count; left out: all. */
  readonly rule?: Violation['rule'];
}

const BACKEND = 'app';
const SYSTEM = 'system-1';
const MAX_SERVERS = 3;
/** More than ever happens at the same instant. */
const STEPS_AT_ONCE_MAX = 20_000;

export async function run({ setup, faults }: Scenario, { rule }: RunOptions = {}): Promise<RunResult> {
  const time = new SimTime();
  const clock = new SimClock(time);
  const random = seededRandom(setup.seed + 1);
  const config = configOf(setup);
  const servers = serversOf(setup, time);
  const cluster = new Cluster(servers, setup, time);
  const paths = new Map(servers.map(server => [server, new Path(time, random, setup.latencyMs)] as const));
  const places = new Map(
    servers.map(server => [formatAddress(server.address), { server, path: paths.get(server)! }] as const),
  );
  const specs = backendSpecs(config);
  const topology = new Topology(specs, clock);
  const oracle = new Oracle(
    {
      ...setup,
      freshnessMs: setup.intervalMs * 1.1 + setup.timeoutMs + 250,
      routes: Object.fromEntries(Object.entries(config.frontends).map(([name, { route }]) => [name, route])),
    },
    () => time.now,
  );
  const incidents = new IncidentRecorder(clock);
  let changes = 0;
  topology.changes.subscribe(({ before, after }) => {
    if (before.primary !== after.primary) changes += 1;
    oracle.published(after.primary);
  });
  topology.changes.subscribe(change => incidents.observe(change));
  incidents.ended.subscribe(({ newPrimary, loss }) => oracle.lossReported(newPrimary, loss));
  const driver = new SimDriver({
    clock,
    writes: {
      written: () => undefined,
      acknowledged: () => undefined,
    },
    locate: address => places.get(address),
    spliced: (frontend, address) => oracle.spliced(frontend, address),
  });
  const proxy = createProxy({
    frontends: config.frontends,
    topology,
    driver,
    clock,
    random,
    observer: observerOf(incidents, (...server) => monitors.askNow(...server)),
  });
  const monitors = createMonitors(config, topology, clock, random, (_backend, { address }) => onLost => {
    const key = formatAddress(address);
    const { server, path } = places.get(key)!;
    oracle.monitored(key);
    const delivered = (answer: Parameters<Oracle['delivered']>[1]): void => oracle.delivered(key, answer);
    return new SimProber({ clock, server, path, timeoutMs: setup.timeoutMs, delivered }, onLost);
  });
  topology.changes.subscribe(() => oracle.settled());

  // Who the members are, as told by the orchestrator where it is asked for that.
  const { members: listed } = cluster;
  for (const spare of servers.slice(setup.servers)) listed.delete(spare);
  let slots: ReadonlyMap<string, SimServer['address']> = new Map();
  const list = (): void => {
    const addresses = servers.filter(server => listed.has(server)).map(({ address }) => address);
    slots = assignSlots(slots, addresses, slotNames('postgres', MAX_SERVERS)).taken;
    const members = [...slots].map(([name, address]) => ({ name, address, weight: 100 }));
    oracle.members(members.map(({ name, address }) => ({ name, address: formatAddress(address) })));
    topology.setMembers(BACKEND, members);
  };
  if (setup.learned) list();
  else oracle.members(servers.map(({ name, address }) => ({ name, address: formatAddress(address) })));

  const operator = {
    admin(server: SimServer, state: 'ready' | 'drain' | 'maintenance') {
      const member = topology
        .view(BACKEND)
        .servers.find(({ address }) => formatAddress(address) === formatAddress(server.address));
      if (member === undefined) return;
      oracle.admin(formatAddress(server.address), state);
      topology.setAdmin(BACKEND, member.name, state);
    },
    /** A spare takes the place of one that leaves, or goes itself: somebody must be left. */
    list(server: SimServer, isListed: boolean) {
      if (!setup.learned) return;
      if (isListed) listed.add(server);
      else {
        listed.delete(server);
        for (const other of servers) if (other !== server && listed.size < setup.servers) listed.add(other);
      }
      for (const other of servers.toReversed())
        if (other !== server && listed.size > MAX_SERVERS) listed.delete(other);
      list();
    },
  };

  const tally: Tally = { served: 0, acknowledged: 0, readOnly: 0, broken: 0 };
  const clients = clientsOf(setup, Object.keys(config.frontends), {
    time,
    random,
    driver: () => driver,
    tally,
  });
  const failure = (): Violation | null =>
    oracle.violations.find(violation => rule === undefined || violation.rule === rule) ?? null;
  const until = (endMs: number): void => {
    while (failure() === null && time.step(endMs)) {
      oracle.afterStep();
      if (time.stepsNow > STEPS_AT_ONCE_MAX)
        oracle.violation('live', 'time stands still: something goes round in circles');
    }
  };
  const opine = (): void => {
    const opinion = cluster.opinion(clock.now());
    oracle.opinion(opinion);
    topology.reportOpinion(BACKEND, opinion);
  };
  const opinions = (): void => {
    time.schedule(50 + random() * 400, () => {
      opine();
      if (!ended) opinions();
    });
  };

  let ended = false;
  try {
    await proxy.listen();
    monitors.start();
    cluster.start();
    if (setup.orchestrated) opinions();
    for (const [index, client] of clients.entries()) client.comeIn(index * 3);
    const world = { time, clock, random, cluster, paths, operator };
    for (const fault of faults) {
      time.schedule(fault.atMs, () => {
        if (!ended) apply(fault, world);
      });
    }
    until(setup.durationMs);
    ended = true;
    if (failure() === null) {
      for (const [server, path] of paths) heal(server, path, operator);
      cluster.heal(oracle.followed ?? { systemId: SYSTEM, timeline: 1 });
      ended = false;
      until(time.now + setup.restMs);
      judgeRest(oracle, clients, time.now);
    }
    ended = true;
    await end();
  } catch (thrown) {
    oracle.violation('crash', describeError(thrown).message);
  }
  return { steps: time.steps, violation: failure(), hash: oracle.hash, tally, changes };

  async function end(): Promise<void> {
    oracle.isClosing = true;
    cluster.stop();
    for (const client of clients) client.stop();
    monitors.stop();
    let closed = false;
    const closing = proxy.close().then(() => {
      closed = true;
    });
    const endMs = time.now + 10_000;
    while (time.step(endMs)) oracle.afterStep();
    await Promise.resolve();
    await closing;
    if (failure() !== null) return;
    const sessions = topology
      .view(BACKEND)
      .servers.reduce((sum, { name }) => sum + proxy.sessionsOf(BACKEND, name), 0);
    const gauges = proxy
      .frontends()
      .reduce((sum, gauge) => sum + gauge.connections + gauge.sessions + gauge.held, 0);
    const left = {
      closed,
      sockets: driver.openSockets,
      dials: driver.openDials,
      timers: clock.pending,
      sessions,
      gauges,
    };
    const { closed: isClosed, ...counts } = left;
    if (!isClosed || Object.values(counts).some(count => count !== 0)) {
      oracle.violation('leak', `after the end there are left: ${JSON.stringify(left)}`);
    }
  }
}

/** Each client must have been served lately: it never waits longer than it pauses. */
function judgeRest(oracle: Oracle, clients: readonly SimClient[], now: number): void {
  if (oracle.violations.length > 0) return;
  for (const client of clients) {
    const agoMs = now - client.servedAt;
    if (agoMs > 5000) {
      oracle.violation(
        'live',
        `a client of ${client.frontend} has not been served for ${Math.round(agoMs)} ms`,
      );
      return;
    }
  }
}

function heal(
  server: SimServer,
  path: Path,
  operator: { admin(server: SimServer, state: 'ready'): void },
): void {
  path.extraDelayMs = 0;
  path.loss = 0;
  for (const direction of ['to', 'from'] as const) {
    while (path.cuts[direction] > 0) path.mend(direction);
  }
  if (server.frozen) server.thaw();
  server.start(50);
  operator.admin(server, 'ready');
}

function serversOf(setup: Setup, time: SimTime): readonly SimServer[] {
  const count = setup.servers + (setup.learned ? 1 : 0);
  const servers: SimServer[] = [];
  for (let index = 0; index < count; index += 1) {
    const primary = servers[0] ?? null;
    const data = { systemId: SYSTEM, timeline: 1, lsn: 1000, recoveredTo: null, forks: [], branch: 1 };
    const upstream = index < setup.writersAtStart ? null : primary;
    const address = { host: `10.0.0.${index + 1}`, port: 5432 };
    servers.push(new SimServer(`pg${index + 1}`, address, data, upstream, time));
  }
  return servers;
}

function clientsOf(
  setup: Setup,
  frontends: readonly string[],
  world: ConstructorParameters<typeof SimClient>[2],
): readonly SimClient[] {
  return Array.from({ length: setup.clients }, (_, index) => {
    const frontend = index % 3 === 0 ? 'rw' : (frontends[index % frontends.length] ?? 'rw');
    return new SimClient(frontend, setup.thinkMs, world);
  });
}

function observerOf(
  incidents: IncidentRecorder,
  askNow: (backend: string, server: string) => void,
): ProxyObserver {
  const nothing = (): void => undefined;
  return {
    accepted: nothing,
    rejected: nothing,
    held: nothing,
    holdEnded: (_frontend, backend, waitedMs, outcome) =>
      incidents.noteHold(backend, waitedMs, outcome === 'served'),
    connectFailed: (backend, server, error) => {
      if (error !== 'local') askNow(backend, server);
    },
    connected: nothing,
    sessionEnded: nothing,
    sessionsClosed: (backend, server, reason, count) =>
      incidents.noteSessionsClosed(backend, server, count, reason),
    acceptError: nothing,
  };
}

function configOf(setup: Setup): Config {
  const ms = (value: number): string => `${value}ms`;
  const frontend = (route: string, port: number): object => ({
    bind: `127.0.0.1:${port}`,
    backend: BACKEND,
    route,
    hold: ms(setup.holdMs),
    hold_max: setup.holdMax,
    connect_timeout: ms(setup.connectTimeoutMs),
  });
  const readers = setup.readers.map((route, index) => [route, frontend(route, 6001 + index)] as const);
  const servers = Array.from(
    { length: setup.servers },
    (_, i) => [`pg${i + 1}`, `10.0.0.${i + 1}:5432`] as const,
  );
  return configSchema.parse({
    frontends: { rw: frontend('primary', 6000), ...Object.fromEntries(readers) },
    backends: {
      [BACKEND]: {
        protocol: 'postgres',
        check: {
          user: 'probe',
          interval: ms(setup.intervalMs),
          fast_interval: ms(setup.fastIntervalMs),
          timeout: ms(setup.timeoutMs),
          settle: ms(setup.settleMs),
          rise: setup.rise,
          fall: setup.fall,
        },
        multiple_writers: setup.policy,
        ...(setup.orchestrated
          ? { pg_auto_failover: { monitor: '10.0.0.9:5432', max_servers: MAX_SERVERS } }
          : {}),
        ...(setup.learned ? {} : { servers: Object.fromEntries(servers) }),
      },
    },
  });
}
