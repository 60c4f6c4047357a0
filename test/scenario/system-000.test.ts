// System 000 as a whole, on real servers: an HTTP backend is killed under load, then the database that is written to, which
// comes back; at last all HTTP backends. What is counted is what the clients at the front see.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { applicationsAt } from '../support/mysql-writer.ts';
import { pace } from '../support/pace.ts';
import {
  ask,
  backendNamed,
  Clients,
  digestOf,
  HOLD_MS,
  longestGapMs,
  slowestMs,
  startChain,
  usersOf,
  type Chain,
  type Shot,
} from '../support/system-000-chain.ts';
import { acknowledgeOnlyReceived, assertSameRows, type BackendJson } from '../support/system-000.ts';
import { sleep, until } from '../support/wait.ts';

/** Beyond what the same clients wait for a backend without Pointsman in front at that time. */
const SLOWEST_MS = 100 * pace;
/** The aim is 400 ms, which a quiet machine keeps. */
const GENEROUS_GAP_MS = 2000 * pace;
const TURN = 40;

describe('system 000: HTTP backends and a pair of databases behind one Pointsman', () => {
  let chain: Chain;
  let clients: Clients;
  let others: Clients | null = null;

  before(async () => {
    chain = await startChain();
    await acknowledgeOnlyReceived(chain.pair.db1, true);
    clients = new Clients(chain.pointsman.frontend('web'), 'user');
  });
  after(async () => {
    await Promise.all([clients?.stop(), others?.stop()]);
    await chain?.dispose();
  });

  const database = (): Promise<BackendJson> => backendNamed(chain.pointsman, 'db');
  const webHealths = async (): Promise<string> =>
    (await backendNamed(chain.pointsman, 'web')).servers.map(({ health }) => health).join();
  /** The clients that came after `at`, once there are so many that are served. */
  const served = (at: number, count: number): Promise<readonly Shot[]> =>
    until(`${count} clients to be served`, () => {
      const shots = clients.since(at);
      return shots.length >= count && shots;
    });
  const tell = (shots: readonly Shot[]): string =>
    shots.map(({ registers, failure }) => `${registers ?? 'health'}: ${failure}`).join('; ');

  test('all is well: both backends serve in turn, and what is registered is in both databases', async () => {
    const { status, body } = await ask(chain.pointsman.frontend('web'));
    assert.deepEqual([status, (JSON.parse(body) as { status: unknown }).status], [200, 'ok']);
    const shots = await served(0, TURN);
    const first = shots.filter(({ by }) => by === 'web1').length;
    assert.ok(Math.abs(shots.length - 2 * first) <= 4, `web1 served ${first} of ${shots.length}`);
    const name = clients.registered[0]?.registers ?? '';
    for (const node of [chain.pair.db1, chain.pair.db2]) {
      await until(`${name} on ${node.name}`, async () => (await usersOf(node)).get(name) === 1);
    }
  });

  test('an HTTP backend is killed: not one failed request, none is slow; started again, it serves', async t => {
    const { web1, web2, pointsman } = chain;
    const direct = new Clients(web2.address, 'direct');
    others = direct;
    await until('the others to be served', () => direct.shots.length >= TURN);
    // What a killed server has begun nobody can save: a registration is not to be made twice. So it has begun nothing.
    await clients.between(() => web1.kill());
    const killedAt = performance.now();
    await until('web1 to be down', async () => (await webHealths()) === 'down,up');
    const downAt = performance.now();
    t.diagnostic(`known to be down after ${Math.round(downAt - killedAt)} ms`);
    await served(downAt, TURN);
    assert.deepEqual([...new Set(clients.since(killedAt).map(({ by }) => by))], ['web2']);

    const restartedAt = performance.now();
    await web1.start();
    await until('web1 to serve again', () => clients.since(restartedAt).some(({ by }) => by === 'web1'));
    await served(performance.now(), TURN);
    await direct.stop();
    assert.equal(tell(clients.failed), '');
    const hiccup = slowestMs(direct.since(killedAt));
    for (const [kind, isOf] of [
      ['health', (shot: Shot) => shot.registers === null],
      ['register', (shot: Shot) => shot.registers !== null],
    ] as const) {
      const shots = clients.since(killedAt).filter(isOf);
      // Until it has done its first, web1 is slow by itself: it has only just been started.
      const back = shots.filter(({ startedAt, by }) => startedAt >= restartedAt && by === 'web1');
      const warmAt = back[0]?.endedAt ?? Infinity;
      const slowest = slowestMs(shots.filter(shot => !back.includes(shot) || shot.startedAt > warmAt));
      t.diagnostic(`${kind}: slowest ${Math.round(slowest)} ms; without Pointsman ${Math.round(hiccup)} ms`);
      assert.ok(slowest < SLOWEST_MS + hiccup, `${kind}: ${slowest} ms; a backend alone took ${hiccup} ms`);
    }
    assert.equal((await backendNamed(pointsman, 'db')).primary, 'db1');
  });

  test('the database that is written to is killed: registrations go on at the other, none that was told is lost', async t => {
    const { pair, pointsman } = chain;
    const failedBefore = clients.failed.length;
    const killedAt = performance.now();
    await pair.db1.kill();
    await until('db2 to be the primary', async () => (await database()).primary === 'db2');
    const followedAt = performance.now();
    await until(
      'registrations to go on',
      () => clients.registered.filter(({ startedAt }) => startedAt > followedAt).length >= TURN,
    );
    const told = [...clients.registered, ...(others?.registered ?? [])];
    const onSecond = await usersOf(pair.db2);
    const failed = clients.failed.slice(failedBefore);
    const gapMs = longestGapMs(clients.registered, killedAt);
    t.diagnostic(`gap ${Math.round(gapMs)} ms; not acknowledged: ${failed.length} (${tell(failed)})`);
    assert.ok(gapMs < GENEROUS_GAP_MS, `a gap of ${gapMs} ms`);
    assert.deepEqual(
      told.filter(({ registers }) => !onSecond.has(registers ?? '')),
      [],
    );
    const turned = told.find(({ registers }) => onSecond.get(registers ?? '') === 2);
    assert.ok(turned);
    for (const { registers, startedAt, failure } of failed) {
      assert.notEqual(registers, null, `asking for the health failed: ${failure}`);
      assert.match(failure ?? '', /^500 .*(Connection lost|ECONNRESET|EPIPE|closed state)/);
      assert.ok(startedAt < turned.endedAt, `one that was not under way failed: ${failure}`);
    }
    const [incident] = (await pointsman.incidents()).filter(({ backend }) => backend === 'db');
    assert.deepEqual([incident?.old_primary, incident?.new_primary], ['db1', 'db2']);
  });

  test('the killed database returns: it catches up, nobody is led to it, and in the end both are equal', async t => {
    const { pair } = chain;
    const failedBefore = clients.failed.length;
    const seen: BackendJson[] = [];
    let watching = true;
    const watch = (async () => {
      while (watching) {
        seen.push(await database());
        await sleep(20);
      }
    })();
    try {
      await pair.db1.start();
      await until('db1 to have everything', async () => {
        const { servers } = await database();
        const [first] = servers;
        return first?.health === 'up' && first.missing_transactions === 0;
      });
      assert.equal(await applicationsAt(pair.db1), 0);
      await served(performance.now(), TURN);
      assert.equal(await applicationsAt(pair.db1), 0);
    } finally {
      watching = false;
      await watch;
    }
    await Promise.all([clients.stop(), others?.stop()]);
    assert.equal(tell(clients.failed.slice(failedBefore)), '');
    assert.deepEqual([...new Set(seen.map(({ primary }) => primary))], ['db2']);
    assert.deepEqual([...new Set(seen.map(({ servers }) => servers[0]?.sessions))], [0]);

    await assertSameRows(pair);
    const [one, two] = [await digestOf(pair.db1), await digestOf(pair.db2)];
    t.diagnostic(`both: ${JSON.stringify(two)}`);
    assert.deepEqual(one, two);
    const users = await usersOf(pair.db2);
    const told = [...clients.registered, ...(others?.registered ?? [])];
    const missing = told.filter(({ registers }) => !users.has(registers ?? ''));
    assert.deepEqual(missing, []);
    const taken = (node: number): readonly Shot[] =>
      told.filter(({ registers }) => users.get(registers ?? '') === node);
    const turnedAt = Math.min(...taken(2).map(({ endedAt }) => endedAt));
    assert.deepEqual(
      taken(1).filter(({ startedAt }) => startedAt > turnedAt),
      [],
    );

    // db2 tries db1 once a second, and is asked about it once a second.
    const { primary, split_brain, servers } = await until('both to replicate', async () => {
      const state = await database();
      const sound = state.servers.every(({ replication: [channel] }) => channel?.receiving === 'yes');
      return sound && state;
    });
    assert.deepEqual([primary, split_brain], ['db2', false]);
    for (const { name, health, faults, replication } of servers) {
      assert.deepEqual([name, health, faults], [name, 'up', []]);
      const channels = replication.map(({ applying, receive_error, apply_error }) => ({
        applying,
        receive_error,
        apply_error,
      }));
      assert.deepEqual(channels, [{ applying: true, receive_error: null, apply_error: null }], name);
    }
  });

  test('all HTTP backends are killed: clients wait, then they are told so in JSON, with when to come again', async () => {
    const { web1, web2, pointsman } = chain;
    const front = pointsman.frontend('web');
    await Promise.all([web1.kill(), web2.kill()]);
    const startedAt = performance.now();
    const asked = [ask(front), ask(front, 'nobody'), ask(front)];
    const answers = Promise.all(asked.map(answer => answer.then(got => ({ ...got, at: performance.now() }))));
    await until('all of them to wait', async () => {
      const web = (await pointsman.state()).frontends.find(({ name }) => name === 'web');
      return web?.held === asked.length;
    });
    for (const { status, headers, body, at } of await answers) {
      assert.ok(at - startedAt >= HOLD_MS - 50, `answered after ${at - startedAt} ms`);
      assert.deepEqual([status, headers['content-type']], [503, 'application/json']);
      assert.match(String(headers['retry-after']), /^\d+$/);
      assert.equal(typeof (JSON.parse(body) as { error: unknown }).error, 'string');
    }
    assert.equal(await webHealths(), 'down,down');
    assert.ok(!(await usersOf(chain.pair.db2)).has('nobody'));
  });
});
