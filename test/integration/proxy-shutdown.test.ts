// What a shutdown does to clients, sessions, ports and threads, and a failed bind to the other ports; on every engine.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { connectPeer, until, type Peer } from '../support/tcp-peers.ts';
import { openDescriptors } from '../support/proc.ts';
import { cancelPacket, readError, startupPacket } from '../support/tcp-packets.ts';
import { oneLoop, onEngines, openStage, type Stage } from '../support/tcp-proxy.ts';
import { fail, pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const pg1Leads = { pg1: pass(), pg2: passReplica() };

async function join(stage: Stage, count: number, frontend?: string): Promise<Peer[]> {
  const clients = await Promise.all(
    Array.from({ length: count }, () => connectPeer(stage.at(frontend), hello)),
  );
  await until(() => stage.gauge(frontend).sessions === count, `${count} sessions`);
  return clients;
}

// First, so that what other tests leave to be collected doesn't count.
onEngines('shutdown: after close no socket, timer, descriptor or thread of it is left', async (t, engine) => {
  const resources = (): string => {
    const kinds = process
      .getActiveResourcesInfo()
      .filter(kind => /TCP|Timeout|MessagePort|Worker/.test(kind));
    return kinds.sort().join();
  };
  const before = { resources: resources(), descriptors: openDescriptors() };
  const stage = await openStage(t, {
    engine,
    frontends: { app: {}, reads: { route: 'replica', idle_timeout: '1h' } },
    initial: [{ pg1: pass(), pg2: fail() }, 'pg1'],
  });
  const clients = [await connectPeer(stage.at(), hello), await connectPeer(stage.at(), cancelPacket(1, 1))];
  clients.push(await connectPeer(stage.at('reads'), hello), await connectPeer(stage.at()));
  await until(() => stage.gauge().sessions === 1 && stage.gauge('reads').held === 1, 'one joined, one held');
  assert.notEqual(resources(), before.resources);
  await stage.proxy.close();
  for (const { socket } of clients) socket.destroy();
  for (const server of Object.values(stage.servers)) await server.refuse();
  await until(
    () => resources() === before.resources && stage.workers.live.length === 0,
    `the resources of the beginning (${before.resources}), now ${resources()}`,
  );
  await until(() => openDescriptors() <= before.descriptors, `${before.descriptors} descriptors`);
});

onEngines('shutdown: held clients are told, sessions may finish, the port is closed', async (t, engine) => {
  const stage = await openStage(t, {
    engine,
    frontends: { app: {}, reads: { route: 'replica' } },
    initial: [{ pg1: fail(), pg2: passReplica() }, null],
  });
  const held = await connectPeer(stage.at(), hello);
  await until(() => stage.gauge().held === 1, 'one in the hold');
  const [session] = await join(stage, 1, 'reads');
  const address = stage.at();
  const giveUpAt = performance.now() + 10_000;
  let drained = false;
  const draining = stage.proxy.drain(20_000).then(() => (drained = true));
  await until(() => held.ended, 'the answer');
  assert.equal(readError(held.received).sqlstate, '57P01');
  held.socket.end();
  // Each worker stops accepting for itself.
  let late = await connectPeer(address, hello);
  while (engine !== 'net' && late.error !== 'ECONNREFUSED' && performance.now() < giveUpAt) {
    late.socket.destroy();
    late = await connectPeer(address, hello);
  }
  assert.equal(late.error, 'ECONNREFUSED');
  assert.equal(stage.gauge().available, false);
  assert.equal(drained, false);
  session!.socket.end();
  const server = await stage.servers['pg2']!.peer(0);
  server.socket.end();
  await draining;
  // Of several workers one may still have taken in a late client, and turned it away when it stopped itself.
  const [told, waited] = [stage.diary.count('rejected shutdown'), stage.diary.count('holdEnded closed')];
  if (oneLoop(engine)) assert.deepEqual([told, waited], [1, 1]);
  else assert.ok(told >= 1 && waited >= 1 && told >= waited, `${told} told, ${waited} of them held`);
  assert.equal(stage.diary.ends[0]!.reason, 'client');
});

onEngines('shutdown: sessions that go on are closed at the deadline', async (t, engine) => {
  const stage = await openStage(t, { engine, initial: [pg1Leads, 'pg1'] });
  const clients = await join(stage, 5);
  await stage.proxy.drain(50);
  await until(() => clients.every(client => client.closed || client.ended), 'the closes');
  assert.equal(stage.diary.count('sessionEnded pg1 shutdown'), 5);
  assert.equal(stage.gauge().connections, 0);
});

onEngines(
  'listen: a port in use is named with its frontend, and the other ports are closed again',
  async (t, engine) => {
    const blocker = createServer();
    await new Promise<void>(resolve => blocker.listen(0, '127.0.0.1', resolve));
    t.after(() => blocker.close());
    const { port } = blocker.address() as { port: number };
    await assert.rejects(
      openStage(t, { engine, frontends: { free: {}, taken: { bind: `127.0.0.1:${port}` } } }),
      {
        code: 'BIND_FAILED',
        message: new RegExp(`^frontend taken: cannot listen on 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`),
      },
    );
  },
);

onEngines(
  'shutdown: a drain ends busy sessions at its deadline and leaves nothing behind',
  async (t, engine) => {
    const stage = await openStage(t, { engine, initial: [pg1Leads, 'pg1'] });
    const descriptors = openDescriptors();
    stage.servers['pg1']!.onPeer = ({ socket }) => socket.pipe(socket);
    const clients = await join(stage, 50);
    const chunk = Buffer.alloc(16 * 1024, 'x');
    for (const { socket } of clients) {
      const pump = (): void => void (socket.writable && socket.write(chunk));
      socket.on('data', pump);
      socket.on('error', () => undefined); // the close at the deadline may cross bytes on their way
      pump();
    }
    await until(() => stage.gauge().bytesDown > 4 * 1024 * 1024, 'traffic');
    const startedAt = performance.now();
    await stage.proxy.drain(300);
    const tookMs = performance.now() - startedAt;
    assert.ok(tookMs >= 295, `${tookMs} ms`);
    await until(() => clients.every(({ closed, ended }) => closed || ended), 'the closes');
    assert.equal(stage.gauge().sessions, 0);
    assert.equal(stage.diary.count('sessionEnded pg1 shutdown'), 50);
    for (const { socket } of clients) socket.destroy();
    await until(() => openDescriptors() <= descriptors, `at most ${descriptors} descriptors again`);
  },
);
