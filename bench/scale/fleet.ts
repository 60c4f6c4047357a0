// Many backends of three made-up servers, with everything of Pointsman that grows with them: topology, monitors, incidents,
// one proxy with a frontend for each. A server answers a probe in the next turn of the event loop. Used by made-up.ts.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { backendSpecs, createMonitors } from '../../src/app/monitors.ts';
import { configSchema, type Config } from '../../src/config/schema.ts';
import { formatAddress } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { systemRandom } from '../../src/core/random.ts';
import { nothingTold } from '../../src/health/result.ts';
import { type ProbeAnswer, type Prober } from '../../src/health/prober.ts';
import { type ProxyObserver } from '../../src/proxy/events.ts';
import { createProxy } from '../../src/proxy/proxy.ts';
import { IncidentRecorder } from '../../src/topology/incidents.ts';
import { Topology } from '../../src/topology/topology.ts';
import { IdleDriver } from './idle-driver.ts';

/** Of one planned failover: the old primary says that it is a replica now, then the new one that it is writable. */
export interface Decision {
  /** From the answer that shows the demotion to the session closed. */
  readonly closedMs: number;
  /** From the answer that shows the promotion to the connection for the client that waited. */
  readonly releasedMs: number;
}

export interface Fleet {
  start(): Promise<void>;
  probes(): number;
  /** One failover of each backend, spread over `spreadMs`. */
  failOver(spreadMs: number): Promise<readonly Decision[]>;
  stop(): Promise<void>;
}

const PATIENCE_MS = 30_000;

export function createFleet(count: number): Fleet {
  const config = configOf(count);
  const topology = new Topology(backendSpecs(config), systemClock);
  const incidents = new IncidentRecorder(systemClock);
  /** By server: what it says of itself, and when it last said something new; when it was dialed, and reset, last. */
  const answers = new Map<string, ProbeAnswer>();
  const shownAt = new Map<string, number>();
  const dialedAt = new Map<string, number>();
  const resetAt = new Map<string, number>();
  let probes = 0;

  const driver = new IdleDriver({
    dialed: server => void dialedAt.set(server, performance.now()),
    reset: server => void resetAt.set(server, performance.now()),
  });
  topology.changes.subscribe(change => incidents.observe(change));
  const proxy = createProxy({
    frontends: config.frontends,
    topology,
    driver,
    clock: systemClock,
    random: systemRandom,
    observer: silent,
  });
  const proberOf = (server: string): Prober => {
    let said: ProbeAnswer | null = null;
    return {
      async probe() {
        probes += 1;
        await nextTurn();
        const answer = answers.get(server) ?? replica;
        if (answer !== said) shownAt.set(server, performance.now());
        said = answer;
        return answer;
      },
      close: () => undefined,
    };
  };
  const proberFor: Parameters<typeof createMonitors>[4] =
    (_backend, { address }) =>
    () =>
      proberOf(formatAddress(address));
  const monitors = createMonitors(config, topology, systemClock, systemRandom, proberFor);
  for (let index = 0; index < count; index += 1) answers.set(serverAddress(index, 1), primary(1));

  async function until(condition: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!condition()) {
      if (performance.now() > deadline) throw new Error(`no ${what} within ${PATIENCE_MS} ms`);
      await sleep(5);
    }
  }

  async function failOverOne(index: number): Promise<Decision> {
    const backend = `app-${index}`;
    const [old, next] = [serverAddress(index, 1), serverAddress(index, 2)];
    driver.accept(`rw-${index}`);
    await until(() => proxy.sessionsOf(backend, 'pg1') === 1, 'session');
    answers.set(old, replica);
    await until(() => resetAt.has(old), 'closed session');
    const closedMs = resetAt.get(old)! - shownAt.get(old)!;
    driver.accept(`rw-${index}`);
    answers.set(next, primary(2));
    await until(() => dialedAt.has(next), 'released client');
    return { closedMs, releasedMs: dialedAt.get(next)! - shownAt.get(next)! };
  }

  return {
    async start() {
      await proxy.listen();
      monitors.start();
    },
    probes: () => probes,
    failOver: spreadMs =>
      Promise.all(
        Array.from({ length: count }, async (_, index) => {
          await sleep((index / count) * spreadMs);
          return failOverOne(index);
        }),
      ),
    async stop() {
      monitors.stop();
      await proxy.close();
    },
  };
}

const serverAddress = (index: number, server: number): string =>
  `10.${server}.${Math.floor(index / 250)}.${1 + (index % 250)}:5432`;

const facts = { ...nothingTold, version: '15.0', systemId: '7', position: '0/3000148' };
const replica: ProbeAnswer = {
  code: 'L7OK',
  detail: 'a replica',
  facts: { ...facts, role: 'replica', timeline: 1, lagSeconds: 0, replicating: true },
};
const primary = (timeline: number): ProbeAnswer => ({
  code: 'L7OK',
  detail: 'a primary',
  facts: { ...facts, role: 'primary', writable: true, timeline },
});

const nothing = (): void => undefined;
const silent: ProxyObserver = {
  accepted: nothing,
  rejected: nothing,
  held: nothing,
  holdEnded: nothing,
  connectFailed: nothing,
  connected: nothing,
  sessionEnded: nothing,
  sessionsClosed: nothing,
  circuit: nothing,
  acceptError: nothing,
};

function configOf(count: number): Config {
  const indexes = Array.from({ length: count }, (_, index) => index);
  const servers = (index: number): object =>
    Object.fromEntries([1, 2, 3].map(server => [`pg${server}`, serverAddress(index, server)]));
  return configSchema.parse({
    frontends: Object.fromEntries(
      indexes.map(index => [`rw-${index}`, { bind: `127.0.0.1:${10_000 + index}`, backend: `app-${index}` }]),
    ),
    backends: Object.fromEntries(
      indexes.map(index => [
        `app-${index}`,
        { protocol: 'postgres', check: { user: 'probe' }, servers: servers(index) },
      ]),
    ),
  });
}
