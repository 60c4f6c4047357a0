// Three real MariaDB servers that form a Galera cluster on loopback, for tests: bootstrapped, killed, rejoined.
// All start from one copy at one position, so that forming the cluster needs no transfer. Needs Debian's galera-4 and rsync.

import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { MariadbNode, type ServerOptions } from './mariadb.ts';
import { until } from './wait.ts';

const PROVIDER = '/usr/lib/galera/libgalera_smm.so';
/** Galera's own pace is seconds: a lost member is suspected after five. These are as quick as a busy machine allows. */
const TIMING = {
  'evs.keepalive_period': 'PT0.2S',
  'evs.inactive_check_period': 'PT0.1S',
  'evs.suspect_timeout': 'PT1.2S',
  'evs.inactive_timeout': 'PT4S',
  'evs.install_timeout': 'PT4S',
} as const;

export interface GaleraNode {
  readonly server: MariadbNode;
  readonly name: string;
  /** Starts it anew with a full copy from `donor`, and resolves when it is synced. */
  rejoin(donor: string): Promise<void>;
  /** Tells it, alone and without quorum, that it is the cluster now. */
  bootstrap(): Promise<void>;
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

const START_MAX_MS = 30_000;
/** On a machine that is busy with other things, members sometimes miss each other for good. */
const FORM_MAX_MS = 12_000;

/** `n1`, `n2`, `n3`, all synced. */
export async function startGalera(): Promise<GaleraCluster> {
  assert.ok(existsSync(PROVIDER), `${PROVIDER} is missing; run: apt-get install mariadb-server galera-4`);
  return form(FORM_MAX_MS).catch(() => form(START_MAX_MS));
}

async function form(deadlineMs: number): Promise<GaleraCluster> {
  const names = ['n1', 'n2', 'n3'] as const;
  const ports = await Promise.all(
    names.map(async () => ({ group: await freePort(), ist: await freePort(), sst: await freePort() })),
  );
  const members = ports.map(({ group }) => `127.0.0.1:${group}`);
  const created: MariadbNode[] = [];
  const dispose = async (): Promise<void> => {
    await Promise.all(created.splice(0).map(server => server.dispose()));
  };
  const create = async (index: number, copyOf?: MariadbNode): Promise<MariadbNode> => {
    const name = names[index] ?? '';
    const own = ports[index];
    assert.ok(own !== undefined);
    const options = optionsOf(name, own, members);
    const source = copyOf === undefined ? {} : { copyOf };
    const server = await MariadbNode.create({ name, serverId: index + 1, options, ...source });
    created.push(server);
    return server;
  };
  try {
    // A position in a cluster's history is written into the data by the first start as a member of one.
    const first = await create(0);
    await startSynced(first, { 'wsrep-new-cluster': true });
    await first.stop();
    const servers = [first, await create(1, first), await create(2, first)] as const;
    // The view that they would have shared before a power cut: they find each other, and none has to send anything.
    servers.forEach((server, index) => server.installFile('data/gvwstate.dat', viewOf(index)));
    await Promise.all(servers.map(server => startSynced(server, {}, deadlineMs)));
    const [n1, n2, n3] = servers;
    return { nodes: [nodeOf(n1), nodeOf(n2), nodeOf(n3)], dispose };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

async function startSynced(
  server: MariadbNode,
  extra: ServerOptions = {},
  deadlineMs?: number,
): Promise<void> {
  await server.start('spawned', extra);
  await untilSynced(server, deadlineMs);
}

async function untilSynced(server: MariadbNode, deadlineMs = START_MAX_MS): Promise<void> {
  const isSynced = async (): Promise<boolean> => {
    assert.ok(server.running, `${server.name} ended:\n${server.logText().slice(-3000)}`);
    const status = "show status where variable_name in ('wsrep_ready', 'wsrep_local_state_comment')";
    const rows = await server.sql<{ Value: string }>(status).catch(() => []); // not listening yet
    const values = rows.map(({ Value }) => Value);
    return values.includes('ON') && values.includes('Synced');
  };
  await until(`${server.name} to be synced`, isSynced, { deadlineMs });
}

function nodeOf(server: MariadbNode): GaleraNode {
  return {
    name: server.name,
    server,
    async rejoin(donor) {
      // Without its place in the history of the cluster it needs all.
      rmSync(join(server.dataDirectory, 'grastate.dat'), { force: true });
      await startSynced(server, { 'wsrep-sst-donor': donor });
    },
    async bootstrap() {
      await server.run("set global wsrep_provider_options = 'pc.bootstrap=1'");
      await untilSynced(server);
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
