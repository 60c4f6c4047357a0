// Joined sessions on real sockets, on every engine: bytes, back-pressure, ends and resets, in both directions.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext } from 'node:test';
import { connectPeer, until, untilSteady, type Peer } from '../support/tcp-peers.ts';
import { startupPacket } from '../support/tcp-packets.ts';
import { oneLoop, onEngines, openStage, type Engine, type Stage } from '../support/tcp-proxy.ts';
import { pass, passReplica } from '../support/views.ts';

const hello = startupPacket();

async function join(stage: Stage): Promise<{ client: Peer; server: Peer }> {
  const before = stage.servers['pg1']!.peers.length;
  const client = await connectPeer(stage.at(), hello);
  const server = await stage.servers['pg1']!.peer(before);
  await server.untilBytes(hello.length);
  return { client, server };
}

function opened(t: TestContext, engine: Engine, frontend = {}): Promise<Stage> {
  return openStage(t, {
    engine,
    frontends: { app: frontend },
    initial: [{ pg1: pass(), pg2: passReplica() }, 'pg1'],
  });
}

/** Random pieces from 1 byte to 128 KiB. */
function pieces(total: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let offset = 0; offset < total.length;) {
    const size = Math.ceil(2 ** (Math.random() * 17));
    parts.push(total.subarray(offset, offset + size));
    offset += size;
  }
  return parts;
}

onEngines(
  'relay: bytes arrive exact, in both directions at once, in whatever pieces they were sent',
  async (t, engine) => {
    const stage = await opened(t, engine);
    const { client, server } = await join(stage);
    const up = randomBytes(8 * 1024 * 1024);
    const down = randomBytes(8 * 1024 * 1024);
    for (const part of pieces(up)) client.socket.write(part);
    for (const part of pieces(down)) server.socket.write(part);
    await server.untilBytes(hello.length + up.length);
    await client.untilBytes(down.length);
    assert.ok(server.received.equals(Buffer.concat([hello, up])));
    assert.ok(client.received.equals(down));
    client.socket.end();
    await until(() => server.ended, 'the end at the server');
    server.socket.end();
    await until(() => stage.diary.ends.length === 1, 'the end of the session');
    const [end] = stage.diary.ends;
    assert.deepEqual([end!.bytesUp, end!.bytesDown], [hello.length + up.length, down.length]);
    assert.deepEqual([end!.reason, end!.server], ['client', 'pg1']);
    assert.deepEqual(
      [stage.gauge().bytesUp, stage.gauge().bytesDown, stage.gauge().sessions],
      [hello.length + up.length, down.length, 0],
    );
  },
  oneLoop,
);

for (const [reader, writer] of [
  ['client', 'server'],
  ['server', 'client'],
] as const) {
  onEngines(
    `relay: a ${reader} that stops reading stops the ${writer}, with bounded memory, and loses nothing`,
    async (t, engine) => {
      const stage = await opened(t, engine);
      const ends = await join(stage);
      const from = ends[writer];
      const to = ends[reader];
      const already = to.bytes;
      to.socket.pause();
      const sent = randomBytes(64 * 1024 * 1024);
      const rssBefore = process.memoryUsage.rss();
      from.socket.write(sent);
      // The kernel's buffers on four sockets hold some MiB; it has stopped when nothing has moved for a while.
      await untilSteady(
        () =>
          from.socket.bytesWritten -
          from.socket.writableLength +
          stage.gauge().bytesUp +
          stage.gauge().bytesDown,
      );
      const passed = stage.gauge().bytesUp + stage.gauge().bytesDown;
      assert.ok(passed < 32 * 1024 * 1024, `${passed} bytes were taken in for a reader that reads nothing`);
      const grown = process.memoryUsage.rss() - rssBefore;
      assert.ok(grown < 32 * 1024 * 1024, `the process grew by ${grown} bytes`);
      to.socket.resume();
      await to.untilBytes(already + sent.length);
      assert.ok(to.received.subarray(already).equals(sent));
    },
    oneLoop,
  );

  onEngines(
    `relay: the ${writer} ends its half and the ${reader} still speaks`,
    async (t, engine) => {
      const stage = await opened(t, engine);
      const ends = await join(stage);
      ends[writer].socket.end('last words');
      await until(() => ends[reader].ended, 'the end on the other side');
      assert.ok(ends[reader].received.toString('latin1').endsWith('last words'));
      assert.equal(stage.gauge().sessions, 1);
      ends[reader].socket.end('an answer');
      await until(() => ends[writer].closed, 'the close');
      assert.ok(ends[writer].received.toString('latin1').endsWith('an answer'));
      await until(() => stage.diary.ends.length === 1, 'the end of the session');
      assert.equal(stage.diary.ends[0]!.reason, writer);
      assert.equal(ends[writer].error, null);
    },
    oneLoop,
  );

  onEngines(
    `relay: a reset of the ${writer} is a reset at the ${reader}`,
    async (t, engine) => {
      const stage = await opened(t, engine);
      const ends = await join(stage);
      ends[writer].socket.resetAndDestroy();
      await until(() => ends[reader].closed, 'the close on the other side');
      assert.equal(ends[reader].error, 'ECONNRESET');
      await until(() => stage.diary.ends.length === 1, 'the end of the session');
      assert.equal(stage.diary.ends[0]!.reason, `${writer}-reset`);
    },
    oneLoop,
  );
}

onEngines(
  'relay: an idle session is ended by the sweep, a busy one is not',
  async (t, engine) => {
    const stage = await opened(t, engine, { idle_timeout: '400ms' });
    const idle = await join(stage);
    const busy = await join(stage);
    let pings = 0;
    const pinging = setInterval(() => {
      busy.client.socket.write('.');
      pings += 1;
    }, 20);
    t.after(() => clearInterval(pinging));
    await until(() => idle.client.ended && idle.server.ended, 'the end of the idle session');
    const sofar = pings;
    await until(() => pings > sofar + 40, 'twice the timeout');
    assert.equal(stage.gauge().sessions, 1);
    await until(() => stage.diary.ends.length > 0, 'the notice');
    assert.deepEqual(
      stage.diary.ends.map(({ reason }) => reason),
      ['idle'],
    );
  },
  oneLoop,
);

onEngines('relay: 600 sessions at once, each with its own bytes', async (t, engine) => {
  const stage = await opened(t, engine, { max_connections: 600 });
  stage.servers['pg1']!.onPeer = peer => peer.socket.pipe(peer.socket);
  const clients = await Promise.all(Array.from({ length: 600 }, () => connectPeer(stage.at(), hello)));
  const texts = clients.map((_, index) => Buffer.from(`I am ${index}.`.repeat(50)));
  clients.forEach((client, index) => client.socket.write(texts[index]!));
  await Promise.all(clients.map((client, index) => client.untilBytes(hello.length + texts[index]!.length)));
  clients.forEach((client, index) => {
    assert.ok(client.received.equals(Buffer.concat([hello, texts[index]!])));
  });
  assert.equal(stage.gauge().sessions, 600);
  assert.equal(stage.proxy.sessionsOf('app', 'pg1'), 600);
  for (const { socket } of clients) socket.end();
  await until(() => clients.every(({ closed }) => closed), 'all to close');
  await until(() => stage.gauge().connections === 0, 'the gauges to return to 0');
  assert.equal(stage.proxy.sessionsOf('app', 'pg1'), 0);
  await until(() => stage.diary.count('sessionEnded') === 600, 'the ends of all sessions');
  assert.equal(stage.diary.count('workerLost'), 0);
});
