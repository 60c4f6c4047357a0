// The prober of plain TCP servers where something is sent and expected: a real Redis, and peers that say what they like.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { type Address } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { type Prober } from '../../src/health/prober.ts';
import { createTcpProber } from '../../src/health/probers/tcp/prober.ts';
import { fullQueue } from '../support/full-queue.ts';
import { scriptedPeer } from '../support/scripted-peer.ts';
import { ScriptServer } from '../support/tcp-peers.ts';
import { until } from '../support/wait.ts';

const SHORT_MS = 200;

interface Saying {
  readonly send?: string;
  readonly expect?: string;
  readonly timeoutMs?: number;
}

function proberFor(
  t: TestContext,
  { host, port }: Address,
  { send, expect, timeoutMs = 5000 }: Saying,
): Prober {
  const check = { timeoutMs, send: send ?? null, expect: expect ?? null };
  const prober = createTcpProber({ address: { host, port }, check, clock: systemClock })(() =>
    assert.fail('a prober without a session loses none'),
  );
  t.after(() => prober.close());
  return prober;
}

async function ask(t: TestContext, address: Address, saying: Saying): Promise<string> {
  return (await proberFor(t, address, saying).probe()).code;
}

test('tcp talk: a real Redis answers PING with PONG, and keeps none of the connections', async t => {
  const port = await freePort();
  const options = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const child = spawn('/usr/bin/redis-server', options, { stdio: 'ignore', cwd: '/tmp' });
  const exited = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const address = { host: '127.0.0.1', port };
  const ping: Saying = { send: 'PING\r\n', expect: '+PONG' };
  await until('redis to answer', async () => (await ask(t, address, ping)) === 'L7OK');
  const prober = proberFor(t, address, ping);
  for (let i = 0; i < 20; i += 1) {
    const answer = await prober.probe();
    assert.deepEqual([answer.code, answer.detail], ['L7OK', 'answers as expected']);
  }
  await until('only the one who asks is connected', async () => {
    return (await ask(t, address, { send: 'INFO clients\r\n', expect: 'connected_clients:1\r' })) === 'L7OK';
  });
  assert.equal(
    await ask(t, address, { send: 'PING\r\n', expect: 'role:master', timeoutMs: SHORT_MS }),
    'L7TOUT',
  );
  assert.equal(
    await ask(t, address, { send: 'QUIT\r\n', expect: 'PONG' }),
    'L4LOST',
    'it says +OK and hangs up',
  );
  child.kill('SIGSTOP');
  assert.equal(await ask(t, address, { ...ping, timeoutMs: SHORT_MS }), 'L7TOUT');
  child.kill('SIGCONT');
  child.kill('SIGKILL');
  await exited;
  assert.equal(await ask(t, address, ping), 'L4CON');
});

test('tcp talk: a banner is expected without a word, and the connection is ended in order', async t => {
  const server = await new ScriptServer().listen();
  t.after(() => server.refuse());
  server.onPeer = peer => {
    peer.socket.write('220 mail.');
    peer.socket.write('test ESMTP\r\n');
    peer.socket.on('end', () => peer.socket.end('221 bye\r\n'));
  };
  assert.equal(await ask(t, server.address, { expect: '.test ESMTP' }), 'L7OK');
  const peer = await server.peer(0);
  await until('the connection to be closed', () => peer.closed);
  assert.deepEqual([peer.bytes, peer.ended, peer.error], [0, true, null], 'FIN, and no reset');
});

test('tcp talk: bytes are sent as they are written, and without an expectation nothing is waited for', async t => {
  const server = await new ScriptServer().listen();
  t.after(() => server.refuse());
  server.onPeer = peer => peer.socket.on('end', () => peer.socket.end());
  assert.equal(await ask(t, server.address, { send: 'h\u00e9\0\r\n' }), 'L4OK');
  const peer = await server.peer(0);
  await until('the connection to be closed', () => peer.closed);
  assert.deepEqual([peer.received.toString('hex'), peer.error], ['68c3a9000d0a', null]);
});

test('tcp talk: silence, another answer, too much of it, and a hang-up are told apart', async t => {
  const cases: [string, (socket: Socket) => void, RegExp][] = [
    ['L7TOUT', socket => socket.resume(), /within 200 ms \(not a byte came\)/],
    ['L7TOUT', socket => void socket.write('-ERR\r\n'), /within 200 ms \(6 bytes came\)/],
    ['L7RSP', socket => void socket.write(Buffer.alloc(1_000_000)), /and not what is expected/],
    ['L4LOST', socket => void socket.end(), /before the expected answer \(not a byte came\)/],
    ['L4LOST', socket => void socket.end('-DENIED\r\n'), /before the expected answer \(9 bytes came\)/],
    ['L4LOST', socket => void socket.resetAndDestroy(), /before the expected answer/],
  ];
  for (const [code, script, words] of cases) {
    const peer = await scriptedPeer(t, script);
    const answer = await proberFor(t, peer, {
      send: 'PING\r\n',
      expect: 'PONG',
      timeoutMs: SHORT_MS,
    }).probe();
    assert.equal(answer.code, code, answer.detail);
    assert.match(answer.detail, words);
  }
});

test('tcp talk: a server that sends for ever holds no probe, no memory and no connection', async t => {
  let closed = 0;
  const peer = await scriptedPeer(t, socket => {
    const chunk = Buffer.alloc(16_384, 'x');
    const more = (): void => {
      while (socket.writable && socket.write(chunk));
    };
    socket.on('close', () => (closed += 1));
    socket.on('drain', more);
    socket.write('PONG');
    more();
  });
  assert.equal(await ask(t, peer, { expect: 'PONG' }), 'L7OK');
  await until('the connection to be cut off', () => closed === 1);
  assert.equal(await ask(t, peer, { expect: 'never' }), 'L7RSP');
  await until('the connection to be cut off', () => closed === 2);
});

test('tcp talk: a connection that is not made is L4TOUT, whatever is expected of it', async t => {
  const { address } = await fullQueue(t);
  assert.equal(await ask(t, address, { expect: 'x', timeoutMs: SHORT_MS }), 'L4TOUT');
});

test('tcp talk: ended while it waits it settles at once', async t => {
  const peer = await scriptedPeer(t, socket => socket.resume());
  const prober = proberFor(t, peer, { expect: 'PONG', timeoutMs: 60_000 });
  const probing = prober.probe();
  await until('the connection', () => peer.connections() === 1);
  prober.close();
  assert.deepEqual(await probing, { code: 'L4LOST', detail: 'the probe was ended' });
});
