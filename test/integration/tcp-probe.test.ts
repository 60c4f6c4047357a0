// The prober of plain TCP servers against peers that accept, refuse, keep it waiting, and come back.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { type Address } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { nothingTold } from '../../src/health/result.ts';
import { type ProbeAnswer, type Prober } from '../../src/health/prober.ts';
import { isSelfConnected } from '../../src/health/probers/self-connection.ts';
import { createTcpProber } from '../../src/health/probers/tcp/prober.ts';
import { connectionsIn } from '../support/proc.ts';
import { fullQueue } from '../support/full-queue.ts';
import { scriptedPeer } from '../support/scripted-peer.ts';
import { ScriptServer } from '../support/tcp-peers.ts';
import { until } from '../support/wait.ts';

function proberFor(t: TestContext, address: Address, timeoutMs = 5000): Prober {
  const prober = createTcpProber({
    address,
    check: { timeoutMs, send: null, expect: null },
    clock: systemClock,
  })(() => assert.fail('a prober without a session loses none'));
  t.after(() => prober.close());
  return prober;
}

async function listening(t: TestContext): Promise<ScriptServer> {
  // Also asked by the name localhost.
  const server = await new ScriptServer().listen(0, '127.0.0.1');
  t.after(() => server.refuse());
  return server;
}

const accepts: ProbeAnswer = {
  code: 'L4OK',
  detail: 'accepts connections',
  facts: nothingTold,
};

test('tcp probe: a server that accepts passes, and nothing is claimed of its role', async t => {
  const { address } = await listening(t);
  assert.deepEqual(await proberFor(t, address).probe(), accepts);
  assert.deepEqual(await proberFor(t, { ...address, host: 'localhost' }).probe(), accepts, 'by name');
});

test('tcp probe: each probe is a connection of its own, without a byte, and reset at once', async t => {
  const server = await new ScriptServer().listen();
  t.after(() => server.refuse());
  const prober = proberFor(t, server.address);
  for (const nth of [0, 1, 2]) {
    assert.equal((await prober.probe()).code, 'L4OK');
    const peer = await server.peer(nth);
    await until('the connection to end', () => peer.closed);
    assert.deepEqual([peer.bytes, peer.error], [0, 'ECONNRESET']);
  }
  assert.equal(server.peers.length, 3);
  assert.equal(connectionsIn('timeWait', server.address, 'either'), 0, 'nothing is left to wait out');
});

test('tcp probe: a server that hangs up on whoever comes still accepts', async t => {
  const peer = await scriptedPeer(t, socket => socket.resetAndDestroy());
  const prober = proberFor(t, peer);
  for (let i = 0; i < 50; i += 1)
    assert.equal((await prober.probe()).code, 'L4OK', 'whenever the reset is seen');
});

test('tcp probe: a port where nobody listens is L4CON, and passes again when somebody does', async t => {
  const server = await listening(t);
  const { address } = server;
  const prober = proberFor(t, address);
  assert.equal((await prober.probe()).code, 'L4OK');
  await server.refuse();
  const refused = await prober.probe();
  assert.equal(refused.code, 'L4CON');
  assert.match(refused.detail, /ECONNREFUSED/);
  const again = await new ScriptServer().listen(address.port, address.host);
  t.after(() => again.refuse());
  assert.equal((await prober.probe()).code, 'L4OK');
});

test('tcp probe: a full accept queue is L4TOUT when the time is up, and passes when it is emptied', async t => {
  const { address, resume } = await fullQueue(t);
  const prober = proberFor(t, address, 200);
  const others = connectionsIn('synSent', address, 'either');
  const startedAt = performance.now();
  assert.deepEqual(await prober.probe(), { code: 'L4TOUT', detail: 'no connection within 200 ms' });
  const tookMs = performance.now() - startedAt;
  assert.ok(tookMs >= 195, `gave up after ${tookMs} ms`);
  await until('the attempt to be given up', () => connectionsIn('synSent', address, 'either') === others);
  resume();
  await until('the server to accept again', async () => (await prober.probe()).code === 'L4OK');
});

test('tcp probe: a name that nobody knows is L4DNS', async t => {
  const answer = await proberFor(t, { host: 'no-such-host.invalid', port: 1 }).probe();
  assert.equal(answer.code, 'L4DNS', answer.detail);
});

test('tcp probe: a stall of our own event loop is not the server’s silence', async t => {
  const { address } = await listening(t);
  const answer = proberFor(t, address, 20).probe();
  const end = performance.now() + 200;
  while (performance.now() < end); // the answer comes, and the time is up, while nothing is read
  assert.equal((await answer).code, 'L4OK');
});

test('tcp probe: ended while it waits it settles at once, and opens nothing afterwards', async t => {
  const { address, resume } = await fullQueue(t);
  const prober = proberFor(t, address, 60_000);
  const answer = prober.probe();
  prober.close();
  assert.deepEqual(await answer, { code: 'L4LOST', detail: 'the probe was ended' });
  resume();
  assert.equal((await prober.probe()).code, 'L4LOST');
  prober.close();
});

test('tcp probe: a probe that was ended or timed out does not touch the next one', async t => {
  const { address, resume } = await fullQueue(t);
  const prober = proberFor(t, address, 50);
  assert.equal((await prober.probe()).code, 'L4TOUT');
  resume();
  const codes = await Promise.all(
    Array.from({ length: 10 }, async () => (await proberFor(t, address).probe()).code),
  );
  assert.deepEqual(new Set(codes), new Set(['L4OK']));
});

test('tcp probe: a connection that met itself shows nobody', async t => {
  const server = await listening(t);
  const { port } = server.address;
  const honest = connect(server.address);
  await once(honest, 'connect');
  assert.equal(isSelfConnected(honest), false);
  honest.destroy();
  await server.refuse();

  const host = '127.0.0.1';
  const alone = connect({ host, port, localAddress: host, localPort: port });
  t.after(() => alone.destroy());
  await once(alone, 'connect');
  assert.equal(isSelfConnected(alone), true, 'both ends are this socket');
});
