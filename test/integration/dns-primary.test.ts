// A failover by DNS before real Redis servers: one name, which is moved to the replica that was promoted.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { type Address } from '../../src/core/address.ts';
import { DnsServer } from '../support/dns.ts';
import { runPointsman } from '../support/pointsman.ts';
import { RedisClient, replicatedRedis } from '../support/redis.ts';
import { OWN_LOOPBACK } from '../support/tcp-peers.ts';
import { until } from '../support/wait.ts';

/** The server as it is reached at another address, for both must have the same port. */
async function reachedAt(t: TestContext, at: Address, target: Address): Promise<void> {
  const forwarder = createServer(socket => {
    const onward = connect(target);
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
      one.pipe(other);
    }
  }).listen(at.port, at.host);
  t.after(() => forwarder.close());
  await once(forwarder, 'listening');
}

test('dns: a primary whose name moves is lost before the promoted server is the primary, and nobody writes to both', async t => {
  const [first, second] = await replicatedRedis(t, 1);
  assert.ok(second !== undefined);
  const port = await freePort();
  const [h1, h2] = [
    OWN_LOOPBACK,
    OWN_LOOPBACK.replace(/^127\.(\d+)/, (_, octet) => `127.${Number(octet) + 64}`),
  ];
  await reachedAt(t, { host: h1, port }, first.address);
  await reachedAt(t, { host: h2, port }, second.address);
  const dns = await DnsServer.start(t, { 'cache.internal': [h1] });
  const running = await runPointsman({
    dns: { servers: [dns.address], interval: '100ms' },
    frontends: { rw: { bind: '127.0.0.1:0', backend: 'cache', hold: '20s' } },
    backends: {
      cache: {
        protocol: 'redis',
        check: { interval: '100ms', settle: 0 },
        servers: { rw: `cache.internal:${port}` },
      },
    },
  });
  t.after(() => running.stop());
  const primaryAt = async (): Promise<string> => {
    const [backend] = (await running.state()).backends;
    return `${backend?.primary} ${backend?.servers[0]?.address} ${backend?.epoch}`;
  };
  await until('the first primary', async () => (await primaryAt()) === `rw ${h1}:${port} 1`);
  const writer = await RedisClient.connect(running.frontend('rw'));
  assert.equal(await writer.command('SET', 'before', '1'), 'OK');
  await until('the replica to have it', async () => (await second.command('GET', 'before')) === '1');

  await second.command('REPLICAOF', 'NO', 'ONE');
  await dns.set({ 'cache.internal': [h2] });
  await until('the old session to end', () => writer.lost);
  await until('the next primary', async () => (await primaryAt()) === `rw ${h2}:${port} 3`);
  const next = await RedisClient.connect(running.frontend('rw'));
  t.after(() => next.close());
  assert.equal(await next.command('SET', 'after', '2'), 'OK');
  assert.deepEqual(await second.command('MGET', 'before', 'after'), ['1', '2']);
  assert.deepEqual(await first.command('MGET', 'before', 'after'), ['1', null]);
});
