// Runs one scenario: builds the simulated world and the real Pointsman in it (pointsman.ts), lets the faults come, heals
// everything, and asks the oracle after every step. No sockets, no waiting, no chance but the seed's.
// Called by the command (simulate.ts), the shrinker and the tests.

import { formatAddress } from '../../src/core/address.ts';
import { describeError } from '../../src/core/errors.ts';
import { seededRandom } from '../../src/core/random.ts';
import { assignSlots, slotNames } from '../../src/topology/sources/slots.ts';
import { SimClient, type Tally } from './clients.ts';
import { Cluster } from './cluster.ts';
import { SimDisk } from './disk.ts';
import { apply, type Operator } from './faults.ts';
import { engineOf } from './engines.ts';
import { Path } from './network.ts';
import { Oracle } from './oracle.ts';
import { SimPointsman } from './pointsman.ts';
import { type Rule } from './rules.ts';
import { type Scenario, type Setup } from './scenario.ts';
import { type SimServer } from './server.ts';
import { SimTime } from './time.ts';
import { type Truths, type Violation } from './truths.ts';
import { MysqlTruths } from './truths-mysql.ts';
import { PostgresTruths } from './truths-postgres.ts';
import { RedisTruths } from './truths-redis.ts';
import { BACKEND, configOf, MAX_SERVERS, serversOf, SYSTEM, unedited } from './world.ts';

export interface RunResult {
  readonly steps: number;
  readonly violation: Violation | null;
  /** Of all that was delivered, elected and joined, in order. */
  readonly hash: number;
  readonly tally: Tally;
  readonly changes: number;
  readonly restarts: number;
  readonly reloads: number;
}

export interface RunOptions {
  /** Only violations of this rule count; left out: all. */
  readonly rule?: Rule;
}

/** More than ever happens at the same instant. */
const STEPS_AT_ONCE_MAX = 20_000;
/** Whoever is closed in good order is done by then. */
const CLOSE_MAX_MS = 10_000;
/** Between the start of Pointsman and the first word of the orchestrator. */
const FIRST_OPINION_MAX_MS = 100;

