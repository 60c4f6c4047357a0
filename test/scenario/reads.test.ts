// Readers of a primary and two replicas on real streaming replication: shares by weight, replicas that die and return, and
// cancel requests of PostgreSQL 18's long keys. Real servers, the built program, two workers.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { after, before, describe, test, type TestContext } from 'node:test';
import { Client } from 'pg';
import { type Address } from '../../src/core/address.ts';
import { embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { clientOptions, STAGE_PASSWORD, startPsql } from '../support/clients.ts';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { sslRequest } from '../support/tcp-packets.ts';
import { until } from '../support/wait.ts';

const WEIGHTS: Readonly<Record<string, number>> = { pg2: 100, pg3: 50 };
/** A database process is begun for each. */
const VISITS = 2_000;
const PARTS = 2;
const AT_ONCE = 16;
const SLOW_START_MS = 6000;

/** Asks a server whether it takes TLS, which a process of its own answers: the shortest visit there is. */
function visit({ host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    socket.once('connect', () => socket.write(sslRequest));
    socket.once('data', answer => {
      socket.end();
      if (answer.toString() === 'N') resolve();
      else reject(new Error(`answered ${answer.toString('hex')}`));
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed without an answer')));
  });
}

async function visits(at: Address, count: number): Promise<void> {
  let left = count;
  const one = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await visit(at);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, one));
}

/** How many connections each server has logged: its own word. */
const receivedBy = (nodes: readonly PostgresNode[]): readonly number[] =>
  nodes.map(node => node.logText().split('connection received').length - 1);

/** A hop that notes how long the cancel requests are that pass it. */
async function hopTo({ host, port }: Address, t: TestContext): Promise<{ at: Address; lengths: number[] }> {
  const lengths: number[] = [];
  const hop = createServer(client => {
    const onward = connect({ host, port });
    client.once('data', (first: Buffer) => {
      if (first.readUInt32BE(4) === 80_877_102) lengths.push(first.readUInt32BE(0));
    });
    for (const socket of [client, onward]) socket.on('error', () => undefined); // the other side sees an end
    client.pipe(onward).pipe(client);
  });
  hop.listen(0, '127.0.0.1');
  await once(hop, 'listening');
  t.after(() => hop.close());
  return { at: { host: '127.0.0.1', port: (hop.address() as AddressInfo).port }, lengths };
}

