// Backends of plain TCP servers in the whole program: ready while a server is up, quiet about primaries, never in a hurry.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { backendSpecs, createMonitors } from '../../src/app/monitors.ts';
import { configSchema } from '../../src/config/schema.ts';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { Topology } from '../../src/topology/topology.ts';
import { configFile } from '../support/clients.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fullQueue } from '../support/full-queue.ts';
import { pointsman, runPointsman } from '../support/pointsman.ts';
import { connectPeer, ScriptServer } from '../support/tcp-peers.ts';
import { until } from '../support/wait.ts';

async function listening(t: TestContext, port = 0): Promise<ScriptServer> {
  const server = await new ScriptServer().listen(port);
  t.after(() => server.refuse());
  return server;
}

const configOf = (servers: Readonly<Record<string, Address>>, check: object = {}) => ({
  frontends: { cache: { bind: '127.0.0.1:0', backend: 'cache', route: 'any' } },
  backends: {
    cache: {
      protocol: 'tcp',
      check,
      servers: Object.fromEntries(
        Object.entries(servers).map(([name, address]) => [name, formatAddress(address)]),
      ),
    },
  },
});

test('tcp backend: each server is asked at its own pace, and nobody faster because there is no primary', async t => {
  const [well, ailing] = [await listening(t), await listening(t)];
  const clock = new FakeClock();
  const config = configSchema.parse(configOf({ well: well.address, ailing: ailing.address }));
  const topology = new Topology(backendSpecs(config), clock);
  const monitors = createMonitors(config, topology, clock, () => 0.5);
  t.after(() => monitors.stop());
  let results = 0;
  topology.changes.subscribe(() => (results += 1));
  const healths = (): readonly string[] => topology.view('cache').servers.map(({ health }) => health.kind);
  const untilResults = (count: number): Promise<unknown> => until(`${count} results`, () => results >= count);
  /** How often the server was asked: whoever connected before us was accepted before us. */
  const asked = async (server: ScriptServer): Promise<number> => {
    const mark = await connectPeer(server.address, Buffer.from('mark'));
    await until('our own connection', () => server.peers.some(({ bytes }) => bytes > 0));
    mark.socket.destroy();
    return server.peers.findIndex(({ bytes }) => bytes > 0);
  };

  monitors.start();
  await untilResults(2);
  assert.deepEqual(healths(), ['up', 'up']);
  await clock.advance(999);
  assert.equal(results, 2, 'all is well: nobody is asked before the interval is over');
  await ailing.refuse();
  await clock.advance(1);
  await untilResults(4);
  assert.deepEqual(healths(), ['up', 'up'], 'one failure is not enough');
  await clock.advance(49);
  assert.equal(results, 4);
  await clock.advance(1);
  await untilResults(5);
  assert.deepEqual(healths(), ['up', 'down'], 'the one in doubt is asked again after fast_interval');
  await clock.advance(949);
  assert.equal(results, 5, 'the other one was not, and a dead one is asked at leisure');
  await clock.advance(1);
  await untilResults(6);
  assert.equal(await asked(well), 3);
});

