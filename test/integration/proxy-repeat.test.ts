// Requests that a server has received and not answered: with HTTP another server is asked, when that is safe, and never when
// it isn't. Scripted servers and clients on real sockets, on every engine.

import assert from 'node:assert/strict';
import { type TestContext } from 'node:test';
import { fullQueue } from '../support/full-queue.ts';
import { beginPeer, connectPeer, until, type Peer, type ScriptServer } from '../support/tcp-peers.ts';
import { onEngines, openStage, type Engine, type Stage, type StageOptions } from '../support/tcp-proxy.ts';
import { fail, passTcp } from '../support/views.ts';

const GET = Buffer.from('GET /a HTTP/1.1\r\nHost: a\r\nCookie: b=c\r\n\r\n');
const POST = Buffer.from('POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n');
const ANSWER = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi');

const bothWell = { pg1: passTcp(), pg2: passTcp() };

interface HttpStage extends Stage {
  readonly pg1: ScriptServer;
  readonly pg2: ScriptServer;
}

/** pg1 is asked first, as long as nothing is held against it. */
async function openHttpStage(
  t: TestContext,
  engine: Engine,
  { frontend = {}, ...options }: StageOptions & { readonly frontend?: Record<string, unknown> } = {},
): Promise<HttpStage> {
  const stage = await openStage(t, {
    engine,
    frontends: { app: { route: 'any', balance: 'first', ...frontend } },
    initial: [bothWell, null],
    backend: { protocol: 'http' },
    ...options,
  });
  const { pg1, pg2 } = stage.servers;
  assert.ok(pg1 && pg2);
  return { ...stage, pg1, pg2 };
}

/** What a server does with a connection once it has read `count` bytes of it. */
function onBytes(server: ScriptServer, count: number, act: (peer: Peer) => void): void {
  server.onPeer = peer => {
    let acted = false;
    peer.socket.on('data', () => {
      if (acted || peer.bytes < count) return;
      acted = true;
      act(peer);
    });
  };
}

const reset = ({ socket }: Peer): void => void socket.resetAndDestroy();
const end = ({ socket }: Peer): void => void socket.end();
const answer = ({ socket }: Peer): void => void socket.write(ANSWER);
const gone = (peer: Peer): boolean => peer.closed || peer.ended;

for (const [how, leave] of [
  ['resets', reset],
  ['ends', end],
] as const) {
  onEngines(
    `repeat: of a server that ${how} without a word the next one gets the request`,
    async (t, engine) => {
      const stage = await openHttpStage(t, engine);
      const { pg1, pg2, diary } = stage;
      onBytes(pg1, GET.length, leave);
      onBytes(pg2, GET.length, answer);
      const client = await connectPeer(stage.at(), GET);
      await client.untilBytes(ANSWER.length);
      assert.deepEqual(client.received, ANSWER);
      const [first, second] = [await pg1.peer(0), await pg2.peer(0)];
      assert.deepEqual([first.received, second.received], [GET, GET]);
      await until(() => gone(first), 'the first server to be let go');
      // The connection goes on as any other.
      client.socket.write(GET);
      await second.untilBytes(2 * GET.length);
      assert.deepEqual(second.received, Buffer.concat([GET, GET]));
      assert.deepEqual([stage.gauge().sessions, stage.gauge().connections], [1, 1]);
      second.socket.end();
      client.socket.end();
      await until(() => diary.count('sessionEnded') === 1, 'the end of the session');
      await until(() => stage.gauge().connections === 0, 'the client to be gone');
      assert.deepEqual(
        diary.lines.map(line => line.replace(/(sessionEnded pg2) .*/, '$1')).sort(),
        [
          'accepted',
          'connectFailed pg1 unanswered',
          'connected pg1',
          'connected pg2',
          'sessionEnded pg2',
        ].sort(),
      );
      const [{ bytesUp, bytesDown } = assert.fail()] = diary.ends;
      assert.deepEqual([bytesUp, bytesDown], [2 * GET.length, ANSWER.length]);
      const gauge = stage.gauge();
      assert.deepEqual([gauge.sessions, gauge.bytesUp, gauge.bytesDown], [0, bytesUp, bytesDown]);
      assert.deepEqual([pg1.peers.length, pg2.peers.length], [1, 1]);
    },
  );
}