describe('readers of three servers', () => {
  let pg1: PostgresNode;
  let pg2: PostgresNode;
  let pg3: PostgresNode;
  let pointsman: PointsmanProcess;
  const nodes: PostgresNode[] = [];

  before(async () => {
    pg1 = await PostgresNode.create({
      name: 'pg1',
      binaries: embeddedBinaries(),
      password: STAGE_PASSWORD,
      settings: { max_connections: '300', log_connections: 'receipt' },
    });
    nodes.push(pg1);
    for (const name of ['pg2', 'pg3']) nodes.push(await PostgresNode.cloneAsStandby(pg1, { name }));
    [, pg2, pg3] = nodes as [PostgresNode, PostgresNode, PostgresNode];
    for (const node of nodes) await node.start();
    const server = (node: PostgresNode) => ({
      address: `127.0.0.1:${node.port}`,
      ...(node === pg1 ? {} : { weight: WEIGHTS[node.name] }),
    });
    pointsman = await runPointsman({
      engine: { workers: 2 },
      frontends: {
        ro: {
          ...{ bind: '127.0.0.1:0', backend: 'app', route: 'replica-or-primary' },
          ...{ balance: 'roundrobin', max_lag: '10s' },
        },
        sync: { bind: '127.0.0.1:0', backend: 'app', route: 'replica', synchronous_only: true, hold: '60s' },
      },
      backends: {
        app: {
          protocol: 'postgres',
          check: { user: 'postgres', password: STAGE_PASSWORD, reconnect_interval: 0, timeout: '20s' },
          slow_start: `${SLOW_START_MS}ms`,
          servers: Object.fromEntries(nodes.map(node => [node.name, server(node)])),
        },
      },
    });
    await replicating('pg2', 'pg3');
  });
  after(async () => {
    await pointsman?.stop();
    for (const node of nodes) await node.dispose();
  });

  const replicating = (...names: string[]): Promise<unknown> =>
    until(`${names.join(' and ')} to replicate`, async () => {
      const [backend] = (await pointsman.state()).backends;
      const streams = (name: string): boolean =>
        backend?.servers.find(server => server.name === name)?.replicating === true;
      return backend?.primary === 'pg1' && names.every(streams);
    });

  /** Of so many new connections, the part that each replica got. */
  async function shares(count: number): Promise<readonly number[]> {
    const earlier = receivedBy([pg2, pg3]);
    await visits(pointsman.frontend('ro'), count);
    return receivedBy([pg2, pg3]).map((received, index) => (received - (earlier[index] ?? 0)) / count);
  }

  async function session(through = 'ro'): Promise<{ client: Client; port: number; lost: () => boolean }> {
    const client = new Client(clientOptions(pointsman.frontend(through)));
    let lost = false;
    client.on('error', () => (lost = true));
    await client.connect();
    const { rows } = await client.query<{ port: number }>('select inet_server_port() as port');
    return { client, port: rows[0]?.port ?? 0, lost: () => lost };
  }

  // In parts, so that a slow machine is seen to get on.
  const part = VISITS / PARTS;
  const spread: number[] = [0, 0, 0];
  for (let index = 1; index <= PARTS; index += 1) {
    test(`connections up to ${index * part} of ${VISITS} are spread by the weights, within 2 %`, async () => {
      const earlier = receivedBy(nodes);
      await visits(pointsman.frontend('ro'), part);
      receivedBy(nodes).forEach((count, i) => (spread[i] = (spread[i] ?? 0) + count - (earlier[i] ?? 0)));
      const [atPrimary = 0, ...atReplicas] = spread;
      assert.equal(atPrimary, 0);
      const weights = Object.values(WEIGHTS);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      atReplicas.forEach((count, i) => {
        const expected = (index * part * (weights[i] ?? 0)) / total;
        assert.ok(Math.abs(count - expected) <= 0.02 * expected, `${count} for ${expected}`);
      });
    });
  }

  test('synchronous_only: the replica that commits wait for, and nobody while they wait for none', async () => {
    const waitFor = async (names: string): Promise<void> => {
      await pg1.query(`alter system set synchronous_standby_names = '${names}'`);
      await pg1.query('select pg_reload_conf()');
    };
    const early = session('sync');
    const held = async (): Promise<number | undefined> =>
      (await pointsman.state()).frontends.find(({ name }) => name === 'sync')?.held;
    await until('the first to wait', async () => (await held()) === 1);
    await waitFor('pg3');
    assert.equal((await early).port, pg3.port);
    await waitFor('pg2');
    await until('readers to go to pg2', async () => {
      const { client, port } = await session('sync');
      await client.end();
      return port === pg2.port;
    });
    const reader = await early;
    assert.equal(reader.lost(), false, 'whoever reads at the other goes on');
    await reader.client.end();
    await waitFor('');
  });

  test('psql of PostgreSQL 18: Ctrl-C with a long key cancels at the replica, from whichever worker', async t => {
    const { at, lengths } = await hopTo(pointsman.frontend('ro'), t);
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const PGAPPNAME = `sleeper-${attempt}`;
      const { child, ended } = startPsql(at, 'select pg_sleep(30)', {
        env: { ...embeddedBinaries().env, PGMAXPROTOCOLVERSION: 'latest', PGAPPNAME },
      });
      t.after(() => child.kill('SIGKILL'));
      await until('it to sleep on a replica', async () => {
        for (const node of [pg2, pg3]) {
          const sql = "select from pg_stat_activity where application_name = $1 and wait_event = 'PgSleep'";
          if ((await node.query(sql, [PGAPPNAME])).length > 0) return true;
        }
        return false;
      });
      child.kill('SIGINT');
      assert.match((await ended).stderr, /57014: canceling statement due to user request/);
    }
    assert.deepEqual(lengths, Array<number>(4).fill(12 + 32), 'PostgreSQL 18 gives keys of 32 bytes');
  });

  test('a replica dies: its own sessions end and no other; both die: reads go on; they return: gradually', async () => {
    const sessions = await Promise.all(Array.from({ length: 18 }, () => session()));
    const on = (node: PostgresNode) => sessions.filter(({ port }) => port === node.port);
    assert.ok(on(pg2).length > 0 && on(pg3).length > 0 && on(pg1).length === 0);

    await pg2.kill();
    await until('its sessions to end', () => on(pg2).every(({ lost }) => lost()));
    assert.ok(on(pg3).every(({ lost }) => !lost()));
    for (const { client } of on(pg3)) await client.query('select 1');
    assert.deepEqual(await shares(50), [0, 1]);

    await pg3.kill();
    await until('the others to end', () => on(pg3).every(({ lost }) => lost()));
    const stranded = await session();
    assert.equal(stranded.port, pg1.port, 'the primary stands in');

    await pg3.start();
    await replicating('pg3');
    await until('readers to go to pg3', async () => {
      const reader = await session();
      await reader.client.end();
      return reader.port === pg3.port;
    });
    assert.equal(stranded.lost(), false, 'who was given the primary keeps it');
    const grown = performance.now() + SLOW_START_MS;
    await until('pg3 to have its weight', () => performance.now() > grown);

    await pg2.start();
    await replicating('pg2');
    const upAt = performance.now();
    const [early = 1] = await shares(100);
    const earlyMs = performance.now() - upAt;
    // A tenth of its weight at first, and what it has grown to by the end of the visits: of 2 : 1 it is to get two thirds.
    const weightThen = (WEIGHTS['pg2'] ?? 0) * Math.min(1, 0.1 + (0.9 * earlyMs) / SLOW_START_MS);
    assert.ok(
      early <= weightThen / (weightThen + (WEIGHTS['pg3'] ?? 0)) + 0.1,
      `${early} after ${earlyMs} ms`,
    );
    const fullAt = upAt + SLOW_START_MS;
    await until('pg2 to have its weight', () => performance.now() > fullAt);
    const [late = 0] = await shares(300);
    assert.ok(Math.abs(late - 2 / 3) < 0.03, `${late}`);
    for (const { client } of [...sessions, stranded]) await client.end().catch(() => undefined); // most are dead
  });
});
