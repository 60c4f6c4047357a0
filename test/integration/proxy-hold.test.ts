// Clients that wait, are let go, are refused, leave, or try the next server: on real sockets, on every engine.

import assert from 'node:assert/strict';
import { connectPeer, until, type Peer } from '../support/tcp-peers.ts';
import {
  cancelPacket,
  greetingWithKey,
  readError,
  sslRequest,
  startupPacket,
} from '../support/tcp-packets.ts';
import { oneLoop, onDrivers, openStage } from '../support/tcp-proxy.ts';
import { fail, pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const nobody = { pg1: fail(), pg2: passReplica() };
const pg1Leads = { pg1: pass(), pg2: passReplica() };

onDrivers(
  'hold: clients wait for a primary and are released in the order they came',
  async (t, engine) => {
    const stage = await openStage(t, { engine, initial: [nobody, null] });
    const clients: Peer[] = [];
    for (let i = 0; i < 200; i += 1) {
      clients.push(await connectPeer(stage.at(), startupPacket(`user${i}`)));
      await until(() => stage.gauge().held === i + 1, `client ${i} in the hold`);
    }
    stage.topology.set(pg1Leads, 'pg1');
    const server = stage.servers['pg1']!;
    await until(() => server.peers.length === 200, 'all at the server');
    await Promise.all(server.peers.map(peer => peer.untilBytes(1)));
    const order = server.peers.map(peer =>
      Number(/user\0user(\d+)/.exec(peer.received.toString('latin1'))?.[1]),
    );
    assert.deepEqual(
      order,
      clients.map((_, index) => index),
    );
    await until(() => stage.diary.count('holdEnded served') === 200, 'the notices');
    assert.equal(stage.diary.count('held'), 200);
    assert.equal(stage.gauge().held, 0);
  },
  oneLoop,
);

onDrivers('hold: a client that leaves is forgotten, its server never hears of it', async (t, engine) => {
  const stage = await openStage(t, { engine, initial: [nobody, null] });
  const leaver = await connectPeer(stage.at(), hello);
  const resetter = await connectPeer(stage.at(), hello);
  const stayer = await connectPeer(stage.at(), startupPacket('stayer'));
  await until(() => stage.gauge().held === 3, 'three in the hold');
  leaver.socket.end();
  resetter.socket.resetAndDestroy();
  await until(() => stage.gauge().held === 1, 'one left in the hold');
  stage.topology.set(pg1Leads, 'pg1');
  const peer = await stage.servers['pg1']!.peer(0);
  await peer.untilBytes(1);
  assert.match(peer.received.toString('latin1'), /stayer/);
  await until(() => leaver.closed, 'the leaver to be closed');
  assert.equal(stage.servers['pg1']!.peers.length, 1);
  await until(() => stage.diary.count('holdEnded left') === 2, 'the notices');
  assert.equal(stayer.closed, false);
});

onDrivers(
  'hold: when it ends without a server the client reads why, then the end',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      frontends: { app: { hold: '100ms' } },
      initial: [nobody, null],
    });
    const client = await connectPeer(stage.at(), hello);
    await until(() => client.ended, 'the answer');
    const { sqlstate, message } = readError(client.received);
    assert.equal(sqlstate, '57P03');
    assert.match(message, /^pointsman: no primary in backend app for \d+ ms/);
    assert.equal(client.error, null);
    client.socket.end();
    await until(() => client.closed && stage.gauge().connections === 0, 'the close');
    await until(() => stage.diary.lines.length === 4, 'the notices');
    assert.deepEqual(stage.diary.lines, ['accepted', 'held', 'holdEnded expired', 'rejected hold-timeout']);
  },
  oneLoop,
);

onDrivers(
  'hold: a client that asked for TLS is told no, then why',
  async (t, engine) => {
    const stage = await openStage(t, { engine, frontends: { app: { hold: 0 } } });
    const client = await connectPeer(stage.at(), sslRequest);
    await client.untilBytes(1);
    assert.equal(client.received.toString(), 'N');
    client.socket.write(hello);
    await until(() => client.ended, 'the answer');
    assert.equal(readError(client.received.subarray(1)).sqlstate, '57P03');
    await until(() => stage.diary.lines.length === 2, 'the notices');
    assert.deepEqual(stage.diary.lines, ['accepted', 'rejected no-server']);
  },
  oneLoop,
);

onDrivers(
  'hold: a full hold and max_connections are told with 53300, and a place that was left is free',
  async (t, engine) => {
    const stage = await openStage(t, { engine, frontends: { app: { hold_max: 1, max_connections: 2 } } });
    const first = await connectPeer(stage.at(), hello);
    await until(() => stage.gauge().held === 1, 'one in the hold');
    const second = await connectPeer(stage.at(), hello);
    await until(() => second.ended, 'the answer of the full hold');
    assert.match(readError(second.received).message, /1 clients wait already/);
    const idle = await connectPeer(stage.at());
    await until(() => stage.diary.count('accepted') === 3, 'the third client');
    const third = await connectPeer(stage.at(), hello);
    await until(() => third.ended, 'the answer of the full frontend');
    assert.deepEqual([readError(third.received).sqlstate], ['53300']);
    assert.match(readError(third.received).message, /max_connections/);
    idle.socket.end();
    first.socket.end();
    await until(() => stage.gauge().held === 0, 'the hold to be empty');
    const late = await connectPeer(stage.at(), hello);
    await until(() => stage.gauge().held === 1, 'the late client in the hold');
    assert.equal(late.ended, false);
  },
);

