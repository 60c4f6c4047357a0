// Switchovers by `pointsman switchover` on real clusters of pg_auto_failover and Patroni, under fifty pooled clients of short
// transactions: they wait, and see no errors.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Client } from 'pg';
import { type WriterTarget } from '../../src/cli/demo/ledger-writer.ts';
import { formatAddress } from '../../src/core/address.ts';
import { startPatroniCluster } from '../support/patroni-cluster.ts';
import { PgafCluster } from '../support/pgaf-cluster.ts';
import { PooledClients } from '../support/pooled-clients.ts';
import { pointsman, runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { until } from '../support/wait.ts';

const USERS = 50;
const TOKEN = 'only-for-this-test';

async function ask(target: WriterTarget, sql: string): Promise<unknown[]> {
  const client = new Client(target);
  await client.connect();
  const { rows } = await client.query<Record<string, unknown>>(sql);
  await client.end();
  return rows;
}

async function primaryOf(run: PointsmanProcess): Promise<string | null> {
  return (await run.state()).backends[0]?.primary ?? null;
}

/** Has an application at work, moves the primary by the command, and looks what the application saw of it. */
async function moves(t: TestContext, run: PointsmanProcess, through: WriterTarget): Promise<void> {
  await until('a primary', async () => (await primaryOf(run)) !== null);
  await ask(through, 'create table deeds (usr int, seq int, primary key (usr, seq))');
  const clients = new PooledClients(through, USERS);
  try {
    await moveUnder(clients, t, run);
  } finally {
    await clients.stop();
  }
  const rows = (await ask(through, 'select usr as "user", seq from deeds')) as {
    user: number;
    seq: number;
  }[];
  const known = new Set(rows.map(({ user, seq }) => `${user} ${seq}`));
  const missing = clients.acknowledged.filter(({ user, seq }) => !known.has(`${user} ${seq}`));
  assert.deepEqual(missing, [], 'every acknowledged transaction is there');
}

async function moveUnder(clients: PooledClients, t: TestContext, run: PointsmanProcess): Promise<void> {
  const before = await primaryOf(run);
  const users = (): number => new Set(clients.acknowledged.map(({ user }) => user)).size;
  // Logins that are under way at that moment are no part of the question: a pool makes them at its start.
  await until('all to be at work', () => users() === USERS && clients.acknowledged.length > 5 * USERS);
  const written = clients.acknowledged.length;
  const startedAt = performance.now();
  const { code, stdout, stderr } = await pointsman(['switchover', 'app', '--url', run.admin], {
    POINTSMAN_TOKEN: TOKEN,
  });
  t.diagnostic(`${Math.round(performance.now() - startedAt)} ms: ${stdout}${stderr}`);
  assert.equal(code, 0, stdout + stderr);
  const after = await primaryOf(run);
  assert.ok(after !== null && after !== before, `${before} is still the primary`);
  const moved = clients.acknowledged.length;
  await until('all to write again', () => clients.acknowledged.length > moved + 2 * USERS);
  const { slowestMs, idleEnded } = clients;
  t.diagnostic(
    `${written} transactions before, ${clients.acknowledged.length} in all; the slowest took ${Math.round(slowestMs)} ms; ${idleEnded} connections ended while they rested`,
  );
  assert.deepEqual(clients.errors, []);
  assert.match(stdout, /sessions closed between two transactions\n/, 'none amid one');
}

test('switchover: pg_auto_failover, fifty pooled clients wait', { timeout: 120_000 }, async t => {
  const cluster = await PgafCluster.start({ nodes: 2 });
  t.after(() => cluster.dispose());
  const { monitor, nodes } = cluster;
  const run = await runPointsman({
    engine: { driver: 'kernel', workers: 2 },
    admin: { bind: '127.0.0.1:0', token: TOKEN },
    frontends: { rw: { bind: '127.0.0.1:0', backend: 'app', hold: '30s' } },
    backends: {
      app: {
        protocol: 'postgres',
        check: { user: 'postgres' },
        pg_auto_failover: { monitor: formatAddress(monitor.address) },
        servers: Object.fromEntries(nodes.map(({ name, address }) => [name, formatAddress(address)])),
      },
    },
    runbooks: {
      app: {
        steps: { perform: { exec: [...cluster.switchoverCommand()], env: cluster.commandEnvironment() } },
        switchover: { steps: ['perform'] },
      },
    },
  });
  t.after(() => run.stop());
  await moves(t, run, cluster.target(run.frontend('rw')));
});

test('switchover: Patroni, fifty pooled clients wait', { timeout: 120_000 }, async t => {
  const cluster = await startPatroniCluster({ settings: { max_connections: 200 } });
  t.after(() => cluster.dispose());
  const { nodes, password } = cluster;
  const run = await runPointsman({
    engine: { driver: 'net' },
    admin: { bind: '127.0.0.1:0', token: TOKEN },
    frontends: { rw: { bind: '127.0.0.1:0', backend: 'app', hold: '30s' } },
    backends: {
      app: {
        protocol: 'postgres',
        check: { user: 'postgres', password },
        patroni: { addresses: nodes.map(({ rest }) => formatAddress(rest)) },
        servers: Object.fromEntries(nodes.map(({ name, address }) => [name, formatAddress(address)])),
      },
    },
    runbooks: {
      app: {
        steps: {
          'ask-patroni': {
            http: {
              url: `http://{{from.host}}:${nodes[0]?.rest.port}/switchover`,
              method: 'POST',
              headers: { 'content-type': 'application/json' },
              body: '{"leader":"{{from}}"}',
            },
          },
        },
        switchover: { steps: ['ask-patroni'] },
      },
    },
  });
  t.after(() => run.stop());
  await moves(t, run, cluster.target(run.frontend('rw')));
});
