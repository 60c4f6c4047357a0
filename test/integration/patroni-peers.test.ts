// The client of Patroni's REST API against peers that behave as Patroni does (an answer, then the end of the connection),
// as it does without its store (no answer at all), and as no Patroni would.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { PatroniClient } from '../../src/health/probers/patroni/client.ts';
import { type PatroniAnswer } from '../../src/health/result.ts';
import { until } from '../support/wait.ts';

const TIMEOUT_MS = 200;

/** `end`: the connection is ended without an answer; `silence`: nothing happens. */
type Reply = 'end' | 'silence' | { readonly status?: number; readonly body: string };

interface Peer {
  readonly port: number;
  readonly asked: string[];
  /** Connections that the client has reset instead of reading to their end. */
  readonly resets: () => number;
  reply: (path: string) => Reply;
}

async function patroniPeer(t: TestContext, reply: Peer['reply']): Promise<Peer> {
  const sockets = new Set<Socket>();
  let resets = 0;
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => (resets += 1));
    socket.once('data', chunk => {
      const path = chunk.toString('latin1').split(' ')[1] ?? '';
      peer.asked.push(path);
      const answer = peer.reply(path);
      if (answer === 'silence') return;
      if (answer === 'end') return void socket.end();
      const { status = 200, body } = answer;
      socket.end(
        `HTTP/1.0 ${status} x\r\nServer: BaseHTTP/0.6\r\nContent-Type: application/json\r\n\r\n${body}`,
      );
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  const peer: Peer = { port, asked: [], resets: () => resets, reply };
  return peer;
}

interface Heard {
  readonly answer: PatroniAnswer | null;
  readonly detail: string;
}

function clientOf(
  t: TestContext,
  port: number,
  { intervalMs = 60_000, onHeard }: { intervalMs?: number; onHeard?: (client: PatroniClient) => void } = {},
): { client: PatroniClient; heard: Heard[] } {
  const heard: Heard[] = [];
  const client: PatroniClient = new PatroniClient(
    {
      address: { host: '127.0.0.1', port },
      tls: { mode: 'disable', caFile: null, serverName: null },
      intervalMs,
      fastIntervalMs: 20,
      timeoutMs: TIMEOUT_MS,
      clock: systemClock,
    },
    (answer, detail) => {
      heard.push({ answer, detail });
      onHeard?.(client);
    },
  );
  t.after(() => client.stop());
  client.start();
  return { client, heard };
}

const cluster = (leader: string | null, names = ['a', 'b'], state = 'running'): { body: string } => ({
  body: JSON.stringify({
    members: names.map(name => ({
      name,
      role: name === leader ? 'leader' : 'replica',
      state: name === leader ? state : 'running',
      host: name,
      port: 5432,
    })),
  }),
});
const node = (storeSeen: number): { body: string } => ({
  body: JSON.stringify({ state: 'running', dcs_last_seen: storeSeen }),
});

test('patroni client: it tells who leads and who there is, reads answers to their end, and asks again in its own time', async t => {
  const peer = await patroniPeer(t, () => cluster('a'));
  const { heard } = clientOf(t, peer.port, { intervalMs: 30 });
  await until('three answers', () => heard.length >= 3);
  assert.equal(heard[0]?.answer?.leader, 'a');
  assert.deepEqual(heard[0].answer.members[1]?.address, { host: 'b', port: 5432 });
  assert.deepEqual(new Set(peer.asked), new Set(['/cluster']));
  assert.equal(peer.resets(), 0);
});

test('patroni client: while nobody leads, or the leader does not run, it asks fast', async t => {
  for (const moving of [cluster(null), cluster('a', ['a', 'b'], 'stopping')]) {
    const peer = await patroniPeer(t, () => moving);
    const { heard } = clientOf(t, peer.port);
    await until('three answers', () => heard.length >= 3);
  }
});

test('patroni client: asked at once it asks at once, and once more when a question was under way', async t => {
  const peer = await patroniPeer(t, () => cluster('a'));
  const { client, heard } = clientOf(t, peer.port);
  client.askNow(); // while the first is under way
  await until('both answers', () => heard.length === 2);
  client.askNow();
  await until('a third', () => heard.length === 3);
});

test('patroni client: once asked at once it asks fast until another leads', async t => {
  const peer = await patroniPeer(t, () => cluster('a'));
  const { client, heard } = clientOf(t, peer.port);
  await until('an answer', () => heard.length === 1);
  client.askNow();
  await until('several answers', () => heard.length > 5);
  peer.reply = () => cluster('b');
  await until('the other leader', () => heard.at(-1)?.answer?.leader === 'b');
  const { length } = heard;
  const other = clientOf(t, peer.port, { intervalMs: 20 });
  await until('time to pass', () => other.heard.length > 5);
  assert.equal(heard.length, length, 'and then in its own time');
});

test('patroni client: whoever is told may ask again at once, or stop it', async t => {
  const peer = await patroniPeer(t, () => cluster('a'));
  const asking = clientOf(t, peer.port, {
    onHeard: client => {
      if (asking.heard.length < 3) client.askNow();
      else client.stop();
    },
  });
  await until('three answers', () => asking.heard.length === 3);
  asking.client.askNow();
  assert.equal(peer.asked.length, 3, 'it was stopped');
});

test('patroni client: without its store Patroni is asked for that only, until it has reached it again', async t => {
  let seen = 100;
  const down = (path: string): Reply => (path === '/cluster' ? 'end' : node(seen));
  const peer = await patroniPeer(t, down);
  const { heard } = clientOf(t, peer.port, { intervalMs: 10 });
  await until('several questions', () => peer.asked.length > 8);
  assert.equal(peer.asked.filter(path => path === '/cluster').length, 2, peer.asked.join(' '));
  assert.ok(heard.every(({ answer }) => answer === null));
  assert.equal(new Set(heard.map(({ detail }) => detail)).size, 1, 'and says the same all the time');
  peer.reply = path => (path === '/cluster' ? cluster('b') : node(seen));
  seen = 101;
  await until('an answer', () => heard.at(-1)?.answer?.leader === 'b');
});

test('patroni client: one that does not tell when it last reached its store is asked the real question each time', async t => {
  const peer = await patroniPeer(t, path => (path === '/cluster' ? 'end' : { body: '{}' }));
  clientOf(t, peer.port, { intervalMs: 10 });
  await until('several questions', () => peer.asked.filter(path => path === '/cluster').length > 3);
});

test('patroni client: silence, refusals and odd answers are told, and an answer after them is heard', async t => {
  const cases: readonly (readonly [Reply, RegExp])[] = [
    ['silence', /no answer within 200 ms/],
    ['end', /closed the connection/],
    [{ status: 503, body: 'no' }, /GET \/cluster answers 503/],
    [{ body: '<html>' }, /none of Patroni/],
    [{ body: 'x'.repeat(300 * 1024) }, /not an answer/],
  ];
  for (const [reply, words] of cases) {
    const peer = await patroniPeer(t, () => reply);
    const { heard } = clientOf(t, peer.port, { intervalMs: 10 });
    await until('a word', () => heard.length > 0);
    assert.equal(heard[0]?.answer, null);
    assert.match(heard[0].detail, words);
    peer.reply = () => cluster('a');
    await until('an answer', () => heard.at(-1)?.answer?.leader === 'a');
  }
});

test('patroni client: stopped amid a question it tells nothing more', async t => {
  const peer = await patroniPeer(t, () => 'silence');
  const { client, heard } = clientOf(t, peer.port);
  await until('the question', () => peer.asked.length === 1);
  client.stop();
  const other = clientOf(t, peer.port);
  await until('the other one to give up', () => other.heard.length === 1);
  assert.equal(heard.length, 0);
});

test('patroni client: nobody listens there', async t => {
  const peer = await patroniPeer(t, () => 'end');
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  taken.close();
  await once(taken, 'close');
  assert.notEqual(port, peer.port);
  const { heard } = clientOf(t, port);
  await until('a word', () => heard.length === 1);
  assert.match(heard[0]?.detail ?? '', /ECONNREFUSED/);
});
