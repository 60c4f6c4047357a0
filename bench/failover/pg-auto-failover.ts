// The stage of a real pg_auto_failover cluster, a monitor and two nodes, which promotes by itself. One cluster serves all
// rounds: after each, the old primary is brought back as the standby. Called by run.ts.

import { formatAddress } from '../../src/core/address.ts';
import { PgafCluster, WATCHER, type Timings } from '../../test/support/pgaf-cluster.ts';
import { bringBack, oust, type PgafFault } from '../../test/support/pgaf-failover.ts';
import { type KeptPostgres } from '../../test/support/pgaf-node.ts';
import { Traffic } from '../../test/support/traffic.ts';
import { sleep, within } from '../../test/support/wait.ts';
import { type Contender, type Fleet } from './contenders.ts';
import { START_MAX_MS, WARM_UP_MS, WRITERS, type Round, type Stage } from './stage.ts';

/** Milliseconds; a machine with nothing else to do answers in that time. */
const timings: Timings = {
  health_check_period: 200,
  health_check_timeout: 500,
  health_check_max_retries: 1,
  health_check_retry_delay: 100,
  node_considered_unhealthy_timeout: 1500,
  primary_demote_timeout: 1000,
  startup_grace_period: 1000,
};

const NODES = 2;
const SETTLE_MS = 500;

const scenarios: Readonly<Record<string, PgafFault>> = {
  'kill -9': 'kill',
  freeze: 'freeze',
  'planned switchover': 'switchover',
};

export function pgAutoFailover(): Stage {
  let starting: Promise<PgafCluster> | null = null;
  return {
    scenarios: Object.keys(scenarios),
    file: 'RESULTS-pg-auto-failover',
    words: {
      title: 'Failover of a pg_auto_failover cluster: what a proxy adds to it',
      rounds: 'One cluster (a monitor, two nodes, synchronous replication) serves all rounds. Each',
      known: 'by a write straight to it that is acknowledged; below 0: the one through the proxy was sooner',
      promotion: [
        'A kill or a freeze is one of the whole node, its `pg_autoctl` included. The cluster promotes by itself, with these',
        '  timeouts (`pgautofailover.*`, ms; the time until then is its own):',
        `  ${Object.entries(timings)
          .map(([name, ms]) => `\`${name}\` ${ms}`)
          .join(', ')}.`,
        '  A switchover begins with the command; the old primary serves until the monitor has told it to stop.',
      ],
      pointsman: 'Pointsman runs with its default settings and the monitor’s opinion.',
      repeat: 'npm run bench:failover -- --cluster pg-auto-failover',
    },
    async play(scenario, contender, guard) {
      const how = scenarios[scenario];
      if (how === undefined) throw new RangeError(`there is no scenario ${scenario}`);
      starting ??= PgafCluster.start({ nodes: NODES, timings });
      const cluster = await guard(within('the cluster to start', START_MAX_MS, starting));
      return guard(playRound(cluster, how, contender));
    },
    async end() {
      const cluster = await starting?.catch(() => null); // it has ended what it started
      await cluster?.dispose();
    },
  };
}

async function playRound(cluster: PgafCluster, how: PgafFault, contender: Contender): Promise<Round> {
  const primary = await cluster.settled(NODES);
  await primary.query('TRUNCATE ledger');
  const [row] = await primary.query<{ server_version: string }>('SHOW server_version');
  const proxy = await contender.start(fleetOf(cluster, primary));
  let traffic: Traffic | null = null;
  try {
    traffic = await Traffic.start(cluster.target(proxy.port), { writers: WRITERS });
    await sleep(WARM_UP_MS);
    const { fault, takeover, done } = await oust(cluster, primary, how);
    await traffic.firstWriteAfter(fault, takeover);
    await sleep(SETTLE_MS);
    const figures = await traffic.end(fault, takeover, sql => takeover.node.query(sql));
    await done;
    return { figures, postgres: row?.server_version.split(' ')[0] ?? 'unknown' };
  } catch (thrown) {
    traffic?.abandon();
    throw thrown;
  } finally {
    await proxy.stop();
    await bringBack(cluster, primary, how);
  }
}

function fleetOf(cluster: PgafCluster, primary: KeptPostgres): Fleet {
  return {
    nodes: cluster.nodes.map(({ name, address }) => ({ name, address })),
    primary: primary.name,
    target: through => cluster.target(through),
    backend: {
      check: { user: 'postgres' },
      pg_auto_failover: { monitor: formatAddress(cluster.monitor.address), ...WATCHER },
    },
  };
}
