// A real Patroni cluster on loopback: etcd and a few nodes, each a Patroni with its PostgreSQL, that can be killed, frozen,
// switched over, paused and cut off from etcd. Timings are the shortest that work: a failover takes some six seconds.
// Needs Debian's patroni, etcd-server and postgresql-15; a test without them fails.

import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CREATE_LEDGER, type WriterTarget } from '../../src/cli/demo/ledger-writer.ts';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { chownTree, debianBinaries, makeServerDirectory } from '../../src/cli/demo/postgres-binaries.ts';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { OwnedProcess } from './owned-process.ts';
import { PASSWORD, PatroniNode, type Owner } from './patroni-node.ts';
import { until } from './wait.ts';

const ETCD = '/usr/bin/etcd';

/** Seconds. A leader that is gone is missed after `ttl`; what is off in these is merely slower. */
const usualTimings = { ttl: 9, loop_wait: 1, retry_timeout: 4 };

interface PatroniOptions {
  /** Default: 2. */
  readonly nodes?: number;
  /** Whether the primary may go on while etcd can't be reached, as long as it reaches all members. Default: true. */
  readonly failsafe?: boolean;
  /** Default: those that a slow machine doesn't take for a dead leader. */
  readonly timings?: typeof usualTimings;
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** What `GET /cluster` says of one member. */
interface ClusterMember {
  readonly name: string;
  readonly role: string;
  readonly state: string;
  readonly timeline?: number;
}

export interface PatroniCluster {
  readonly nodes: readonly PatroniNode[];
  readonly password: string;
  target(through: Address): WriterTarget;
  /** By the word of the first node that answers. */
  members(): Promise<readonly ClusterMember[]>;
  /** Waits until there is a leader, and everybody else streams from it on the same timeline. */
  settled(): Promise<{ leader: PatroniNode; others: readonly PatroniNode[] }>;
  /** A planned one; resolves when Patroni says that it is done. */
  switchover(from: PatroniNode, to: PatroniNode): Promise<void>;
  pause(on: boolean): Promise<void>;
  stopEtcd(): Promise<void>;
  startEtcd(): Promise<void>;
  dispose(): Promise<void>;
}

export async function startPatroniCluster(options: PatroniOptions = {}): Promise<PatroniCluster> {
  const { owner, bin } = debianBinaries();
  const directory = makeServerDirectory();
  const [client, peer] = [await freePort(), await freePort()];
  const etcd = etcdProcess(directory, client, peer, owner);
  const nodes: PatroniNode[] = [];
  const dispose = async (): Promise<void> => {
    await Promise.all(nodes.map(node => node.dispose()));
    await etcd.kill();
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  };
  const answering = async (): Promise<PatroniNode> => {
    for (const node of nodes) {
      const answer = await node.ask('/cluster').catch(() => null);
      if (answer?.status === 200) return node;
    }
    throw new Error(`no node answers:\n${nodes.map(node => node.logText().slice(-1500)).join('\n---\n')}`);
  };
  const members = async (): Promise<readonly ClusterMember[]> => {
    const { text } = await (await answering()).ask('/cluster');
    return (JSON.parse(text) as { members: ClusterMember[] }).members;
  };
  const cluster: PatroniCluster = {
    nodes,
    password: PASSWORD,
    target: through => ({ ...through, user: 'postgres', password: PASSWORD, database: 'postgres' }),
    members,
    async settled() {
      const leader = await until('a settled Patroni cluster', () => leaderOf(nodes, members), {
        deadlineMs: 60_000,
        everyMs: 50,
      });
      return { leader, others: nodes.filter(node => node !== leader) };
    },
    async switchover(from, to) {
      const answer = await from.ask('/switchover', { leader: from.name, candidate: to.name });
      assert.equal(answer.status, 200, answer.text);
    },
    async pause(on) {
      const node = await answering();
      const answer = await node.ask('/config', { pause: on ? true : null }, 'PATCH');
      assert.equal(answer.status, 200, answer.text);
    },
    stopEtcd: () => etcd.kill(),
    async startEtcd() {
      etcd.start();
      await until('etcd to answer', () => isHealthy(client));
    },
    dispose,
  };
  try {
    await cluster.startEtcd();
    const rest = await freePort();
    for (let index = 1; index <= (options.nodes ?? 2); index += 1) {
      const host = `127.0.0.${10 + index}`;
      const at = { address: { host, port: await freePort() }, rest: { host, port: rest } };
      const node = new PatroniNode(`node${index}`, at, join(directory, `node${index}`), owner);
      writeConfig(node, { bin, etcd: `127.0.0.1:${client}`, options });
      chownTree(node.directory, owner);
      nodes.push(node);
      await node.start();
    }
    const { leader } = await cluster.settled();
    await leader.query(CREATE_LEDGER);
    return cluster;
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

function etcdProcess(directory: string, client: number, peer: number, owner: Owner): OwnedProcess {
  const url = (port: number): string => `http://127.0.0.1:${port}`;
  const args = [
    ...['--name', 'etcd', '--data-dir', join(directory, 'etcd')],
    ...['--listen-client-urls', url(client), '--advertise-client-urls', url(client)],
    ...['--listen-peer-urls', url(peer), '--initial-advertise-peer-urls', url(peer)],
    ...['--enable-v2', '--initial-cluster', `etcd=${url(peer)}`, '--log-level', 'warn', '--logger', 'zap'],
    // One node elects itself once this is over, at each start.
    ...['--heartbeat-interval', '50', '--election-timeout', '500'],
  ];
  return new OwnedProcess(ETCD, args, { log: join(directory, 'etcd.log'), owner, env: { GOMAXPROCS: '1' } });
}

async function isHealthy(port: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/health`, { headers: { connection: 'close' } }).catch(
    () => null, // not listening yet
  );
  return answer !== null && (await answer.text()).includes('"true"');
}

async function leaderOf(
  nodes: readonly PatroniNode[],
  members: () => Promise<readonly ClusterMember[]>,
): Promise<PatroniNode | null> {
  const listed = await members().catch(() => []); // nobody answers yet: the deadline tells
  const leader = listed.find(({ role }) => role === 'leader');
  const others = listed.filter(member => member !== leader);
  const follow = others.every(
    ({ role, timeline }) => role === 'sync_standby' && timeline === leader?.timeline,
  );
  if (leader?.state !== 'running' || listed.length !== nodes.length || !follow) return null;
  return nodes.find(({ name }) => name === leader.name) ?? null;
}

function writeConfig(
  node: PatroniNode,
  { bin, etcd, options }: { bin: string; etcd: string; options: PatroniOptions },
): void {
  const login = { username: 'postgres', password: PASSWORD };
  const config = {
    scope: 'app',
    name: node.name,
    restapi: { listen: formatAddress(node.rest), connect_address: formatAddress(node.rest) },
    // Version 2 of its API: with version 3 this Patroni (3.0.2) lets a frozen leader that thaws take the lock back from its
    // successor, and rewinds away what that has written (patroni/patroni#2689).
    etcd: { hosts: [etcd] },
    bootstrap: {
      dcs: {
        ...(options.timings ?? usualTimings),
        failsafe_mode: options.failsafe ?? true,
        synchronous_mode: true,
        synchronous_node_count: Math.max(1, (options.nodes ?? 2) - 1),
        maximum_lag_on_failover: 1_048_576,
        primary_start_timeout: 5,
        postgresql: {
          use_pg_rewind: true,
          use_slots: true,
          parameters: {
            shared_buffers: '16MB',
            max_connections: 100,
            wal_keep_size: '128MB',
            wal_receiver_status_interval: '1s',
            // A standby that finds no slot yet would wait 5 s.
            wal_retrieve_retry_interval: '200ms',
            // What is killed here is a process and not the machine: the page cache outlives it.
            fsync: 'off',
            ...options.settings,
          },
        },
      },
      initdb: [{ encoding: 'UTF8' }, { locale: 'C' }, 'no-sync'],
      pg_hba: [
        'host replication postgres 127.0.0.0/8 scram-sha-256',
        'host all all 127.0.0.0/8 scram-sha-256',
        'local all postgres trust',
      ],
    },
    postgresql: {
      listen: formatAddress(node.address),
      connect_address: formatAddress(node.address),
      data_dir: join(node.directory, 'data'),
      bin_dir: bin,
      pgpass: join(node.directory, 'pgpass'),
      authentication: { superuser: login, replication: login, rewind: login },
      parameters: { unix_socket_directories: node.directory },
      basebackup: [{ checkpoint: 'fast' }, 'no-sync'],
    },
    watchdog: { mode: 'off' },
  };
  mkdirSync(node.directory, { recursive: true, mode: 0o700 });
  writeFileSync(join(node.directory, 'patroni.json'), JSON.stringify(config, null, 2), { mode: 0o600 });
}