onDrivers(
  'hold: a client from elsewhere is closed unheard',
  async (t, engine) => {
    const stage = await openStage(t, { engine, frontends: { app: { allow: ['10.0.0.0/8'] } } });
    const client = await connectPeer(stage.at(), hello);
    await until(() => client.ended || client.closed, 'the close');
    assert.equal(client.bytes, 0);
    await until(() => stage.diary.lines.length === 2, 'the notices');
    assert.deepEqual(stage.diary.lines, ['accepted', 'rejected not-allowed']);
    assert.equal(stage.gauge().connections, 0);
  },
  oneLoop,
);

onDrivers(
  'dial: a candidate that refuses is passed over for the next',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      frontends: { app: { route: 'any', balance: 'first' } },
      initial: [pg1Leads, 'pg1'],
    });
    await stage.servers['pg1']!.refuse();
    await connectPeer(stage.at(), hello);
    const peer = await stage.servers['pg2']!.peer(0);
    await peer.untilBytes(hello.length);
    assert.ok(peer.received.equals(hello));
    await until(() => stage.diary.lines.length === 3, 'the notices');
    assert.deepEqual(stage.diary.lines, ['accepted', 'connectFailed pg1 refused', 'connected pg2']);
  },
  oneLoop,
);

onDrivers(
  'dial: a primary that refuses for a while costs its clients time and nothing else',
  async (t, engine) => {
    const stage = await openStage(t, { engine });
    const server = stage.servers['pg1']!;
    const { port } = server.address;
    await server.refuse();
    stage.topology.set(pg1Leads, 'pg1');
    const clients = await Promise.all(Array.from({ length: 20 }, () => connectPeer(stage.at(), hello)));
    await until(() => stage.diary.count('connectFailed') > 25, 'several attempts');
    await server.listen(port);
    await until(() => stage.gauge().sessions === 20, 'all clients to be served');
    assert.ok(clients.every(client => !client.ended && !client.closed));
    await until(() => stage.diary.count('holdEnded served') === 20, 'the notices');
    assert.equal(stage.diary.count('held'), 20);
  },
);

onDrivers(
  'cancel: a request reaches the server that gave out the key, and only that one',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      frontends: { app: { route: 'any', balance: 'roundrobin' } },
      initial: [pg1Leads, 'pg1'],
    });
    const pids: Record<string, number> = { pg1: 100, pg2: 200 };
    for (const [name, server] of Object.entries(stage.servers)) {
      server.onPeer = (peer, index) => {
        if (index === 0) peer.socket.write(greetingWithKey(pids[name]!, 7));
        else peer.socket.once('data', () => peer.socket.end());
      };
    }
    const sessions = [await connectPeer(stage.at(), hello), await connectPeer(stage.at(), hello)];
    await Promise.all(sessions.map(session => session.untilBytes(22)));
    const canceller = await connectPeer(stage.at(), cancelPacket(200, 7));
    await until(() => canceller.ended, 'the end of the cancel connection');
    const [, request] = stage.servers['pg2']!.peers;
    assert.ok(request!.received.equals(cancelPacket(200, 7)));
    assert.equal(stage.servers['pg1']!.peers.length, 1);
    await until(() => stage.diary.count('connected') === 2, 'the notices');
    // A key that nobody gave out goes to every server with sessions of this frontend.
    const stranger = await connectPeer(stage.at(), cancelPacket(999, 7));
    await until(() => stranger.ended, 'the end of the second cancel connection');
    assert.deepEqual([stage.servers['pg1']!.peers.length, stage.servers['pg2']!.peers.length], [2, 3]);
    canceller.socket.end();
    stranger.socket.end();
    await until(() => stage.gauge().connections === 2, 'only the sessions to be left');
  },
  oneLoop,
);

onDrivers(
  'cancel: a request that reaches a worker that never saw its session still reaches its server',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      frontends: { app: { route: 'any', balance: 'leastconn' } },
      initial: [pg1Leads, 'pg1'],
    });
    const [pg1, pg2] = [stage.servers['pg1']!, stage.servers['pg2']!];
    const requests: Record<string, number> = { pg1: 0, pg2: 0 };
    for (const [name, server] of Object.entries(stage.servers)) {
      server.onPeer = peer => {
        peer.socket.once('data', (bytes: Buffer) => {
          if (!bytes.equals(cancelPacket(200, 7))) return;
          requests[name]! += 1;
          peer.socket.end();
        });
      };
    }
    await connectPeer(stage.at(), hello);
    await until(() => stage.gauge().sessions === 1, 'the first session');
    await connectPeer(stage.at(), hello);
    await until(() => pg1.peers.length === 1 && pg2.peers.length === 1, 'a session on each server');
    for (let sent = 1; sent <= 12; sent += 1) {
      const canceller = await connectPeer(stage.at(), cancelPacket(200, 7));
      await until(() => canceller.ended, 'the end of the cancel connection');
      canceller.socket.end();
      assert.deepEqual(requests, { pg1: sent, pg2: sent });
    }
    await until(() => stage.gauge().connections === 2, 'only the sessions to be left');
  },
);
