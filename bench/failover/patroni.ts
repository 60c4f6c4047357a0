// The stage of a real Patroni cluster, an etcd and two nodes. HAProxy asks Patroni there, as Patroni's documentation has it.
// Called by run.ts.

import { formatAddress } from '../../src/core/address.ts';
import { startPatroniCluster, type PatroniCluster } from '../../test/support/patroni-cluster.ts';
import { type PatroniNode } from '../../test/support/patroni-node.ts';
import { takeoverAfter, type Blow } from '../../test/support/takeover.ts';
import { clusterStage, type Cluster, type ClusterFault } from './cluster.ts';
import { pointsman } from './contenders.ts';
import { haproxyAskingPatroni, patroniWords } from './haproxy-patroni.ts';
import { type Stage } from './stage.ts';

export function patroni(): Stage {
  return clusterStage(
    {
      contenders: [pointsman, haproxyAskingPatroni],
      refusesWhileDying: true,
      file: 'RESULTS-patroni',
      words: {
        title: 'Failover of a Patroni cluster: what a proxy adds to it',
        rounds: 'One cluster (an etcd, two nodes, `synchronous_mode`) serves all rounds. Each',
        known:
          'by a write straight to it that is acknowledged; below 0: the one through the proxy was sooner',
        promotion: [
          'A kill or a freeze is one of the whole node, its Patroni included. The cluster promotes by itself, with `ttl` 5 s,',
          '  `loop_wait` 1 s and `retry_timeout` 2 s (the time until then is its own). A switchover begins with the request to',
          '  the REST API; the old primary serves until Patroni stops it. While it shuts down it may itself refuse a writer who comes',
          '  back in the same milliseconds (“the database system is shutting down”): at most once each, and counted as refused.',
        ],
        pointsman: 'Pointsman runs with its default settings and Patroni’s opinion.',
        haproxy: patroniWords,
        repeat: 'npm run bench:failover -- --cluster patroni',
      },
    },
    async () => stageOf(await startPatroniCluster({ timings: { ttl: 5, loop_wait: 1, retry_timeout: 2 } })),
  );
}

function stageOf(cluster: PatroniCluster): Cluster<PatroniNode> {
  const { nodes, password } = cluster;
  const none = Promise.resolve();
  const strike = (primary: PatroniNode, heir: PatroniNode, how: ClusterFault): Blow => {
    if (how === 'kill -9') return { struck: primary.kill(), done: none };
    if (how === 'planned switchover') return { struck: none, done: cluster.switchover(primary, heir) };
    primary.freeze();
    return { struck: none, done: none };
  };
  return {
    settled: async () => (await cluster.settled()).leader,
    fleet: primary => ({
      nodes,
      primary: primary.name,
      target: through => cluster.target(through),
      backend: {
        check: { user: 'postgres', password },
        patroni: { addresses: nodes.map(({ rest }) => formatAddress(rest)) },
      },
    }),
    oust(primary, how) {
      const heirs = nodes.filter(node => node !== primary);
      return takeoverAfter(
        () => strike(primary, heirs[0] ?? primary, how),
        heirs,
        ({ address }) => cluster.target(address),
      );
    },
    async bringBack(ousted, how) {
      if (how === 'kill -9') await ousted.start();
      if (how === 'freeze') ousted.thaw();
      await cluster.settled();
    },
    dispose: () => cluster.dispose(),
  };
}
