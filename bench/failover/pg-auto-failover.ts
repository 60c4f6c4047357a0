// The stage of a real pg_auto_failover cluster, a monitor and two nodes. Called by run.ts.

import { formatAddress } from '../../src/core/address.ts';
import { PgafCluster, WATCHER, type Timings } from '../../test/support/pgaf-cluster.ts';
import { bringBack, oust, type PgafFault } from '../../test/support/pgaf-failover.ts';
import { type KeptPostgres } from '../../test/support/pgaf-node.ts';
import { clusterStage, type Cluster, type ClusterFault } from './cluster.ts';
import { pointsman } from './contenders.ts';
import { agentsWords, haproxy } from './haproxy.ts';
import { type Stage } from './stage.ts';

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

const faults: Readonly<Record<ClusterFault, PgafFault>> = {
  'kill -9': 'kill',
  freeze: 'freeze',
  'planned switchover': 'switchover',
};

export function pgAutoFailover(): Stage {
  return clusterStage(
    {
      contenders: [pointsman, haproxy],
      refusesWhileDying: false,
      file: 'RESULTS-pg-auto-failover',
      words: {
        title: 'Failover of a pg_auto_failover cluster: what a proxy adds to it',
        rounds: 'One cluster (a monitor, two nodes, synchronous replication) serves all rounds. Each',
        known:
          'by a write straight to it that is acknowledged; below 0: the one through the proxy was sooner',
        promotion: [
          'A kill or a freeze is one of the whole node, its `pg_autoctl` included. The cluster promotes by itself, with these',
          '  timeouts (`pgautofailover.*`, ms; the time until then is its own):',
          `  ${Object.entries(timings)
            .map(([name, ms]) => `\`${name}\` ${ms}`)
            .join(', ')}.`,
          '  A switchover begins with the command; the old primary serves until the monitor has told it to stop.',
        ],
        pointsman: 'Pointsman runs with its default settings and the monitor’s opinion.',
        haproxy: agentsWords,
        repeat: 'npm run bench:failover -- --cluster pg-auto-failover',
      },
    },
    async () => stageOf(await PgafCluster.start({ nodes: NODES, timings, fsync: 'on' })),
  );
}

function stageOf(cluster: PgafCluster): Cluster<KeptPostgres> {
  return {
    settled: () => cluster.settled(NODES),
    fleet: primary => ({
      nodes: cluster.nodes.map(({ name, address }) => ({ name, address })),
      primary: primary.name,
      target: through => cluster.target(through),
      backend: {
        check: { user: 'postgres' },
        pg_auto_failover: { monitor: formatAddress(cluster.monitor.address), ...WATCHER },
      },
    }),
    oust: (primary, how) => oust(cluster, primary, faults[how]),
    bringBack: (node, how) => bringBack(cluster, node, faults[how]),
    dispose: () => cluster.dispose(),
  };
}
