// The stage of a plain primary and its synchronous standby: new ones for every round, promoted by the bench itself, so that
// nothing but the proxy makes a difference. Called by run.ts.

import { setTimeout as after } from 'node:timers/promises';
import { debianBinaries, embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { type Address } from '../../src/core/address.ts';
import { measureFailover } from '../../test/support/failover.ts';
import { startServers, type Servers } from '../../test/support/pair.ts';
import { within } from '../../test/support/wait.ts';
import { pointsman, type Contender, type Fleet } from './contenders.ts';
import { agentsWords, haproxy } from './haproxy.ts';
import { START_MAX_MS, WARM_UP_MS, WRITERS, type Guard, type Round, type Stage } from './stage.ts';

/** How long an ended round waits for what it was just starting, so that it can be ended too. */
const STARTING_MAX_MS = 15_000;
const PROMOTE_AFTER_MS = 500;

const scenarios = [
  { name: 'kill -9, PostgreSQL 18', binaries: embeddedBinaries, how: 'kill' },
  { name: 'kill -9, PostgreSQL 15', binaries: debianBinaries, how: 'kill' },
  { name: 'freeze, PostgreSQL 15', binaries: debianBinaries, how: 'freeze' },
] as const;
type Scenario = (typeof scenarios)[number];

export const pairs: Stage = {
  contenders: [pointsman, haproxy],
  refusesWhileDying: false,
  scenarios: scenarios.map(({ name }) => name),
  file: 'RESULTS',
  words: {
    title: 'Failover: what a proxy adds to the promotion',
    rounds: 'Every round starts new servers, and',
    known: 'asked on the node itself every 5 ms',
    promotion: [
      `The standby is promoted ${PROMOTE_AFTER_MS} ms after a kill; after a freeze, once all the writers’ sessions have ended.`,
    ],
    pointsman: 'Pointsman runs with its default settings.',
    haproxy: agentsWords,
    repeat: 'npm run bench:failover',
  },
  async play(name, contender, guard) {
    const scenario = scenarios.find(known => known.name === name);
    if (scenario === undefined) throw new RangeError(`there is no scenario ${name}`);
    return playRound(scenario, contender, guard);
  },
  end: () => Promise.resolve(), // each round has ended its own servers
};

async function playRound(scenario: Scenario, contender: Contender, guard: Guard): Promise<Round> {
  const owned: (() => Promise<void>)[] = [];
  const start = async () => {
    const servers = await startServers(scenario.binaries(), { settings: { fsync: 'on' } });
    owned.push(() => servers.dispose());
    const proxy = await contender.start(fleetOf(servers));
    owned.push(() => proxy.stop());
    return { servers, port: proxy.port };
  };
  const starting = within('the servers and the proxy to start', START_MAX_MS, start());
  const playing = starting.then(async ({ servers, port }) => {
    const [row] = await servers.pg1.query<{ server_version: string }>('SHOW server_version');
    const figures = await measureFailover(servers, port, {
      how: scenario.how,
      writers: WRITERS,
      warmUpMs: WARM_UP_MS,
      promoteAfterMs: PROMOTE_AFTER_MS,
      afterDetection: scenario.how === 'freeze',
    });
    return { figures, postgres: row?.server_version.split(' ')[0] ?? 'unknown' };
  });
  try {
    return await guard(playing);
  } finally {
    const settled = starting.then(
      () => undefined,
      () => undefined, // it has ended what it started, and the race has reported why
    );
    await Promise.race([settled, after(STARTING_MAX_MS, undefined, { ref: false })]);
    for (const end of owned.reverse()) await end();
  }
}

function fleetOf({ pg1, pg2, password, target }: Servers): Fleet {
  const address = ({ port }: { readonly port: number }): Address => ({ host: '127.0.0.1', port });
  return {
    nodes: [pg1, pg2].map(node => ({ name: node.name, address: address(node) })),
    primary: pg1.name,
    target,
    backend: { check: { user: 'postgres', password } },
  };
}
