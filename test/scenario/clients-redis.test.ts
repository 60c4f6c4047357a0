// redis-cli and redis-benchmark through Pointsman: the same as without it, on each engine; and what they see while there is
// no server for them. Two servers, the first the primary: a Redis without Sentinel that somebody fails over by hand.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { Fleet, onEachEngine } from '../support/fleet.ts';
import { pace } from '../support/pace.ts';
import { run, start, type Ended } from '../support/program.ts';
import { RedisClient, replicatedRedis, type RedisNode } from '../support/redis.ts';
import { until } from '../support/wait.ts';

const MIB = 1024 * 1024;
const BRIEF_MS = 300;
const SMALL = 3;
/** Far below the usual hold. */
const SOON_MS = 10_000 * pace;
const MASS = 50_000;

const login = ({ host, port }: Address): string[] => ['-h', host, '-p', String(port)];

/** What redis-cli prints for `command`, as a script sees it. */
const cli = (at: Address, command: readonly string[], input: string | Buffer = ''): Promise<Ended> =>
  run('redis-cli', [...login(at), ...command], { input });

async function answerOf(
  at: Address,
  command: readonly string[],
  input: string | Buffer = '',
): Promise<string> {
  const { code, stdout, stderr } = await cli(at, command, input);
  assert.deepEqual([code, stderr], [0, '']);
  return stdout.toString().trimEnd(); // behind an error redis-cli leaves a line empty
}

