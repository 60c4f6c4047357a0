// Three real MariaDB servers that form a Galera cluster on loopback, for tests: bootstrapped, killed, rejoined.
// All start from one copy at one position, so that forming the cluster needs no transfer. Needs Debian's galera-4 and rsync.

import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../src/cli/demo/postgres-node.ts';
import { MariadbNode, type ServerOptions } from './mariadb.ts';
import { until } from './wait.ts';

const PROVIDER = '/usr/lib/galera/libgalera_smm.so';
/** Galera's own pace is seconds: a lost member is suspected after five. These are as quick as a busy machine allows. */
const TIMING = {
  'evs.keepalive_period': 'PT0.2S',
  'evs.inactive_check_period': 'PT0.1S',
  'evs.suspect_timeout': 'PT1S',
  'evs.inactive_timeout': 'PT3S',
  'evs.install_timeout': 'PT3S',
  // A lost connection to a dead neighbour is enough to ask at once.
  'evs.delayed_keep_period': 'PT1S',
} as const;

/** What a node says of itself; empty texts where it says nothing. */
export interface GaleraStatus {
  /** `ON`: it takes statements. */
  readonly ready: string;
  /** `Synced`, `Donor/Desynced`, `Joiner`, `Initialized` … */
  readonly state: string;
  /** `Primary`: it belongs to the part that has the quorum. */
  readonly component: string;
  /** How many members that part has. */
  readonly size: number;
}

export interface GaleraNode {
  readonly server: MariadbNode;
  readonly name: string;
  status(): Promise<GaleraStatus>;
  /** Resolves when it is synced. */
  start(extra?: ServerOptions): Promise<void>;
  /** Starts it after a kill: with what it has missed, or with a full copy from `donor`. */
  rejoin(how?: 'recovered' | { readonly donor: string }): Promise<void>;
  /** Tells it, alone and without quorum, that it is the cluster now. */
  bootstrap(): Promise<void>;
  untilSynced(): Promise<void>;
}

export interface GaleraCluster {
  readonly nodes: readonly [GaleraNode, GaleraNode, GaleraNode];
  dispose(): Promise<void>;
}

interface Ports {
  readonly group: number;
  readonly ist: number;
  readonly sst: number;
}

/** `n1`, `n2`, `n3`, all synced. */
export async function startGalera(): Promise<GaleraCluster> {
  assert.ok(existsSync(PROVIDER), `${PROVIDER} is missing; run: apt-get install mariadb-server galera-4`);
  const names = ['n1', 'n2', 'n3'] as const;
  const ports = await Promise.all(
    names.map(async () => ({ group: await freePort(), ist: await freePort(), sst: await freePort() })),
  );
  const members = ports.map(({ group }) => `127.0.0.1:${group}`);
  const created: MariadbNode[] = [];
  const dispose = async (): Promise<void> => {
    await Promise.all(created.splice(0).map(server => server.dispose()));
  };
  const create = async (index: number, copyOf?: MariadbNode): Promise<GaleraNode> => {
    const name = names[index] ?? '';
    const own = ports[index];
    assert.ok(own !== undefined);
    const options = optionsOf(name, own, members);
    const source = copyOf === undefined ? {} : { copyOf };
    const server = await MariadbNode.create({ name, serverId: index + 1, options, ...source });
    created.push(server);
    return nodeOf(name, server);
  };
  try {
    // A position in a cluster's history is written into the data by the first start as a member of one.
    const first = await create(0);
    await first.start({ 'wsrep-new-cluster': true });
    await first.server.stop();
    const [second, third] = [await create(1, first.server), await create(2, first.server)];
    // The view that they would have shared before a power cut: they find each other, and none has to send anything.
    const nodes = [first, second, third] as const;
    nodes.forEach(({ server }, index) => server.installFile('data/gvwstate.dat', viewOf(index)));
    await Promise.all(nodes.map(node => node.start()));
    return { nodes, dispose };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

function nodeOf(name: string, server: MariadbNode): GaleraNode {
  const status = async (): Promise<GaleraStatus> => {
    const rows = await server.sql<{ Variable_name: string; Value: string }>(
      "show status where variable_name in ('wsrep_ready', 'wsrep_local_state_comment', 'wsrep_cluster_status', 'wsrep_cluster_size')",
    );
    const value = (name: string): string => rows.find(row => row.Variable_name === name)?.Value ?? '';
    return {
      ready: value('wsrep_ready'),
      state: value('wsrep_local_state_comment'),
      component: value('wsrep_cluster_status'),
      size: Number(value('wsrep_cluster_size')),
    };
  };
  const untilSynced = (): Promise<unknown> =>
    until(`${name} to be synced`, async () => {
      assert.ok(server.running, `${name} ended:\n${server.logText().slice(-3000)}`);
      const { ready, state } = await status().catch(() => ({ ready: '', state: '' })); // not listening yet
      return ready === 'ON' && state === 'Synced';
    });
  /** Where its data ends, for a node that had no time to write that down. */
  const position = async (): Promise<ServerOptions> => {
    await server.start('spawned', { 'wsrep-recover': true });
    await until(`${name} to tell its position`, () => !server.running);
    const told = [...server.logText().matchAll(/Recovered position: (\S+)/g)].at(-1)?.[1];
    assert.ok(told !== undefined, `${name} told no position:\n${server.logText().slice(-3000)}`);
    return { 'wsrep-start-position': told };
  };
  const start = async (extra: ServerOptions = {}): Promise<void> => {
    await server.start('spawned', extra);
    await untilSynced();
  };
  return {
    name,
    server,
    status,
    untilSynced: async () => void (await untilSynced()),
    start,
    rejoin: async (how = 'recovered') => {
      if (how === 'recovered') return start(await position());
      // Without its place in the history of the cluster it needs all.
      rmSync(join(server.dataDirectory, 'grastate.dat'), { force: true });
      await start({ 'wsrep-sst-donor': how.donor });
    },
    bootstrap: async () => {
      await server.run("set global wsrep_provider_options = 'pc.bootstrap=1'");
      await untilSynced();
    },
  };
}

function optionsOf(name: string, own: Ports, members: readonly string[]): ServerOptions {
  const provider = {
    base_host: '127.0.0.1',
    'gmcast.listen_addr': `tcp://127.0.0.1:${own.group}`,
    'ist.recv_addr': `127.0.0.1:${own.ist}`,
    'gcache.size': '16M',
    ...TIMING,
  };
  return {
    'wsrep-on': 1,
    'wsrep-provider': PROVIDER,
    'wsrep-provider-options': Object.entries(provider)
      .map(([key, value]) => `${key}=${value}`)
      .join(';'),
    'wsrep-cluster-name': 'pointsman-test',
    'wsrep-cluster-address': `gcomm://${members.join(',')}`,
    'wsrep-node-name': name,
    'wsrep-node-address': '127.0.0.1',
    'wsrep-sst-method': 'rsync',
    'wsrep-sst-receive-address': `127.0.0.1:${own.sst}`,
    'innodb-autoinc-lock-mode': 2,
  };
}

function viewOf(index: number): string {
  const member = (at: number): string => `5fe2ab1c-0c4f-11f0-8de9-00000000000${at + 1}`;
  return [
    `my_uuid: ${member(index)}`,
    '#vwbeg',
    `view_id: 3 ${member(0)} 1`,
    'bootstrap: 0',
    ...[0, 1, 2].map(at => `member: ${member(at)} 0`),
    '#vwend',
    '',
  ].join('\n');
}
