// Limits as an operator sees them: the built program before real PostgreSQL with a limit of its own, and two processes that
// share a rate through a real Redis, which is killed and frozen in mid-load.

import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { Client } from 'pg';
import { embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { type Address } from '../../src/core/address.ts';
import { DnsServer } from '../support/dns.ts';
import { pace } from '../support/pace.ts';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { RedisNode } from '../support/redis.ts';
import { sleep, until } from '../support/wait.ts';

const bind = '127.0.0.1:0';

async function run(t: TestContext, config: object): Promise<PointsmanProcess> {
  const pointsman = await runPointsman(config);
  t.after(() => pointsman.stop());
  return pointsman;
}

/** The value of a metric without labels that matter. */
const metric = async (pointsman: PointsmanProcess, name: string): Promise<number> =>
  Number(new RegExp(`^pointsman_${name}\\{[^}]*\\} (\\S+)$`, 'm').exec(await pointsman.metrics())?.[1]);

/** Forty clients, each with a session for a moment. */
async function share(t: TestContext, config: object, server: string): Promise<void> {
  const pointsman = await run(t, {
    frontends: { app: { bind, backend: 'app', hold: '60s' } },
    ...config,
  });
  await until('the primary', async () => (await pointsman.state()).backends[0]?.primary === server);
  let most = 0;
  const work = async (number: number): Promise<void> => {
    const client = new Client({
      ...pointsman.frontend('app'),
      user: 'postgres',
      database: 'postgres',
      application_name: `limited-${number}`,
    });
    await client.connect();
    const { rows } = await client.query<{ here: number }>(
      "SELECT count(*)::int AS here FROM pg_stat_activity WHERE application_name LIKE 'limited-%'",
    );
    most = Math.max(most, rows[0]?.here ?? 0);
    await client.query('SELECT pg_sleep(0.02)');
    await client.end();
  };
  await Promise.all(Array.from({ length: 40 }, (_, number) => work(number)));
  assert.ok(most >= 2 && most <= 5, `${most} at once`);
  const { backends } = await pointsman.state();
  assert.equal(backends[0]?.servers[0]?.max_connections, 5);
  assert.equal(await metric(pointsman, 'server_connections_max'), 5);
}

async function postgres(t: TestContext): Promise<PostgresNode> {
  const node = await PostgresNode.create({ name: 'pg1', binaries: embeddedBinaries() });
  t.after(() => node.dispose());
  await node.start();
  return node;
}

test('limits: 40 clients share the 5 connections that a PostgreSQL server may have: all are served, none is refused', async t => {
  const node = await postgres(t);
  const servers = { pg1: { address: `127.0.0.1:${node.port}`, max_connections: 5 } };
  const app = { protocol: 'postgres', check: { user: 'postgres' }, servers };
  await share(t, { backends: { app } }, 'pg1');
});

test('limits: a server that is learned has the limit of its backend’s servers', async t => {
  const node = await postgres(t);
  const dns = await DnsServer.start(t, { 'db.internal': ['127.0.0.1'] });
  const app = {
    protocol: 'postgres',
    check: { user: 'postgres' },
    dns: { name: 'db.internal', port: node.port },
    max_connections_per_server: 5,
  };
  await share(t, { dns: { servers: [dns.address] }, backends: { app } }, 'postgres-1');
});

interface Load {
  readonly served: number;
  /** From the attempt to the server's first byte, of those that were served. */
  readonly longestMs: number;
}

/** One try after the other, as fast as they are answered or refused, for `forMs`. */
async function hammer(at: Address, forMs: number, lanes = 4): Promise<Load> {
  const end = performance.now() + forMs;
  let served = 0;
  let longestMs = 0;
  const attempt = (): Promise<void> =>
    new Promise(resolve => {
      const startedAt = performance.now();
      const socket = connect(at);
      socket.on('error', () => undefined); // refused
      socket.once('data', () => {
        served += 1;
        longestMs = Math.max(longestMs, performance.now() - startedAt);
        socket.destroy();
      });
      socket.once('close', () => resolve());
    });
  const lane = async (): Promise<void> => {
    while (performance.now() < end) {
      await attempt();
      await sleep(5);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { served, longestMs };
}

const RATE = 20;
const BURST = 20;
/** No client waits for Redis; this is what a busy machine may make of it. */
const WAIT_MAX_MS = 1000 * pace;

test('limits: two processes share a rate through Redis; killed and frozen it makes nobody wait, and is used again', async t => {
  const greeter = createServer(socket => {
    socket.on('error', () => undefined); // probes reset
    socket.write('hi');
  });
  await new Promise<void>(resolve => greeter.listen(0, '127.0.0.1', resolve));
  t.after(() => greeter.close());
  const redis = await RedisNode.create(t, { directives: { requirepass: 'of-this-test' } });
  await redis.start();
  const config = {
    rate_limit_store: { redis: { address: `127.0.0.1:${redis.port}`, password: 'of-this-test' } },
    frontends: {
      app: {
        bind,
        backend: 'app',
        route: 'any',
        rate_limit: { per_ip: `${RATE}/s`, burst: BURST, shared: true },
      },
    },
    backends: {
      app: { protocol: 'tcp', servers: { s1: `127.0.0.1:${(greeter.address() as AddressInfo).port}` } },
    },
  };
  const both = [await run(t, config), await run(t, config)] as const;
  const isUp = async (up: 0 | 1): Promise<boolean> => {
    const values = await Promise.all(both.map(pointsman => metric(pointsman, 'rate_limit_store_up')));
    return values.every(value => value === up);
  };
  const load = async (forMs: number): Promise<Load> => {
    const [one, other] = await Promise.all(both.map(each => hammer(each.frontend('app'), forMs)));
    assert.ok(one !== undefined && other !== undefined);
    return { served: one.served + other.served, longestMs: Math.max(one.longestMs, other.longestMs) };
  };
  for (const pointsman of both) {
    await until('the server', async () => (await pointsman.state()).backends[0]?.servers[0]?.health === 'up');
  }
  await until('the store', () => isUp(1));

  const startedAt = performance.now();
  const shared = await load(5000);
  const seconds = (performance.now() - startedAt) / 1000;
  const most = RATE * (seconds + 0.2) + 2 * BURST;
  t.diagnostic(
    `shared: ${shared.served} in ${seconds.toFixed(1)} s, longest ${shared.longestMs.toFixed(0)} ms`,
  );
  assert.ok(shared.served <= most, `${shared.served} of at most ${most}`);
  assert.ok(shared.served >= RATE * 3, `${shared.served} are far too few`);

  for (const [how, end, back] of [
    ['killed', () => redis.stop('SIGKILL'), () => redis.start()],
    ['frozen', async () => redis.signal('SIGSTOP'), async () => redis.signal('SIGCONT')],
  ] as const) {
    const loaded = load(4000);
    await sleep(500);
    await end();
    const { served, longestMs } = await loaded;
    t.diagnostic(`${how} in mid-load: ${served} served, longest ${longestMs.toFixed(0)} ms`);
    assert.ok(longestMs <= WAIT_MAX_MS, `somebody waited ${longestMs} ms`);
    assert.ok(served >= RATE * 3, `${served}: each process limits by itself`);
    await until('it to be missed', () => isUp(0));
    assert.ok((await metric(both[0], 'rate_limit_store_errors_total')) > 0);
    await back();
    await until('it to be found again', () => isUp(1));
  }
});