export async function run({ setup, faults }: Scenario, { rule }: RunOptions = {}): Promise<RunResult> {
  const time = new SimTime();
  const random = seededRandom(setup.seed + 1);
  let edits = unedited;
  const config = configOf(setup);
  let branch = 1;
  const branches = (): number => (branch += 1);
  const engine = engineOf(setup, branches, random);
  const servers = serversOf(setup, engine, time);
  const cluster = new Cluster(servers, { engine, branches, time }, setup);
  const paths = new Map(servers.map(server => [server, new Path(time, random, setup.latencyMs)] as const));
  const places = new Map(
    servers.map(server => [formatAddress(server.address), { server, path: paths.get(server)! }] as const),
  );
  const frontends = Object.entries(config.frontends);
  const oracle = new Oracle(
    {
      ...setup,
      freshnessMs: setup.intervalMs * 1.1 + setup.timeoutMs + 250,
      routes: Object.fromEntries(frontends.map(([name, { route }]) => [name, route])),
    },
    truthsOf(setup),
    () => time.now,
  );
  const told = { changes: 0, restarts: 0, reloads: 0 };
  const pointsmanWorld = {
    config,
    backend: BACKEND,
    time,
    random,
    timeoutMs: setup.timeoutMs,
    places,
    oracle,
    disk: setup.stateFile ? new SimDisk(random) : null,
    changed: () => {
      told.changes += 1;
    },
  };

  /** `null` while it is away. */
  let pointsman: SimPointsman | null = null;
  let startIsDue = true;
  let reloadIsDue = false;
  let ended = false;
  /** The members, since it was started. */
  let isTold = false;

  // Who the members are, as told by the orchestrator where it is asked for that.
  const { members: listed } = cluster;
  for (const spare of servers.slice(setup.servers)) listed.delete(spare);
  let slots: ReadonlyMap<string, SimServer['address']> = new Map();
  const list = (): void => {
    if (pointsman === null) return;
    const addresses = servers.filter(server => listed.has(server)).map(({ address }) => address);
    isTold = true;
    slots = assignSlots(slots, addresses, slotNames(setup.protocol, MAX_SERVERS)).taken;
    const members = [...slots].map(([name, address]) => ({ name, address, weight: 100 }));
    oracle.members(members.map(({ name, address }) => ({ name, address: formatAddress(address) })));
    pointsman.topology.setMembers(BACKEND, members);
  };
  const opine = (): void => {
    if (pointsman === null) return;
    const opinion = cluster.opinion(pointsman.clock.now());
    if (setup.learned && opinion !== null && !isTold) list();
    oracle.opinion(opinion);
    pointsman.topology.reportOpinion(BACKEND, opinion);
  };
  const opinions = (): void => {
    time.schedule(50 + random() * 400, () => {
      opine();
      if (!ended) opinions();
    });
  };

  /** Opens the loop of events, which is synchronous, for as long as it takes the promises of a start. */
  const begin = async (): Promise<void> => {
    startIsDue = false;
    oracle.members([]);
    reloadIsDue = false;
    pointsman = new SimPointsman({ ...pointsmanWorld, config: configOf(setup, edits) });
    // Learned members are those of the state file until they are told anew.
    const known = pointsman.topology.view(BACKEND).servers;
    oracle.members(known.map(({ name, address }) => ({ name, address: formatAddress(address) })));
    slots = new Map(known.map(({ name, address }) => [name, address] as const));
    isTold = false;
    await pointsman.start();
    if (setup.orchestrated) time.schedule(random() * FIRST_OPINION_MAX_MS, opine);
  };
  /** As `begin`: for as long as the promises of a reload take. */
  const reload = async (): Promise<void> => {
    reloadIsDue = false;
    if (pointsman === null) return;
    told.reloads += 1;
    const next = configOf(setup, edits);
    oracle.reloaded();
    await pointsman.reload(next);
  };
  const leftOver = (which: SimPointsman): void => {
    const left = which.leftovers();
    if (Object.values(left).some(count => count !== 0))
      oracle.violation('leak', `after the end there are left: ${JSON.stringify(left)}`);
  };

  const operator: Operator = {
    admin(server, state) {
      const member = pointsman?.topology
        .view(BACKEND)
        .servers.find(({ address }) => formatAddress(address) === formatAddress(server.address));
      if (member === undefined) return;
      oracle.admin(formatAddress(server.address), state);
      pointsman?.topology.setAdmin(BACKEND, member.name, state);
    },
    restart(how, downMs) {
      const leaving = pointsman;
      if (leaving === null) return;
      pointsman = null;
      told.restarts += 1;
      let closed = how === 'killed';
      if (how === 'killed') leaving.kill();
      else
        void leaving.close().then(() => {
          closed = true;
        });
      const startedAt = time.now;
      const goOn = (): void => {
        const isEmpty = Object.values(leaving.leftovers()).every(count => count === 0);
        if (closed || isEmpty || time.now - startedAt > CLOSE_MAX_MS) {
          if (how === 'closed') leftOver(leaving);
          startIsDue = true;
        } else time.schedule(50, goOn);
      };
      time.schedule(downMs, goOn);
    },
    reload(change, server, isThere) {
      const without = new Set(edits.without);
      if (change === 'server' && isThere) without.delete(server.name);
      // Somebody must be left, and learned members stand in no file.
      else if (change === 'server' && !setup.learned && without.size + 1 < setup.servers)
        without.add(server.name);
      edits = {
        without,
        limits: edits.limits + (change === 'limits' ? 1 : 0),
        writersOnly: change === 'readers' ? !isThere : edits.writersOnly,
      };
      reloadIsDue = true;
    },
    /** A spare takes the place of one that leaves, or goes itself: somebody must be left. */
    list(server, isListed) {
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
    driver: () => pointsman?.driver ?? null,
    tally,
  });
  const failure = (): Violation | null =>
    oracle.violations.find(violation => rule === undefined || violation.rule === rule) ?? null;
  const until = async (endMs: number): Promise<void> => {
    for (;;) {
      if (startIsDue) await begin();
      if (reloadIsDue) await reload();
      if (failure() !== null || !time.step(endMs)) return;
      oracle.afterStep();
      if (time.stepsNow > STEPS_AT_ONCE_MAX)
        oracle.violation('live', 'time stands still: something goes round in circles');
    }
  };

  try {
    await begin();
    cluster.start();
    if (setup.orchestrated) opinions();
    for (const [index, client] of clients.entries()) client.comeIn(index * 3);
    const world = { time, random, cluster, paths, operator };
    for (const fault of faults) {
      time.schedule(fault.atMs, () => {
        if (!ended) apply(fault, world);
      });
    }
    await until(setup.durationMs);
    while (pointsman === null && failure() === null) await until(time.now + 100);
    ended = true;
    if (failure() === null) {
      for (const [server, path] of paths) heal(server, path, operator);
      if (edits !== unedited) reloadIsDue = true;
      edits = { ...unedited, limits: edits.limits };
      cluster.heal(oracle.lineage ?? { systemId: SYSTEM, timeline: 1 });
      ended = false;
      await until(time.now + setup.restMs);
      judgeRest(oracle, clients, time.now);
    }
    ended = true;
    await end();
  } catch (thrown) {
    oracle.violation('crash', describeError(thrown).message);
  }
  return { steps: time.steps, violation: failure(), hash: oracle.hash, tally, ...told };

  async function end(): Promise<void> {
    cluster.stop();
    for (const client of clients) client.stop();
    if (pointsman === null) return;
    const closing = pointsman.close();
    const endMs = time.now + CLOSE_MAX_MS;
    while (time.step(endMs)) oracle.afterStep();
    if (failure() !== null) return;
    leftOver(pointsman);
    if (failure() === null) await closing;
  }
}

function truthsOf({ protocol }: Setup): Truths {
  switch (protocol) {
    case 'postgres':
      return new PostgresTruths();
    case 'redis':
      return new RedisTruths();
    case 'mysql':
      return new MysqlTruths();
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

function heal(server: SimServer, path: Path, operator: Pick<Operator, 'admin'>): void {
  path.extraDelayMs = 0;
  path.loss = 0;
  for (const direction of ['to', 'from'] as const) {
    while (path.cuts[direction] > 0) path.mend(direction);
  }
  if (server.frozen) server.thaw();
  server.start(50);
  operator.admin(server, 'ready');
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
