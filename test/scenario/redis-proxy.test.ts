// Redis' own programs through the proxy, unchanged, on both drivers; and a primary without Sentinel that is restarted in place.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { formatAddress } from '../../src/core/address.ts';
import { runPointsman } from '../support/pointsman.ts';
import { RedisClient, RedisNode, replicatedRedis, type RedisNode as Node } from '../support/redis.ts';
import { until } from '../support/wait.ts';

const run = promisify(execFile);

const configOf = (nodes: readonly Node[], check: object, engine: object = {}) => ({
  engine,
  frontends: {
    rw: { bind: '127.0.0.1:0', backend: 'cache', route: 'primary' },
    ro: { bind: '127.0.0.1:0', backend: 'cache', route: 'replica' },
  },
  backends: {
    cache: {
      protocol: 'redis',
      check,
      servers: Object.fromEntries(nodes.map(({ address }, index) => [`r${index}`, formatAddress(address)])),
    },
  },
});

for (const driver of ['net', 'kernel']) {
  test(`redis proxy: redis-cli and redis-benchmark work through the ${driver} driver`, async t => {
    const directives = { requirepass: 'sesame', masterauth: 'sesame' };
    const [primary, replica] = [
      await RedisNode.create(t, { directives }),
      await RedisNode.create(t, { directives }),
    ];
    await Promise.all([primary.start(), replica.start()]);
    const direct = await RedisClient.connect(replica.address);
    t.after(() => direct.close());
    await direct.command('AUTH', 'sesame');
    await direct.command('REPLICAOF', '127.0.0.1', String(primary.port));
    const pointsman = await runPointsman(configOf([primary, replica], { password: 'sesame' }, { driver }));
    t.after(() => pointsman.stop());
    const to = (frontend: string): string[] => [
      ...['-h', '127.0.0.1', '-p', String(pointsman.frontend(frontend).port), '-a', 'sesame'],
      '--no-auth-warning',
    ];
    const cli = async (frontend: string, ...args: string[]): Promise<string> =>
      (await run('redis-cli', [...to(frontend), ...args])).stdout.trim();
    assert.equal(await cli('rw', 'SET', 'greeting', 'hello'), 'OK');
    await until('the replica to have it', async () => (await cli('ro', 'GET', 'greeting')) === 'hello');
    assert.match(await cli('ro', 'SET', 'a', 'b'), /^READONLY/);
    assert.match(await cli('rw', '-3', 'HELLO'), /proto/);
    const args = to('rw').filter(arg => arg !== '--no-auth-warning');
    const { stdout } = await run('redis-benchmark', [
      ...args,
      '-t',
      'set,get',
      '-n',
      '20000',
      '-c',
      '20',
      '-P',
      '8',
      '-q',
    ]);
    assert.match(stdout, /SET: [\d.]+ requests per second[\s\S]*GET: [\d.]+ requests per second/);
    assert.doesNotMatch(stdout, /rror/);
  });
}

test('redis proxy: without Sentinel a primary restarted empty in place gets writers when it has settled, and no sooner', async t => {
  const SETTLE_MS = 1000;
  const node = await RedisNode.create(t);
  await node.start();
  const pointsman = await runPointsman(configOf([node], { settle: `${SETTLE_MS}ms` }));
  t.after(() => pointsman.stop());
  const write = async (): Promise<unknown> => {
    const client = await RedisClient.connect(pointsman.frontend('rw'));
    t.after(() => client.close());
    return client.command('SET', 'a', '1');
  };
  assert.equal(await write(), 'OK', 'at the start it is believed at once');
  await node.stop('SIGKILL');
  await node.start();
  const startedAt = performance.now();
  assert.equal(await write(), 'OK');
  const waited = performance.now() - startedAt;
  assert.ok(waited > SETTLE_MS - 100, `only ${waited} ms`);
  assert.ok(waited < SETTLE_MS + 3000, `${waited} ms`);
});

test('redis proxy: without Sentinel a promoted replica takes over at once, and the old primary gets nothing', async t => {
  const nodes = await replicatedRedis(t, 2);
  const [old, heir, other] = nodes as readonly [Node, Node, Node];
  const pointsman = await runPointsman(configOf(nodes, { settle: '1h' }));
  t.after(() => pointsman.stop());
  const write = async (key: string): Promise<unknown> => {
    const client = await RedisClient.connect(pointsman.frontend('rw'));
    t.after(() => client.close());
    return client.command('SET', key, '1');
  };
  assert.equal(await write('before'), 'OK');
  await until(
    'both replicas to have it',
    async () => (await heir.command('GET', 'before')) && other.command('GET', 'before'),
  );
  await old.stop('SIGKILL');
  await old.start();
  const held = write('after');
  await heir.command('REPLICAOF', 'NO', 'ONE');
  await other.follow(heir);
  assert.equal(await held, 'OK');
  assert.equal(await heir.command('GET', 'after'), '1');
  assert.equal(await old.command('DBSIZE'), 0);
  await until('the word on the old one', async () => {
    const [cache] = (await pointsman.state()).backends;
    return /r0 is refused: it has nothing of the history/.test(cache?.reasons.join() ?? '');
  });
  assert.equal(await old.command('DBSIZE'), 0);
});
