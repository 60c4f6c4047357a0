// Redis under Sentinel behind the whole program, on both drivers: the primary is killed under writers and comes back empty,
// calling itself primary. One cluster, two Pointsman: one is told the servers, the other learns them from the Sentinels.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { pace } from '../support/pace.ts';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { RedisClient, RedisNode, replicatedRedis, sentinelsOf, type SentinelNode } from '../support/redis.ts';
import { sleep, until } from '../support/wait.ts';

const WRITE_EVERY_MS = 2;

interface Writer {
  /** When each acknowledged write was acknowledged. */
  readonly acknowledged: number[];
  readonly errors: string[];
  stop(): Promise<void>;
}

/** Writes a key after the other, and connects anew whenever the connection is lost. */
function startWriter(address: Address, prefix: string): Writer {
  const acknowledged: number[] = [];
  const errors: string[] = [];
  let ended = false;
  const run = async (): Promise<void> => {
    let client: RedisClient | null = null;
    for (let n = 0; !ended; n += 1) {
      try {
        client ??= await RedisClient.connect(address);
        await client.command('SET', `${prefix}-${n}`, 'x');
        acknowledged.push(performance.now());
        await sleep(WRITE_EVERY_MS);
      } catch (thrown) {
        errors.push((thrown as Error).message);
        client?.close();
        client = null;
      }
    }
    client?.close();
  };
  const done = run();
  return {
    acknowledged,
    errors,
    async stop() {
      ended = true;
      await done;
    },
  };
}

async function switches(
  t: TestContext,
  sentinels: readonly SentinelNode[],
): Promise<() => readonly number[]> {
  const ears = await Promise.all(sentinels.map(({ address }) => RedisClient.connect(address)));
  t.after(() => ears.forEach(ear => ear.close()));
  await Promise.all(ears.map(ear => ear.command('SUBSCRIBE', '+switch-master')));
  return () => ears.flatMap(({ messages }) => messages.map(({ at }) => at)).sort((a, b) => a - b);
}

const backend = (sentinels: readonly SentinelNode[], servers: object) => ({
  frontends: {
    rw: { bind: '127.0.0.1:0', backend: 'cache', route: 'primary' },
    ro: { bind: '127.0.0.1:0', backend: 'cache', route: 'replica' },
  },
  backends: {
    cache: {
      protocol: 'redis',
      sentinel: { addresses: sentinels.map(({ address }) => formatAddress(address)), master: 'mymaster' },
      ...servers,
    },
  },
});

const primaryOf = async (pointsman: PointsmanProcess): Promise<string | undefined> => {
  const [cache] = (await pointsman.state()).backends;
  return cache?.servers.find(({ name }) => name === cache.primary)?.address;
};

test('redis under Sentinel: a killed primary is followed at once, and gets nothing when it comes back empty', async t => {
  const nodes = await replicatedRedis(t, 2);
  const [old] = nodes;
  const sentinels = await sentinelsOf(t, { primary: old, quorum: 2, count: 3, replicas: 2 });
  const servers = Object.fromEntries(
    nodes.map(({ address }, index) => [`r${index}`, formatAddress(address)]),
  );
  const runs = await Promise.all([
    runPointsman({ engine: { driver: 'net' }, ...backend(sentinels, { servers }) }),
    runPointsman({ engine: { driver: 'kernel', workers: 2 }, ...backend(sentinels, {}) }),
  ]);
  t.after(() => Promise.all(runs.map(run => run.stop())));
  for (const run of runs) {
    await until(
      'the primary to be elected',
      async () => (await primaryOf(run)) === formatAddress(old.address),
    );
  }
  const switched = await switches(t, sentinels);
  const writers = runs.map((run, index) => startWriter(run.frontend('rw'), `w${index}`));
  t.after(() => Promise.all(writers.map(writer => writer.stop())));
  await until('writes', () => writers.every(({ acknowledged }) => acknowledged.length > 50));

  const killedAt = performance.now();
  await old.stop('SIGKILL');
  await until('the Sentinels to give it up', async () => {
    const state = await sentinels[0]?.command('SENTINEL', 'MASTER', 'mymaster');
    return String(state).includes('s_down');
  });
  await old.start(); // empty, and a primary by its own word
  await until('the Sentinels to switch', () => switched().length === 3);
  const after = (at: number) => (ats: readonly number[]) => ats.find(time => time > at);
  const firstSwitch = switched()[0] ?? 0;
  await until('writes to resume', () =>
    writers.every(({ acknowledged }) => after(firstSwitch + 50)(acknowledged)),
  );
  const resumed = writers.map(({ acknowledged }) => after(killedAt + 50)(acknowledged) ?? Infinity);
  for (const [index, at] of resumed.entries()) {
    t.diagnostic(
      `${index === 0 ? 'net' : 'kernel'}: switch after ${(firstSwitch - killedAt).toFixed(0)} ms, writes ${(at - firstSwitch).toFixed(0)} ms after the switch`,
    );
    assert.ok(at - firstSwitch < 1000 * pace, `writes resumed ${at - firstSwitch} ms after the switch`);
  }

  // For 8 s and more the Sentinels leave it as it is.
  let master = 0;
  const watched = until(
    'the old primary to be told that it is a replica',
    async () => {
      const info = await old.info();
      if (info.get('role') !== 'master') return true;
      const stats = await old.info('commandstats');
      assert.equal(stats.get('cmdstat_set'), undefined, 'a write went to the old primary');
      assert.equal(await old.command('DBSIZE'), 0);
      master += 1;
      return false;
    },
    { everyMs: 100 },
  );

  // A member that joins later, learned when the Sentinels next ask the new primary.
  const elected = await primaryOf(runs[0] as PointsmanProcess);
  const heir = nodes.find(({ address }) => formatAddress(address) === elected) as RedisNode;
  const joiner = await RedisNode.create(t);
  await joiner.start();
  await joiner.follow(heir);

  await watched;
  assert.ok(master >= 1, 'it did call itself primary for a while');
  await Promise.all(writers.map(writer => writer.stop()));
  const errors = writers.flatMap(writer => writer.errors);
  assert.deepEqual(
    errors.filter(text => /READONLY|LOADING|MASTERDOWN/.test(text)),
    [],
  );
  assert.ok(errors.length >= 2, 'the sessions to the killed primary were lost');
  assert.ok(errors.length <= 4, `one lost session for each writer, not ${errors.join('; ')}`);
  for (const run of runs) {
    const [cache] = (await run.state()).backends;
    assert.equal(await primaryOf(run), elected);
    assert.ok(cache !== undefined);
    const [incident] = await run.incidents();
    assert.equal(incident?.outcome, 'failover');
  }
  const { acknowledged } = writers[1] as Writer;
  const size = await heir.command('DBSIZE');
  assert.ok(
    Number(size) > acknowledged.filter(at => at > firstSwitch).length,
    'what was acknowledged is there',
  );
  const members = await until('the new member to be learned and up', async () => {
    const [cache] = (await (runs[1] as PointsmanProcess).state()).backends;
    const up = cache?.servers.filter(({ health, role }) => health === 'up' && role === 'replica');
    return up?.length === 3 && cache?.servers;
  });
  assert.deepEqual(
    members.map(({ name }) => name),
    ['redis-1', 'redis-2', 'redis-3', 'redis-4'],
  );
  assert.equal(members[3]?.address, formatAddress(joiner.address));
});
