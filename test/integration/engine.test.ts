// Which driver the program runs on, and what it says when the one it should run on isn't there.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { formatAddress } from '../../src/core/address.ts';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { connectPeer, ScriptServer } from '../support/tcp-peers.ts';

const asUrl = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;
const HOOK = asUrl(`export async function resolve(name, context, next) {
  if (name === 'koffi') throw Object.assign(new Error('no koffi here'), { code: 'ERR_MODULE_NOT_FOUND' });
  return next(name, context);
}`);
/** A Node in which the optional package is missing, as after an install without it. */
const WITHOUT_KOFFI = [
  process.execPath,
  '--import',
  asUrl(`import { register } from 'node:module'; register(${JSON.stringify(HOOK)});`),
];

async function run(t: TestContext, engine: object, command?: readonly string[]): Promise<PointsmanProcess> {
  const server = await new ScriptServer().listen();
  t.after(() => server.refuse());
  server.onPeer = ({ socket }) => {
    socket.on('error', () => undefined); // a check resets
    socket.pipe(socket);
  };
  const config = {
    engine,
    frontends: { web: { bind: '127.0.0.1:0', backend: 'web', route: 'any' } },
    backends: { web: { protocol: 'tcp', servers: { web1: formatAddress(server.address) } } },
  };
  const child = await runPointsman(config, command === undefined ? {} : { command });
  t.after(() => child.stop());
  const client = await connectPeer(child.frontend('web'), Buffer.from('is anybody there?'));
  await client.untilBytes(17);
  assert.equal(client.received.toString(), 'is anybody there?');
  client.socket.destroy();
  return child;
}

const said = (child: PointsmanProcess): readonly Record<string, unknown>[] =>
  child.log().filter(({ msg }) => String(msg).startsWith('data plane'));

test('engine: left to itself it runs on the kernel driver, and says so in one line', async t => {
  const child = await run(t, {});
  const [line, ...others] = said(child);
  assert.equal(others.length, 0);
  assert.equal(line?.['driver'], 'kernel');
  assert.ok(Number(line['workers']) >= 1);
});

test('engine: the number of workers is the configured', async t => {
  const child = await run(t, { driver: 'kernel', workers: 2 });
  assert.deepEqual(
    said(child).map(({ driver, workers }) => [driver, workers]),
    [['kernel', 2]],
  );
});

test('engine: net is net', async t => {
  const child = await run(t, { driver: 'net' });
  assert.deepEqual(
    said(child).map(({ driver, msg }) => [driver, msg]),
    [['net', 'data plane: net driver, as configured']],
  );
});

test('engine: without koffi it runs on net, and one warning says why', async t => {
  const child = await run(t, { driver: 'auto' }, WITHOUT_KOFFI);
  const [line, ...others] = said(child);
  assert.equal(others.length, 0);
  assert.equal(line?.['driver'], 'net');
  assert.equal(line['level'], 'warn');
  assert.match(String(line['reason']), /^the package koffi can't be loaded: no koffi here/);
});

test('engine: without koffi, but told to use the kernel driver, it exits 1 and says why', async t => {
  await assert.rejects(run(t, { driver: 'kernel' }, WITHOUT_KOFFI), (thrown: Error) => {
    assert.match(thrown.message, /pointsman ended with 1:/);
    assert.match(thrown.message, /ENGINE_UNAVAILABLE/);
    assert.match(
      thrown.message,
      /engine\.driver kernel does not run here: the package koffi can't be loaded/,
    );
    return true;
  });
});
