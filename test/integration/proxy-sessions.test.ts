// Who is behind a connection that a server sees: sessions listed and closed on real sockets, on every engine.

import assert from 'node:assert/strict';
import { startupPacket } from '../support/tcp-packets.ts';
import { connectPeer, until } from '../support/tcp-peers.ts';
import { onDrivers, openStage } from '../support/tcp-proxy.ts';
import { pass } from '../support/views.ts';

const hello = startupPacket();
const CLIENTS = 12;
const PAUSE_MS = 300;
const LONG_MS = 60_000;
const LARGE = 3_000_000;

onDrivers(
  'sessions: the port that a server sees leads to the client behind it, and that one can be closed',
  async (t, engine) => {
    const stage = await openStage(t, { engine, servers: ['pg1'], initial: [{ pg1: pass() }, 'pg1'] });
    const pg1 = stage.servers['pg1']!;
    // Each says its own port, so that the server's side knows who it is by another way than ours.
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        const peer = await connectPeer(stage.at(), hello);
        const port = peer.socket.localPort ?? 0;
        peer.socket.write(`I am ${port};`);
        return { peer, port };
      }),
    );
    const saidBy = (index: number): number =>
      Number(/I am (\d+);/.exec(pg1.peers[index]?.received.toString('latin1') ?? '')?.[1]);
    await until(
      () => pg1.peers.length === CLIENTS && pg1.peers.every((_, index) => saidBy(index) > 0),
      'all to be heard',
    );
    const ids = new Set<string>();
    for (const [index, seen] of pg1.peers.entries()) {
      const found = await stage.proxy.sessions({ serverPort: seen.socket.remotePort ?? 0 });
      assert.equal(found.matched, 1);
      const [session] = found.sessions;
      assert.ok(session);
      assert.equal(session.client.port, saidBy(index));
      assert.deepEqual(session.peer, session.client);
      assert.equal(session.local?.port, seen.socket.remotePort);
      assert.equal(session.bytesUp, hello.length + `I am ${saidBy(index)};`.length);
      assert.ok(session.idleMs <= session.ageMs);
      ids.add(session.id);
    }
    assert.equal(ids.size, CLIENTS);
    const all = await stage.proxy.sessions({ backend: 'app', server: 'pg1', frontend: 'app', limit: 5 });
    assert.deepEqual([all.matched, all.sessions.length, all.silentWorkers], [CLIENTS, 5, 0]);
    const [first] = all.sessions;
    assert.ok(first);
    assert.equal((await stage.proxy.sessions({ client: first.client.host })).matched, CLIENTS);
    assert.equal((await stage.proxy.sessions({ client: '192.0.2.0/24' })).matched, 0);

    assert.equal(await stage.proxy.closeSessions([first.id, 'nobody-1'], 'operator'), 1);
    const closed = clients.find(({ port }) => port === first.client.port);
    await until(() => closed?.peer.ended === true, 'the closed one to see its end');
    await until(() => stage.diary.count('sessionEnded pg1 operator') === 1, 'the notice');
    assert.equal(await stage.proxy.closeSessions([first.id], 'operator'), 0);
    assert.equal((await stage.proxy.sessions({})).matched, CLIENTS - 1);
  },
);

onDrivers(
  'sessions: what a paused client sends is not read, nor lost; it goes on by itself',
  async (t, engine) => {
    const stage = await openStage(t, { engine, servers: ['pg1'], initial: [{ pg1: pass() }, 'pg1'] });
    const pg1 = stage.servers['pg1']!;
    const client = await connectPeer(stage.at(), hello);
    await until(() => pg1.peers[0]?.received.length === hello.length, 'it to be joined');
    const server = pg1.peers[0]!;
    const heard = (): number => server.received.length - hello.length;
    const { sessions } = await stage.proxy.sessions({});
    const ids = sessions.map(({ id }) => id);
    const startedAt = performance.now();
    assert.equal(await stage.proxy.pauseSessions([...ids, 'nobody-1'], PAUSE_MS), 1);
    client.socket.write('amid the pause, ');
    server.socket.write('the other way is open');
    await until(() => client.received.length === 'the other way is open'.length, 'the server to be heard');
    // Behind what it may have sent before: the whole of it comes at once, when the time is up.
    await until(() => heard() > 0, 'the pause to end');
    const waitedMs = performance.now() - startedAt;
    assert.ok(waitedMs >= PAUSE_MS - 1, `it was read after ${waitedMs} ms`);
    client.socket.write(Buffer.alloc(LARGE, 'x'));
    await until(() => heard() === 'amid the pause, '.length + LARGE, 'all of it');

    // Who is paused when it is closed, or leaves, ends as always.
    assert.equal(await stage.proxy.pauseSessions(ids, LONG_MS), 1);
    const told = (await stage.proxy.sessions({})).sessions.map(
      ({ bytesUp, bytesDown }) => bytesUp + bytesDown,
    );
    assert.equal(
      await stage.proxy.closeSessions(ids, 'switchover', {
        bytes: told,
        idleBelowMs: LONG_MS,
        idleFromMs: LONG_MS,
      }),
      0,
      'whether it rests is not known',
    );
    assert.equal(await stage.proxy.closeSessions(ids, 'operator'), 1);
    await until(() => client.ended, 'the paused one to see its end');
  },
);