test('tcp backend: Pointsman is ready while one server is up, tells it in the state, and opens no incident', async t => {
  const servers = [await listening(t), await listening(t)] as const;
  const [c1, c2] = servers.map(({ address }) => address) as [Address, Address];
  const running = await runPointsman(configOf({ c1, c2 }, { interval: '50ms' }));
  try {
    const ready = async (): Promise<string> => {
      const response = await fetch(`${running.admin}/readyz`);
      return `${response.status} ${await response.text()}`;
    };
    const healths = async (): Promise<string> => {
      const [cache] = (await running.state()).backends;
      return cache?.servers.map(({ health }) => health).join() ?? '';
    };
    await until('both to be up', async () => (await healths()) === 'up,up');
    assert.equal(await ready(), '200 ok\n');
    const [cache] = (await running.state()).backends;
    assert.deepEqual([cache?.protocol, cache?.primary, cache?.epoch], ['tcp', null, 0]);
    assert.match(cache?.reasons.join() ?? '', /no roles/);
    assert.equal(cache?.servers[0]?.last_check?.code, 'L4OK');

    await servers[0].refuse();
    await until('one to be down', async () => (await healths()) === 'down,up');
    assert.equal(await ready(), '200 ok\n');
    await servers[1].refuse();
    await until('both to be down', async () => (await healths()) === 'down,down');
    assert.equal(await ready(), '503 no server: cache (any of cache)\n');
    await listening(t, c2.port);
    await until('one to be up again', async () => (await healths()) === 'down,up');
    assert.equal(await ready(), '200 ok\n');

    assert.deepEqual(await running.incidents(), []);
    const metrics = await running.metrics();
    assert.match(metrics, /^pointsman_server_up\{backend="cache",server="c2"\} 1$/m);
    assert.match(metrics, /^pointsman_server_check_failures_total\{.*server="c1",code="L4CON"\} \d+$/m);
    assert.doesNotMatch(metrics, /^pointsman_backend_\w+\{backend="cache"/m);
    for (const { msg } of running.log()) assert.doesNotMatch(String(msg), /primary|promot|writ/);
  } finally {
    await running.stop();
  }
});

test('check --live: plain TCP servers are up or not, and nobody asks who takes writes', async t => {
  const { address: c1 } = await listening(t);
  const gone = await listening(t);
  const { address: c2 } = gone;
  const file = configFile(t, configOf({ c1, c2 }));
  const fine = await pointsman(['check', '--live', '-c', file]);
  assert.deepEqual([fine.code, fine.stderr], [0, ''], fine.stdout);
  assert.match(fine.stdout, /^cache +c1 +127\.[\d.]+:\d+ +L4OK +- +- +accepts connections$/m);
  assert.doesNotMatch(fine.stdout, /takes? writes/);
  await gone.refuse();
  const down = await pointsman(['check', '--live', '-c', file]);
  assert.equal(down.code, 1);
  assert.match(down.stdout, /^cache +c2 .* L4CON +- +- +.*ECONNREFUSED/m);
});

test('probe tcp://: says up or down and how long it took, as a table and as JSON', async t => {
  const server = await listening(t);
  const url = `tcp://${formatAddress(server.address)}`;
  const table = await pointsman(['probe', url]);
  assert.deepEqual([table.code, table.stderr], [0, '']);
  assert.match(table.stdout, /^health +up$/m);
  assert.match(table.stdout, /^result +L4OK: /m);
  assert.match(table.stdout, /^duration ms +\d+(\.\d)?$/m);
  assert.doesNotMatch(table.stdout, /role|writable|lag/);

  await server.refuse();
  const json = await pointsman(['probe', url, '--json']);
  assert.deepEqual([json.code, json.stderr], [1, '']);
  const { duration_ms: durationMs, detail, ...rest } = JSON.parse(json.stdout) as Record<string, unknown>;
  assert.deepEqual(rest, { server: formatAddress(server.address), health: 'down', result: 'L4CON' });
  assert.ok(typeof durationMs === 'number' && durationMs < 5000);
  assert.match(String(detail), /ECONNREFUSED/);
});

test('probe tcp://: waits no longer than it was told', async t => {
  const { address } = await fullQueue(t);
  const { code, stdout } = await pointsman(['probe', `tcp://${formatAddress(address)}`, '--timeout', '0.2']);
  assert.equal(code, 1);
  assert.match(stdout, /^result +L4TOUT: /m);
  assert.match(stdout, /^detail +no connection within 200 ms$/m);
});

test('probe tcp://: an IPv6 address in brackets is understood', async () => {
  const { code, stdout } = await pointsman(['probe', 'tcp://[::1]:1']);
  assert.equal(code, 1);
  assert.match(stdout, /^server +\[::1\]:1$/m);
});

test('probe tcp://: a URL without a port, or with more than a host and a port, is exit code 2', async () => {
  for (const [url, complaint] of [
    ['tcp://127.0.0.1', /a tcp URL needs a port/],
    ['tcp://127.0.0.1:0', /a tcp URL needs a port/],
    ['tcp://:80', /this is not a URL|the host is missing/],
    ['tcp://u:Hidden-Word@127.0.0.1:80', /a host and a port, and nothing else/],
    ['tcp://127.0.0.1:80/db', /a host and a port, and nothing else/],
    ['tcp://127.0.0.1:80?sslmode=require', /a host and a port, and nothing else/],
  ] as const) {
    const { code, stdout, stderr } = await pointsman(['probe', url]);
    assert.deepEqual([code, stdout], [2, ''], url);
    assert.match(stderr, complaint, url);
    assert.match(stderr, /tcp:\/\/host:port/);
    assert.doesNotMatch(stderr, /Hidden-Word/);
  }
});