onEngines('repeat: 60 clients at once of a server that is dying, none of them notices', async (t, engine) => {
  const stage = await openHttpStage(t, engine, { frontend: { balance: 'roundrobin' } });
  // Like a process that is being killed: its kernel has accepted, and resets, before or after it was asked.
  stage.pg1.onPeer = (peer, index) => {
    if (index % 2 === 0) reset(peer);
    else peer.socket.on('data', () => reset(peer));
  };
  onBytes(stage.pg2, GET.length, answer);
  const clients = Array.from({ length: 60 }, () => {
    const client = beginPeer(stage.at());
    client.socket.write(GET);
    return client;
  });
  for (const client of clients) await client.untilBytes(ANSWER.length);
  assert.ok(clients.every(({ received }) => received.equals(ANSWER)));
  assert.equal(stage.gauge().sessions, 60);
  assert.ok(stage.pg1.peers.length > 0);
  assert.equal(stage.pg2.peers.length, 60);
  for (const { socket } of clients) socket.destroy();
  for (const { socket } of stage.pg2.peers) socket.destroy();
  await until(() => stage.gauge().connections === 0, 'all to be gone');
  await until(() => stage.diary.ends.length === 60, 'the end of each');
  assert.ok(stage.diary.ends.every(({ server }) => server === 'pg2'));
});

onEngines(
  'repeat: a request that was repeated weighs on the server that has it, and on no other',
  async (t, engine) => {
    const stage = await openHttpStage(t, engine, { frontend: { balance: 'leastconn' } });
    const { pg1, pg2 } = stage;
    onBytes(pg2, GET.length, answer);
    onBytes(pg1, GET.length, reset);
    for (let sessions = 1; sessions <= 4; sessions += 1) {
      await (await connectPeer(stage.at(), GET)).untilBytes(ANSWER.length);
      assert.equal(stage.gauge().sessions, sessions);
      // Probed since, so that it is tried again.
      const well = { ...passTcp(performance.now()), durationMs: 0 };
      stage.topology.set({ pg1: well, pg2: well }, null);
      await stage.settled();
    }
    assert.equal(pg2.peers.length, 4);
    const before = pg1.peers.length;
    assert.ok(before > 0);
    onBytes(pg1, GET.length, answer);
    for (let more = 1; more <= 3; more += 1)
      await (await connectPeer(stage.at(), GET)).untilBytes(ANSWER.length);
    assert.deepEqual([pg1.peers.length, pg2.peers.length], [before + 3, 4]);
  },
);

interface Unsafe {
  readonly name: string;
  readonly first: Buffer;
  /** What comes to pass before pg1 resets. */
  readonly before: (client: Peer, server: Peer) => Promise<void>;
  readonly received: Buffer;
}

const unsafe: readonly Unsafe[] = [
  {
    name: 'a server that has sent one byte is not replaced',
    first: GET,
    before: async (client, server) => {
      server.socket.write('H');
      await client.untilBytes(1);
    },
    received: Buffer.from('H'),
  },
  { name: 'a POST is not repeated', first: POST, before: () => Promise.resolve(), received: Buffer.alloc(0) },
  {
    name: 'a client that has sent more meanwhile is not repeated',
    first: GET,
    before: async (client, server) => {
      client.socket.write(GET);
      await server.untilBytes(2 * GET.length);
    },
    received: Buffer.alloc(0),
  },
  {
    name: 'two requests sent at once are not repeated',
    first: Buffer.concat([GET, GET]),
    before: () => Promise.resolve(),
    received: Buffer.alloc(0),
  },
  {
    name: 'a later request on a kept connection is not repeated',
    first: GET,
    before: async (client, server) => {
      server.socket.write(ANSWER);
      await client.untilBytes(ANSWER.length);
      client.socket.write(GET);
      await server.untilBytes(2 * GET.length);
    },
    received: ANSWER,
  },
];

onEngines(`no repeat: ${unsafe.map(({ name }) => name).join('; ')}`, async (t, engine) => {
  const stage = await openHttpStage(t, engine);
  for (const [index, { name, first, before, received }] of unsafe.entries()) {
    const client = await connectPeer(stage.at(), first);
    const server = await stage.pg1.peer(index);
    await server.untilBytes(first.length);
    await before(client, server);
    reset(server);
    await until(() => gone(client), `the end: ${name}`);
    assert.deepEqual(client.received, received, name);
  }
  assert.equal(stage.pg2.peers.length, 0);
  await until(() => stage.diary.ends.length === unsafe.length, 'the end of each');
  assert.equal(stage.diary.count('connectFailed'), 0);
});