describe('Redis clients through Pointsman', () => {
  const owned: (() => unknown)[] = [];
  let first: RedisNode;
  let second: RedisNode;
  let all: Fleet;
  const fleet = (): Fleet => all;
  before(async () => {
    const nodes = await replicatedRedis({ after: end => void owned.push(end as () => unknown) }, 1);
    assert.ok(nodes[1]);
    [first, second] = [nodes[0], nodes[1]];
    all = await Fleet.start({
      frontends: {
        rw: { backend: 'cache' },
        brief: { backend: 'cache', hold: `${BRIEF_MS}ms` },
        small: { backend: 'cache', max_connections: SMALL },
        ro: { backend: 'cache', route: 'replica', hold: `${BRIEF_MS}ms` },
      },
      backends: {
        cache: {
          protocol: 'redis',
          check: { settle: 0 },
          servers: { r1: formatAddress(first.address), r2: formatAddress(second.address) },
        },
      },
    });
    owned.push(() => all.stop());
  });
  after(async () => {
    for (const end of owned.splice(0).reverse()) await end();
  });

  onEachEngine('redis-cli: commands, in RESP2 and RESP3, several in a session', fleet, async ({ at }) => {
    assert.equal(await answerOf(at('rw'), ['set', 'k', 'välue "1"\\']), 'OK');
    assert.equal(await answerOf(at('rw'), ['--raw', 'get', 'k']), 'välue "1"\\');
    assert.equal(await answerOf(at('rw'), ['hset', 'h', 'a', '1', 'b', '2']), '2');
    assert.equal(await answerOf(at('rw'), ['-2', '--json', 'hgetall', 'h']), '["a","1","b","2"]');
    assert.equal(await answerOf(at('rw'), ['-3', '--json', 'hgetall', 'h']), '{"a":"1","b":"2"}');
    const session = ['del t', 'multi', 'incr t', 'incr t', 'exec', 'multi', 'incr t', 'discard', 'get t'];
    const said = await answerOf(at('rw'), [], session.map(line => `${line}\n`).join(''));
    assert.match(said, /^\d\nOK\nQUEUED\nQUEUED\n1\n2\nOK\nQUEUED\nOK\n2$/);
    await answerOf(at('rw'), ['del', 't', 'h', 'k']);
  });

  onEachEngine(
    'route replica: reads are answered, writes refused by the replica itself',
    fleet,
    async ({ at }) => {
      assert.match(await answerOf(at('ro'), ['info', 'replication']), /role:slave/);
      assert.match(await answerOf(at('ro'), ['set', 'k', 'v']), /^READONLY /);
    },
  );

  onEachEngine(`redis-cli --pipe: ${MASS} commands in one go, none lost`, fleet, async ({ at }) => {
    const commands = Array.from({ length: MASS }, (_, index) => {
      const value = String(index);
      return `*4\r\n$4\r\nHSET\r\n$4\r\nmass\r\n$${value.length}\r\n${value}\r\n$${value.length}\r\n${value}\r\n`;
    });
    const said = await answerOf(at('rw'), ['--pipe'], commands.join(''));
    assert.match(said, new RegExp(`errors: 0, replies: ${MASS}$`));
    assert.equal(await answerOf(at('rw'), ['hlen', 'mass']), String(MASS));
    const rows = (await answerOf(at('rw'), ['--raw', 'hgetall', 'mass'])).split('\n');
    assert.equal(rows.length, 2 * MASS);
    assert.ok(rows.every((row, index) => index % 2 === 0 || row === rows[index - 1]));
    await answerOf(at('rw'), ['del', 'mass']);
  });

  onEachEngine('a value of 16 MB goes up and comes down unchanged', fleet, async ({ at }) => {
    const noise = randomBytes(16 * MIB);
    assert.equal(await answerOf(at('rw'), ['-x', 'set', 'noise'], noise), 'OK');
    const { stdout } = await cli(at('rw'), ['--raw', 'get', 'noise']);
    assert.ok(noise.equals(stdout.subarray(0, -1)), `${stdout.length} bytes came back`);
    await answerOf(at('rw'), ['del', 'noise']);
  });

  onEachEngine(
    'a subscriber and MONITOR hear what others do; a blocked pop is served by a push',
    fleet,
    async ({ at }, t) => {
      const listen = (...command: string[]) => {
        const running = start('redis-cli', [...login(at('rw')), ...command], { unread: true });
        t.after(() => running.child.kill('SIGKILL'));
        let heard = '';
        running.child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (heard += chunk));
        return {
          hears: (what: RegExp) => until(`${command[0]} to hear ${what}`, () => what.exec(heard)),
          running,
        };
      };
      const subscriber = listen('subscribe', 'news');
      const watcher = listen('monitor');
      const popper = listen('blpop', 'queue', '0');
      await Promise.all([subscriber.hears(/subscribe\nnews\n1\n/), watcher.hears(/^OK\n/)]);
      await until('the pop to wait', async () =>
        /^blocked_clients:1\r?$/m.test(await answerOf(at('rw'), ['info', 'clients'])),
      );
      assert.equal(await answerOf(at('rw'), ['publish', 'news', 'the 9:15 is late']), '1');
      assert.equal(await answerOf(at('rw'), ['rpush', 'queue', 'a task']), '1');
      await subscriber.hears(/message\nnews\nthe 9:15 is late\n/);
      await watcher.hears(/"publish" "news" "the 9:15 is late"/);
      await popper.hears(/^queue\na task\n/);
      assert.equal((await popper.running.ended).code, 0);
    },
  );

  test('redis-benchmark: 50 clients, with and without pipelining, on each engine at once; no error', async () => {
    const bench = (at: Address, count: number, ...more: string[]): Promise<Ended> =>
      run('redis-benchmark', [
        ...login(at),
        '-q',
        '-c',
        '50',
        '-n',
        String(count),
        '-t',
        'set,get,lpush',
        ...more,
      ]);
    const handled = async (): Promise<number> =>
      Number((await first.info('stats')).get('total_commands_processed'));
    const before = await handled();
    const outcomes = await fleet().each(async ({ at }) => [
      await bench(at('rw'), 5000),
      await bench(at('rw'), 20_000, '-P', '16', '-d', '512'),
    ]);
    for (const { code, stdout, stderr } of outcomes.flat()) {
      assert.deepEqual([code, stderr], [0, ''], stdout.toString());
      const lines = stdout.toString().split(/[\r\n]+/);
      const results = lines.filter(line => /^(SET|GET|LPUSH): [1-9][\d.]* requests per second/.test(line));
      assert.equal(results.length, 3, stdout.toString());
      assert.doesNotMatch(stdout.toString(), /error/i);
    }
    assert.ok((await handled()) - before >= outcomes.length * 3 * 25_000, 'the server did all of it');
    await fleet().untilEmpty();
  });

  onEachEngine(
    'max_connections: the one above the limit is told so, once it has asked',
    fleet,
    async ({ at }, t) => {
      const inside = await Promise.all(Array.from({ length: SMALL }, () => RedisClient.connect(at('small'))));
      t.after(() => inside.forEach(client => client.close()));
      assert.deepEqual(
        await Promise.all(inside.map(client => client.command('PING'))),
        Array(SMALL).fill('PONG'),
      );
      const outside = await RedisClient.connect(at('small'));
      t.after(() => outside.close());
      const reason = 'LOADING pointsman: frontend small has its 3 connections (max_connections)';
      assert.equal(await answerOf(at('small'), ['get', 'k']), reason);
      assert.deepEqual([outside.lost, outside.messages], [null, []], 'nobody is told what he has not asked');
      await assert.rejects(outside.command('PING'), { message: reason });
      inside.pop()?.close();
      await until('room for one', async () => (await answerOf(at('small'), ['ping'])) === 'PONG');
    },
  );

  test('no primary: each client shows why when its hold is over; who waits longer is served by the promoted one', async () => {
    await first.stop();
    await fleet().each(({ pointsman }) =>
      until(
        'the primary to be given up',
        async () => (await pointsman.state()).backends[0]?.primary === null,
      ),
    );
    await fleet().each(async ({ at }) => {
      const startedAt = performance.now();
      const said = await answerOf(at('brief'), ['set', 'k', 'v']);
      const tookMs = performance.now() - startedAt;
      assert.match(said, /^LOADING pointsman: no primary in backend cache for \d+ m?s$/);
      assert.ok(tookMs >= BRIEF_MS && tookMs < SOON_MS, `refused after ${tookMs} ms`);
      const strict = await cli(at('brief'), ['-e', 'get', 'k']);
      assert.deepEqual([strict.code, strict.stdout.toString()], [1, '']);
      assert.match(strict.stderr, /^LOADING pointsman: no primary/);
      const third = await cli(at('brief'), ['-3', 'get', 'k']);
      assert.match(third.stdout.toString() + third.stderr, /LOADING pointsman: no primary/);
      const bench = await run('redis-benchmark', [
        ...login(at('brief')),
        '-q',
        '-n',
        '10',
        '-c',
        '1',
        '-t',
        'set',
      ]);
      assert.equal(bench.code, 1);
      assert.match(bench.stdout.toString() + bench.stderr, /LOADING pointsman: no primary/);
    });
    const waits = fleet().members.map(({ at }, index) => answerOf(at('rw'), ['set', `held${index}`, 'yes']));
    await fleet().each(({ pointsman }) =>
      until('one to wait', async () => {
        const { frontends } = await pointsman.state();
        return frontends.find(({ name }) => name === 'rw')?.held === 1;
      }),
    );
    await second.command('REPLICAOF', 'NO', 'ONE');
    assert.deepEqual(
      await Promise.all(waits),
      waits.map(() => 'OK'),
    );
    assert.equal(await second.command('EXISTS', 'held0', 'held1', 'held2'), 3);
  });

  test('no replica: a client of route replica is told so in the words of Redis', async () => {
    await fleet().each(async ({ at }) =>
      assert.match(
        await answerOf(at('ro'), ['get', 'k']),
        /^MASTERDOWN pointsman: no replica in backend cache for \d+ m?s$/,
      ),
    );
  });
});
