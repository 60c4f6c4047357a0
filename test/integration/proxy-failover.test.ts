// What a demotion, a mark-down, a shutdown and a failed bind do to real sockets.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { connectPeer, until, type Peer } from '../support/tcp-peers.ts';
import { readError, startupPacket } from '../support/tcp-packets.ts';
import { openStage, type Stage } from '../support/tcp-proxy.ts';
import { fail, pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const pg1Leads = { pg1: pass(), pg2: passReplica() };
const pg2Leads = { pg1: passReplica(), pg2: pass() };

async function join(stage: Stage, count: number, frontend?: string): Promise<Peer[]> {
  const clients = await Promise.all(
    Array.from({ length: count }, () => connectPeer(stage.at(frontend), hello)),
  );
  await until(() => stage.gauge(frontend).sessions === count, `${count} sessions`);
  return clients;
}

test('failover: every session to the old primary is reset before the new one sees its first client', async t => {
  const stage = await openStage(t);
  stage.topology.set(pg1Leads, 'pg1');
  const clients = await join(stage, 50);
  // The primary is in doubt: sessions stay, newcomers wait.
  stage.topology.set({ pg1: fail('L7START'), pg2: passReplica() }, 'pg1');
  const waiting = await connectPeer(stage.at(), startupPacket('waiting'));
  await until(() => stage.gauge().held === 1, 'the newcomer in the hold');
  assert.equal(stage.proxy.sessionsOf('app', 'pg1'), 50);

  const old = stage.servers['pg1']!;
  let openAtFirst = -1;
  stage.servers['pg2']!.onPeer = () => {
    if (openAtFirst === -1) openAtFirst = stage.proxy.sessionsOf('app', 'pg1');
  };
  stage.topology.set(pg2Leads, 'pg2');
  // Not awaited: closing is done when `set` returns.
  assert.equal(stage.proxy.sessionsOf('app', 'pg1'), 0);
  assert.deepEqual(stage.diary.lines.slice(-51), [
    ...Array<string>(50).fill('sessionEnded pg1 demotion'),
    'sessionsClosed pg1 demotion 50',
  ]);
  const successor = await stage.servers['pg2']!.peer(0);
  await successor.untilBytes(1);
  assert.match(successor.received.toString('latin1'), /waiting/);
  assert.equal(openAtFirst, 0);
  await until(() => old.peers.every(peer => peer.closed), 'the resets at the old primary');
  assert.ok(old.peers.every(peer => peer.error === 'ECONNRESET'));
  await until(() => clients.every(client => client.ended), 'the ends at the clients');
  assert.ok(clients.every(client => client.error === null));
  assert.equal(waiting.ended, false);
});

test('failover: a frozen old primary never gets what was queued for it, a client gets what was answered', async t => {
  const stage = await openStage(t);
  stage.topology.set(pg1Leads, 'pg1');
  const [client] = await join(stage, 1);
  const frozen = await stage.servers['pg1']!.peer(0);
  await frozen.untilBytes(hello.length);
  frozen.socket.write('answered before the freeze');
  await client!.untilBytes(26);
  frozen.socket.pause();
  // More than the kernel takes for a peer that doesn't read: the rest is queued in the proxy.
  client!.socket.write(Buffer.alloc(16 * 1024 * 1024, 'statement;'));
  await until(() => stage.gauge().bytesUp > 256 * 1024, 'the queue to build up');
  stage.topology.set(pg2Leads, 'pg2');
  const sentBefore = stage.diary.ends[0]!.bytesUp;
  await until(() => client!.ended, 'the end at the client');
  assert.equal(client!.received.toString(), 'answered before the freeze');
  frozen.socket.resume();
  await until(() => frozen.closed || frozen.ended, 'the thaw');
  assert.ok(frozen.bytes < sentBefore, `the thawed server read all ${frozen.bytes} bytes`);
});

test('failover: a dial that succeeds after the demotion joins nobody to the old primary', async t => {
  const stage = await openStage(t);
  stage.topology.set(pg1Leads, 'pg1');
  const client = await connectPeer(stage.at(), hello);
  // In the same turn in which the dial begins the primary changes; the kernel may have connected already.
  await until(() => stage.diary.count('accepted') === 1, 'the client');
  stage.topology.set(pg2Leads, 'pg2');
  const successor = await stage.servers['pg2']!.peer(0);
  await successor.untilBytes(hello.length);
  assert.ok(
    stage.servers['pg1']!.peers.every(
      ({ bytes }) => bytes === 0 || stage.diary.count('sessionEnded pg1') === 1,
    ),
  );
  assert.equal(stage.proxy.sessionsOf('app', 'pg1'), 0);
  assert.equal(client.error, null);
});

test('failover: a mark-down and a demotion close sessions of every route, a promotion those that came for a replica', async t => {
  const stage = await openStage(t, {
    frontends: {
      reads: { route: 'replica' },
      mixed: { route: 'replica-or-primary', balance: 'first' },
      any: { route: 'any', balance: 'first' },
    },
  });
  stage.topology.set(pg1Leads, 'pg1');
  await join(stage, 1, 'reads');
  await join(stage, 1, 'mixed');
  await join(stage, 1, 'any');
  assert.deepEqual([stage.proxy.sessionsOf('app', 'pg1'), stage.proxy.sessionsOf('app', 'pg2')], [1, 2]);
  stage.topology.set(pg2Leads, 'pg2');
  assert.deepEqual([stage.proxy.sessionsOf('app', 'pg1'), stage.proxy.sessionsOf('app', 'pg2')], [0, 1]);
  assert.equal(stage.diary.count('sessionsClosed pg1 demotion 1'), 1);
  assert.equal(stage.diary.count('sessionsClosed pg2 promotion 1'), 1);
  await join(stage, 1, 'mixed');
  await until(() => stage.proxy.sessionsOf('app', 'pg1') === 1, 'a reader at the new replica');
  stage.topology.set({ pg1: fail(), pg2: pass() }, 'pg2');
  assert.deepEqual([stage.proxy.sessionsOf('app', 'pg1'), stage.proxy.sessionsOf('app', 'pg2')], [0, 1]);
  assert.equal(stage.diary.count('sessionsClosed pg1 server-down 1'), 1);
});

test('shutdown: held clients are told, sessions may finish, the port is closed', async t => {
  const stage = await openStage(t, { frontends: { app: {}, reads: { route: 'replica' } } });
  stage.topology.set({ pg1: fail(), pg2: passReplica() }, null);
  const held = await connectPeer(stage.at(), hello);
  await until(() => stage.gauge().held === 1, 'one in the hold');
  const [session] = await join(stage, 1, 'reads');
  const address = stage.at();
  let drained = false;
  const draining = stage.proxy.drain(20_000).then(() => (drained = true));
  await until(() => held.ended, 'the answer');
  assert.equal(readError(held.received).sqlstate, '57P01');
  held.socket.end();
  const late = await connectPeer(address, hello);
  assert.equal(late.error, 'ECONNREFUSED');
  assert.equal(stage.gauge().available, false);
  assert.equal(drained, false);
  session!.socket.end();
  const server = await stage.servers['pg2']!.peer(0);
  server.socket.end();
  await draining;
  assert.equal(stage.diary.count('rejected shutdown'), 1);
  assert.equal(stage.diary.count('holdEnded closed'), 1);
  assert.equal(stage.diary.ends[0]!.reason, 'client');
});

test('shutdown: sessions that go on are closed at the deadline', async t => {
  const stage = await openStage(t);
  stage.topology.set(pg1Leads, 'pg1');
  const clients = await join(stage, 5);
  await stage.proxy.drain(50);
  await until(() => clients.every(client => client.closed || client.ended), 'the closes');
  assert.equal(stage.diary.count('sessionEnded pg1 shutdown'), 5);
  assert.equal(stage.gauge().connections, 0);
});

test('listen: a port in use is named with its frontend, and the other ports are closed again', async t => {
  const blocker = createServer();
  await new Promise<void>(resolve => blocker.listen(0, '127.0.0.1', resolve));
  t.after(() => blocker.close());
  const { port } = blocker.address() as { port: number };
  await assert.rejects(openStage(t, { frontends: { free: {}, taken: { bind: `127.0.0.1:${port}` } } }), {
    code: 'BIND_FAILED',
    message: new RegExp(`^frontend taken: cannot listen on 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`),
  });
});
