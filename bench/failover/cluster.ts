// The stage of a real cluster that promotes by itself, whoever manages it. One cluster serves all rounds: after each, the old
// primary is brought back as the standby. Not the cluster itself: pg-auto-failover.ts and patroni.ts are those. Called by
// run.ts through them.

import { type Ousted } from '../../test/support/takeover.ts';
import { Traffic } from '../../test/support/traffic.ts';
import { sleep, within } from '../../test/support/wait.ts';
import { type Contender, type Fleet } from './contenders.ts';
import { START_MAX_MS, WARM_UP_MS, WRITERS, type Round, type Stage } from './stage.ts';

export const clusterFaults = ['kill -9', 'freeze', 'planned switchover'] as const;
export type ClusterFault = (typeof clusterFaults)[number];

export interface ClusterNode {
  readonly name: string;
  query<Row extends Record<string, unknown>>(sql: string): Promise<readonly Row[]>;
}

/** A running cluster, with a table `ledger`. */
export interface Cluster<Node extends ClusterNode> {
  /** The primary, once everybody else streams from it. */
  settled(): Promise<Node>;
  fleet(primary: Node): Fleet;
  oust(primary: Node, how: ClusterFault): Promise<Ousted<Node>>;
  /** Who was ousted is made the standby, and streams. */
  bringBack(ousted: Node, how: ClusterFault): Promise<unknown>;
  dispose(): Promise<void>;
}

const SETTLE_MS = 500;

/** `start` is called once, with the first round. */
export function clusterStage<Node extends ClusterNode>(
  about: Omit<Stage, 'scenarios' | 'play' | 'end'>,
  start: () => Promise<Cluster<Node>>,
): Stage {
  let starting: Promise<Cluster<Node>> | null = null;
  return {
    ...about,
    scenarios: clusterFaults,
    async play(scenario, contender, guard) {
      const how = clusterFaults.find(fault => fault === scenario);
      if (how === undefined) throw new RangeError(`there is no scenario ${scenario}`);
      starting ??= start();
      const cluster = await guard(within('the cluster to start', START_MAX_MS, starting));
      return guard(playRound(cluster, how, contender));
    },
    async end() {
      const cluster = await starting?.catch(() => null); // it has ended what it started
      await cluster?.dispose();
    },
  };
}

async function playRound<Node extends ClusterNode>(
  cluster: Cluster<Node>,
  how: ClusterFault,
  contender: Contender,
): Promise<Round> {
  const primary = await cluster.settled();
  await primary.query('TRUNCATE ledger');
  const [row] = await primary.query<{ server_version: string }>('SHOW server_version');
  const fleet = cluster.fleet(primary);
  const proxy = await contender.start(fleet);
  let traffic: Traffic | null = null;
  try {
    traffic = await Traffic.start(fleet.target(proxy.port), { writers: WRITERS });
    await sleep(WARM_UP_MS);
    const { fault, takeover, done } = await cluster.oust(primary, how);
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
    await cluster.bringBack(primary, how);
  }
}