onEngines(
  'repeat: when every server goes without a word, so does the client’s, in the same way',
  async (t, engine) => {
    const stage = await openHttpStage(t, engine);
    const { pg1, pg2, diary } = stage;
    onBytes(pg1, GET.length, reset);
    onBytes(pg2, GET.length, reset);
    const cut = await connectPeer(stage.at(), GET);
    await until(() => cut.closed, 'the reset');
    assert.deepEqual([cut.bytes, cut.error], [0, 'ECONNRESET']);
    assert.equal(pg1.peers.length + pg2.peers.length, 3, 'one attempt, and one more for each server');
    assert.ok(pg2.peers.length > 0);
    await until(() => diary.count('sessionEnded') === 1, 'the end of the session');
    assert.deepEqual([diary.count('connectFailed'), diary.ends[0]?.reason], [2, 'server-reset']);
    onBytes(pg1, GET.length, end);
    onBytes(pg2, GET.length, end);
    const ended = await connectPeer(stage.at(), GET);
    await until(() => ended.ended, 'the end');
    assert.deepEqual([ended.bytes, ended.error, pg1.peers.length + pg2.peers.length], [0, null, 6]);
  },
);

onEngines('repeat: who waits for a server that is marked down is taken to another', async (t, engine) => {
  const stage = await openHttpStage(t, engine);
  const { pg1, pg2, diary } = stage;
  onBytes(pg2, GET.length, answer);
  const [waits, posted] = [await connectPeer(stage.at(), GET), await connectPeer(stage.at(), POST)];
  await until(() => pg1.peers.length === 2 && pg1.peers.every(({ bytes }) => bytes > 0), 'both to be asked');
  stage.topology.set({ pg1: fail(), pg2: passTcp() }, null);
  await waits.untilBytes(ANSWER.length);
  assert.deepEqual(waits.received, ANSWER);
  await until(() => gone(posted), 'the other to be let go');
  assert.equal(posted.bytes, 0);
  await until(() => pg1.peers.every(gone), 'the server to be let go');
  await until(() => diary.count('sessionsClosed') === 1, 'the notice');
  assert.equal(diary.count('sessionsClosed pg1 server-down 1'), 1);
  assert.deepEqual([diary.count('sessionEnded'), diary.count('sessionEnded pg1 server-down')], [1, 1]);
  assert.equal(stage.gauge().sessions, 1);
});

onEngines('repeat: a request that finds nobody else waits for the next server', async (t, engine) => {
  const stage = await openHttpStage(t, engine, { initial: [{ pg1: passTcp() }, null] });
  const { pg1, pg2 } = stage;
  const client = await connectPeer(stage.at(), GET);
  await (await pg1.peer(0)).untilBytes(GET.length);
  stage.topology.set({ pg1: fail() }, null);
  await until(() => stage.gauge().held === 1, 'it to wait');
  assert.equal(stage.gauge().sessions, 0);
  onBytes(pg2, GET.length, answer);
  stage.topology.set({ pg1: fail(), pg2: passTcp() }, null);
  await client.untilBytes(ANSWER.length);
  assert.deepEqual([client.received, pg2.peers[0]?.received], [ANSWER, GET]);
  await until(() => stage.diary.count('holdEnded served') === 1, 'the notice');
});

onEngines('repeat: a client that leaves meanwhile is forgotten', async (t, engine) => {
  const { address } = await fullQueue(t);
  const stage = await openHttpStage(t, engine, {
    addresses: { pg2: address },
    frontend: { connect_timeout: '10m' },
  });
  onBytes(stage.pg1, GET.length, reset);
  const client = await connectPeer(stage.at(), GET);
  await until(() => stage.diary.count('connectFailed pg1 unanswered') === 1, 'the repeat');
  await until(() => stage.gauge().sessions === 0, 'no session');
  assert.equal(stage.gauge().connections, 1);
  client.socket.resetAndDestroy();
  await until(() => stage.gauge().connections === 0, 'it to be forgotten');
  assert.deepEqual([stage.diary.count('sessionEnded'), stage.diary.count('rejected')], [0, 0]);
});

onEngines(
  'first bytes: a client that ends its half right behind its request is answered',
  async (t, engine) => {
    const stage = await openHttpStage(t, engine);
    onBytes(stage.pg1, GET.length, answer);
    const silent = await connectPeer(stage.at());
    await until(() => stage.gauge().connections === 1, 'the silent one');
    for (let i = 0; i < 5; i += 1) {
      const client = beginPeer(stage.at());
      client.socket.end(GET);
      await client.untilBytes(ANSWER.length);
      const server = await stage.pg1.peer(i);
      await until(() => server.ended, 'the end at the server');
      server.socket.end();
      await until(() => client.ended, 'the end at the client');
      assert.deepEqual([client.received, server.received], [ANSWER, GET]);
    }
    // Whoever says nothing costs no server anything yet.
    assert.deepEqual([stage.pg1.peers.length, silent.ended], [5, false]);
  },
);
