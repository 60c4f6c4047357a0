// Many sessions at once, servers that die in the middle of a transfer, and storms of resets, on every engine.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type TestContext } from 'node:test';
import { seededRandom } from '../../src/core/random.ts';
import { startupPacket } from '../support/tcp-packets.ts';
import { beginPeer, connectPeer, ScriptServer, until, type Peer } from '../support/tcp-peers.ts';
import { startProxyChild } from '../support/tcp-child.ts';
import { onEngines, openStage, type Engine } from '../support/tcp-proxy.ts';
import { pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const CROWD = 1_000;
/** Connections begun together: no more than the accept queue takes anywhere. */
const WAVE = 100;
const DESCRIPTORS = 2 * CROWD + 300;

/** A proxy in a process of its own, in front of a server that says what it hears. */
async function beforeEcho(t: TestContext, engine: Engine): ReturnType<typeof startProxyChild> {
  const server = await new ScriptServer().listen(0, '127.0.0.1');
  t.after(() => server.refuse());
  server.onPeer = ({ socket }) => socket.pipe(socket);
  return startProxyChild(t, {
    engine,
    descriptors: DESCRIPTORS,
    server: server.address.port,
  });
}

onEngines(`crowd: ${CROWD} sessions at once, each with its own bytes`, async (t, engine) => {
  const child = await beforeEcho(t, engine);
  const clients: Peer[] = [];
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  while (clients.length < CROWD) {
    const wave = Array.from({ length: WAVE }, () => beginPeer(child.address));
    for (const { socket } of wave) socket.write(hello);
    clients.push(...wave);
    await until(
      () => wave.every(({ bytes, closed }) => bytes === hello.length || closed),
      'a wave to be served',
    );
  }
  assert.equal((await child.report()).sessions, CROWD);
  const texts = clients.map((_, index) => Buffer.from(`I am ${index}.`.repeat(20)));
  clients.forEach(({ socket }, index) => socket.write(texts[index]!));
  await until(
    () =>
      clients.every(({ bytes, closed }, index) => closed || bytes === hello.length + texts[index]!.length),
    'every answer',
  );
  clients.forEach((client, index) => {
    assert.ok(client.received.equals(Buffer.concat([hello, texts[index]!])), `client ${index}`);
  });
  for (const { socket } of clients) socket.end();
  await until(() => clients.every(({ closed }) => closed), 'all to close');
  for (let ended = 0; ended < CROWD;) {
    assert.ok(child.alive());
    ended = (await child.report()).counts['sessionEnded pg1 client'] ?? 0;
  }
  const { sessions, connections, counts } = await child.report();
  assert.deepEqual([sessions, connections, counts['accepted']], [0, 0, CROWD]);
});

/** Of 1,000 newcomers a hundred are always waiting: who came after those would hear nothing until the last of them is served. */
const TURNS_MIN = 10;

onEngines(
  `crowd: an open session has its turns while ${CROWD} newcomers come, a hundred at a time`,
  async (t, engine) => {
    const child = await beforeEcho(t, engine);
    const open = await connectPeer(child.address, hello);
    await open.untilBytes(hello.length);
    open.socket.on('data', () => open.socket.write('.'));
    open.socket.write('.');
    let begun = 0;
    let served = 0;
    const come = (): void => {
      begun += 1;
      const peer = beginPeer(child.address);
      peer.socket.write(hello);
      peer.socket.once('data', () => {
        served += 1;
        peer.socket.destroy();
        if (begun < CROWD) come();
      });
    };
    const before = open.bytes;
    for (let first = 0; first < WAVE; first += 1) come();
    await until(() => served > CROWD - WAVE, 'the newcomers to be served');
    const turns = open.bytes - before;
    open.socket.destroy();
    assert.ok(turns >= TURNS_MIN, `${turns} answers`);
  },
);

/** Writes as fast as it is read and reads nothing: what it was sent is unread when it dies, so its kernel resets. */
const TALKER = `
  const chunk = Buffer.alloc(16384, 'x');
  require('net').createServer({ pauseOnConnect: true }, s => {
    s.on('error', () => {});
    const talk = () => { while (s.write(chunk)); };
    s.on('drain', talk);
    setTimeout(talk, 50);
  }).listen(0, '127.0.0.1', function () { console.log(this.address().port); });`;

onEngines(
  'crash: kill -9 of a server in the middle of transfers is a reset at each client',
  async (t, engine) => {
    const talker = spawn(process.execPath, ['-e', TALKER], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(talker, 'exit');
    t.after(async () => {
      talker.kill('SIGKILL');
      await exited;
    });
    const [line] = (await once(createInterface(talker.stdout), 'line')) as [string];
    const stage = await openStage(t, {
      engine,
      addresses: { pg1: { host: '127.0.0.1', port: Number(line) } },
      initial: [{ pg1: pass(), pg2: passReplica() }, 'pg1'],
    });
    const clients = Array.from({ length: 40 }, () => beginPeer(stage.at()));
    for (const { socket } of clients) {
      socket.write(hello);
      // Read slowly, so that one process can play the forty and, on net, the proxy.
      socket.on('data', () => {
        if (!socket.destroyed && socket.writableLength === 0) socket.write(Buffer.alloc(4096, 'y'));
        socket.pause();
        setTimeout(() => socket.resume(), 5);
      });
    }
    await until(() => stage.gauge().sessions === 40, 'all sessions');
    await until(() => clients.every(({ bytes }) => bytes > 256 * 1024), 'transfers');
    talker.kill('SIGKILL');
    await until(() => clients.every(({ closed, ended }) => closed || ended), 'the clients to hear of it');
    const reasons = new Set(['sessionEnded pg1 server-reset']);
    if (engine === 'net') {
      // libuv tells a reset that comes right behind bytes as an end, so a client may see that instead (uv__stream_io).
      reasons.add('sessionEnded pg1 server');
      for (const { socket } of clients) socket.destroy();
    } else {
      await until(() => clients.every(({ closed }) => closed), 'all to be closed');
      assert.deepEqual([...new Set(clients.map(({ error }) => error))], ['ECONNRESET']);
    }
    await until(() => stage.diary.count('sessionEnded') === 40, 'the notices');
    assert.ok(stage.diary.lines.every(line => !line.startsWith('sessionEnded') || reasons.has(line)));
    await until(() => stage.gauge().connections === 0, 'the gauges to return to 0');
    const { connections, sessions, held } = stage.gauge();
    assert.deepEqual([connections, sessions, held, stage.proxy.sessionsOf('app', 'pg1')], [0, 0, 0, 0]);
    assert.equal(stage.diary.count('workerLost'), 0);
    // The next may wait for it, and is refused or held, not forgotten.
    const next = await connectPeer(stage.at(), hello);
    await until(() => stage.diary.count('connectFailed pg1 refused') > 0, 'a refused dial');
    assert.equal(next.closed, false);
  },
);

onEngines(
  'storm: servers that reset whoever they accept cost no client its end and no tally its truth',
  async (t, engine) => {
    const stage = await openStage(t, { engine, initial: [{ pg1: pass(), pg2: passReplica() }, 'pg1'] });
    const random = seededRandom(5);
    // At once, or when the proxy may just have joined it to its client, or a little later.
    stage.servers['pg1']!.onPeer = ({ socket }) => {
      const ms = Math.floor(random() * 4);
      if (ms === 0 && engine !== 'net') socket.resetAndDestroy();
      else setTimeout(() => socket.resetAndDestroy(), ms);
    };
    for (let round = 0; round < 4; round += 1) {
      const clients = Array.from({ length: 100 }, () => beginPeer(stage.at()));
      for (const { socket } of clients) socket.write(hello);
      // A reset that comes before the proxy has joined them is a failed dial: the client is held, and tries again.
      await until(
        () => clients.every(({ closed, ended }) => closed || ended),
        'every client to hear of its reset',
      );
      for (const { socket } of clients) socket.destroy();
    }
    await until(() => stage.gauge().connections === 0, 'the gauges to return to 0');
    assert.deepEqual(
      [stage.gauge().sessions, stage.gauge().held, stage.proxy.sessionsOf('app', 'pg1')],
      [0, 0, 0],
    );
    assert.equal(stage.diary.count('workerLost'), 0);
    await until(() => stage.diary.ends.length === 400, 'the ends of all sessions');
    // Nothing of them is left to be waited for.
    await stage.proxy.drain(20_000);
  },
);

onEngines('storm: resets from both sides in the middle of transfers', async (t, engine) => {
  const stage = await openStage(t, { engine, initial: [{ pg1: pass(), pg2: passReplica() }, 'pg1'] });
  const random = seededRandom(7);
  const chunk = Buffer.alloc(64 * 1024, 'x');
  const talk = ({ socket }: Peer): void => {
    const more = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', more);
    more();
  };
  const hurt = ({ socket }: Peer): void => {
    setTimeout(() => socket.resetAndDestroy(), random() * 40);
  };
  stage.servers['pg1']!.onPeer = peer => {
    talk(peer);
    if (random() < 0.5) hurt(peer);
  };
  for (let round = 0; round < 4; round += 1) {
    const clients = Array.from({ length: 75 }, () => beginPeer(stage.at()));
    for (const client of clients) {
      client.socket.write(hello);
      talk(client);
      if (random() < 0.7) client.socket.once('data', () => hurt(client));
    }
    await until(() => stage.gauge().sessions > 0 || stage.diary.ends.length > round * 75, 'sessions');
    await new Promise(resolve => setTimeout(resolve, 60 * random()));
    for (const { socket } of clients) socket.resetAndDestroy();
    await until(() => clients.every(({ closed }) => closed), 'the clients to be gone');
  }
  await until(() => stage.gauge().connections === 0, 'the gauges to return to 0');
  assert.deepEqual(
    [stage.gauge().sessions, stage.gauge().held, stage.proxy.sessionsOf('app', 'pg1')],
    [0, 0, 0],
  );
  assert.equal(stage.diary.count('workerLost'), 0);
  await stage.proxy.drain(20_000);
});
