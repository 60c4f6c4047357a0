// Redis without Sentinel behind the built Pointsman: a primary that is restarted in place, and a replica promoted by hand.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress } from '../../src/core/address.ts';
import { runPointsman } from '../support/pointsman.ts';
import { RedisClient, RedisNode, replicatedRedis, type RedisNode as Node } from '../support/redis.ts';
import { until } from '../support/wait.ts';

const configOf = (nodes: readonly Node[], check: object) => ({
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

test('redis without Sentinel: a primary restarted empty in place gets writers when it has settled, and no sooner', async t => {
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

test('redis without Sentinel: a promoted replica takes over at once, and the old primary gets nothing', async t => {
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
