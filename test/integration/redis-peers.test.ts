// The Redis prober against peers that are old, odd, hostile or dying, and the Sentinel client against the same.

import assert from 'node:assert/strict';
import { type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { SentinelClient } from '../../src/health/probers/sentinel/client.ts';
import { type SentinelAnswer } from '../../src/health/result.ts';
import { factsIn, probeRedis, redisProberFor } from '../support/redis.ts';
import { scriptedPeer, type ScriptedPeer } from '../support/scripted-peer.ts';
import { until } from '../support/wait.ts';

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
const list = (...items: string[]): string => `*${items.length}\r\n${items.join('')}`;
const SERVER = 'redis_version:7.0.15\r\nrun_id:abc\r\n';
const PRIMARY = `role:master\r\nmaster_replid:${'a'.repeat(40)}\r\nmaster_replid2:${'0'.repeat(40)}\r\nmaster_repl_offset:12\r\nsecond_repl_offset:-1\r\n`;

type Answers = Readonly<Record<string, string>>;
const normal: Answers = {
  'HELLO 3': '%1\r\n+proto\r\n:3\r\n',
  'INFO server': bulk(SERVER),
  PING: '+PONG\r\n',
  'INFO replication': bulk(PRIMARY),
};

/** Says for each command what `answers` has for its beginning; `send` decides how that goes out. */
function redisPeer(
  t: TestContext,
  answers: Answers,
  send: (socket: Socket, text: string) => void = (socket, text) => void socket.write(text),
): Promise<ScriptedPeer & { readonly asked: string[] }> {
  const asked: string[] = [];
  const peer = scriptedPeer(t, socket => {
    let held = '';
    socket.on('data', chunk => {
      held += chunk.toString();
      for (;;) {
        const match = /^\*(\d+)\r\n/.exec(held);
        if (match === null) return;
        const parts = held.slice(match[0].length).split('\r\n');
        const count = Number(match[1]);
        if (parts.length <= 2 * count) return;
        const command = parts.slice(0, 2 * count).filter((_, i) => i % 2 === 1);
        held = parts.slice(2 * count).join('\r\n');
        asked.push(command.join(' '));
        const known = Object.entries(answers).find(([begin]) => command.join(' ').startsWith(begin));
        if (known !== undefined) send(socket, known[1]);
      }
    });
  });
  return peer.then(made => ({ ...made, asked }));
}

test('redis peers: a server from before Redis 6 is asked in RESP2, and its errors give no password away', async t => {
  const old = {
    ...normal,
    'HELLO 3':
      '-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `sesame`, \r\n',
    'AUTH sesame': '+OK\r\n',
    'AUTH bad': '-ERR invalid password\r\n',
  };
  const peer = await redisPeer(t, old);
  assert.equal(factsIn(await probeRedis(t, peer, { password: 'sesame' })).writable, true);
  assert.deepEqual(peer.asked.slice(0, 2), ['HELLO 3 AUTH default sesame', 'AUTH sesame']);
  const refused = await probeRedis(t, peer, { password: 'bad' });
  assert.equal(refused.code, 'L7AUTH');
  const noPing = await redisPeer(t, {
    ...normal,
    PING: "-ERR unknown command 'PING', with args beginning with: 'x' \r\n",
  });
  const answer = await probeRedis(t, noPing);
  assert.deepEqual([answer.code, answer.detail], ['L7STS', "ERR unknown command 'PING'"]);
  const resp2 = await redisPeer(t, { ...normal, 'HELLO 3': '-NOPROTO unsupported protocol version\r\n' });
  assert.equal(factsIn(await probeRedis(t, resp2)).role, 'primary');
});

test('redis peers: the same answer in pieces of one byte is the same answer', async t => {
  const peer = await redisPeer(t, normal, (socket, text) => {
    socket.setNoDelay(true);
    for (const byte of Buffer.from(text)) socket.write(Uint8Array.of(byte));
  });
  const facts = factsIn(await probeRedis(t, peer));
  assert.deepEqual(facts.history, {
    kind: 'redis',
    replicationId: 'a'.repeat(40),
    offset: 12,
    previous: null,
    runId: 'abc',
  });
});

test('redis peers: each refusal has its class', async t => {
  const cases: readonly (readonly [Answers, string])[] = [
    [{ ...normal, PING: '-LOADING Redis is loading the dataset in memory\r\n' }, 'L7START'],
    [
      {
        ...normal,
        PING: "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
      },
      'L7STS',
    ],
    [{ ...normal, PING: '-BUSY Redis is busy running a script.\r\n' }, 'L7BUSY'],
    [{ ...normal, 'HELLO 3': '-ERR max number of clients reached\r\n' }, 'L7BUSY'],
    [{ ...normal, 'HELLO 3': '-DENIED Redis is running in protected mode\r\n' }, 'L7AUTH'],
    [{ ...normal, 'INFO server': '-NOAUTH Authentication required.\r\n' }, 'L7AUTH'],
    [{ ...normal, 'INFO replication': bulk('role:nobody\r\n') }, 'L7RSP'],
    [{ ...normal, 'INFO replication': '$-1\r\n' }, 'L7RSP'],
    [{ ...normal, PING: 'garbage\r\n' }, 'L7RSP'],
    [{ ...normal, PING: '$9999999\r\n' }, 'L7RSP'],
    [{ 'HELLO 3': 'HTTP/1.1 400 Bad Request\r\n\r\n' }, 'L7RSP'],
    [{ ...normal, PING: '+PONG\r\n+PONG\r\n+PONG\r\n+PONG\r\n' }, 'L7RSP'],
  ];
  for (const [answers, code] of cases) {
    const answer = await probeRedis(t, await redisPeer(t, answers));
    assert.equal(answer.code, code, `${JSON.stringify(answers)}: ${answer.detail}`);
  }
});

test('redis peers: silence, an endless string and an endless list end with the time or the bound', async t => {
  const silent = await redisPeer(t, {});
  assert.equal((await probeRedis(t, silent, { timeoutMs: 100 })).code, 'L7TOUT');
  const endless = await scriptedPeer(t, socket => {
    const chunk = Buffer.alloc(64 * 1024, 'x');
    const pour = (): void => {
      while (socket.writable && socket.write(chunk));
    };
    socket.on('drain', pour);
    socket.write('+');
    pour();
  });
  assert.equal((await probeRedis(t, endless)).code, 'L7RSP');
});

test('redis peers: a connection that ends amid the login or the answer is lost, and so is an idle one', async t => {
  const hangsUp = await redisPeer(
    t,
    normal,
    (socket, text) => void (text.startsWith('+') ? socket.end() : socket.write(text)),
  );
  assert.equal((await probeRedis(t, hangsUp)).code, 'L4LOST');
  const resets = await redisPeer(t, normal, socket => void socket.resetAndDestroy());
  assert.equal((await probeRedis(t, resets)).code, 'L4LOST');
  const lastWord = await redisPeer(
    t,
    { 'HELLO 3': '-ERR max number of clients reached\r\n' },
    (socket, text) => void socket.end(text),
  );
  assert.equal((await probeRedis(t, lastWord)).code, 'L7BUSY');

  const sockets: Socket[] = [];
  const well = await redisPeer(t, normal, (socket, text) => {
    if (!sockets.includes(socket)) sockets.push(socket);
    socket.write(text);
  });
  const { prober, lost } = redisProberFor(t, well);
  for (const end of [
    (socket: Socket) => void socket.end(),
    (socket: Socket) => void socket.resetAndDestroy(),
  ]) {
    factsIn(await prober.probe());
    const [socket] = sockets.splice(0);
    const before = lost.length;
    if (socket !== undefined) end(socket);
    await until('the loss', () => lost.length === before + 1);
  }
  factsIn(await prober.probe());
  sockets[0]?.write('-ERR you have been idle for too long\r\n');
  await until('the word that was not asked for', () => lost.length === 3);
  assert.match(lost[2] ?? '', /idle for too long/);
});

const entry = (port: number, flags: string): string =>
  list(
    ...[
      'ip',
      '127.0.0.1',
      'port',
      String(port),
      'flags',
      flags,
      'runid',
      `run-${port}`,
      'config-epoch',
      '3',
    ].map(bulk),
  );
const sentinel: Answers = {
  'HELLO 3': '-NOPROTO no\r\n',
  'SENTINEL GET-MASTER': list(bulk('127.0.0.1'), bulk('7001')),
  'SENTINEL MASTER mymaster': entry(7001, 'master'),
  'SENTINEL REPLICAS': list(entry(7002, 'slave'), entry(7003, 'slave,s_down')),
  PSUBSCRIBE: list(bulk('psubscribe'), bulk('*'), ':1\r\n'),
};

function clientOf(t: TestContext, { host, port }: ScriptedPeer) {
  const heard: { answer: SentinelAnswer | null; detail: string }[] = [];
  const client = new SentinelClient(
    {
      address: { host, port },
      sentinel: {
        master: 'mymaster',
        user: null,
        password: null,
        tls: { mode: 'disable', caFile: null, serverName: null },
      },
      intervalMs: 60_000,
      fastIntervalMs: 20,
      timeoutMs: 200,
      clock: systemClock,
    },
    (answer, detail) => heard.push({ answer, detail }),
  );
  t.after(() => client.stop());
  client.start();
  return heard;
}

test('sentinel client: it tells primary and replicas, and asks again when something is published', async t => {
  const sockets = new Set<Socket>();
  const peer = await redisPeer(t, sentinel, (socket, text) => {
    if (text.includes('psubscribe')) sockets.add(socket);
    socket.write(text);
  });
  const heard = clientOf(t, peer);
  await until('the answer, and another once it listens', () => heard.length >= 2);
  assert.deepEqual(heard[0]?.answer, {
    primary: { host: '127.0.0.1', port: 7001 },
    configEpoch: 3,
    runId: 'run-7001',
    doubts: false,
    replicas: [
      { host: '127.0.0.1', port: 7002 },
      { host: '127.0.0.1', port: 7003 },
    ],
  });
  const count = heard.length;
  for (const socket of sockets) socket.write(list(...['pmessage', '*', '+switch-master', 'x'].map(bulk)));
  await until('a question at once', () => heard.length > count);
});

test('sentinel client: silence, refusals, odd answers and hanging up are told, and it is asked again', async t => {
  const cases: readonly (readonly [Answers, RegExp])[] = [
    [{}, /no answer within 200 ms/],
    [
      {
        ...sentinel,
        'SENTINEL GET-MASTER': '*-1\r\n',
        'SENTINEL MASTER mymaster': '-ERR No such master with that name\r\n',
      },
      /watches no service called mymaster/,
    ],
    [{ ...sentinel, 'SENTINEL GET-MASTER': list(bulk('127.0.0.1'), bulk('none')) }, /none of a Sentinel/],
    [{ ...sentinel, 'SENTINEL MASTER mymaster': '+OK\r\n' }, /none of a Sentinel/],
    [{ ...sentinel, 'SENTINEL REPLICAS': 'garbage\r\n' }, /not Redis/],
    [{ ...sentinel, 'HELLO 3': '-NOAUTH Authentication required.\r\n' }, /NOAUTH/],
  ];
  for (const [answers, words] of cases) {
    const heard = clientOf(t, await redisPeer(t, answers));
    await until('a word', () => heard.length > 0);
    assert.equal(heard[0]?.answer, null);
    assert.match(heard[0].detail, words);
  }
  const sockets: Socket[] = [];
  const peer = await redisPeer(t, sentinel, (socket, text) => {
    sockets.push(socket);
    socket.write(text);
  });
  const heard = clientOf(t, peer);
  await until('an answer', () => heard.length >= 2);
  const [count, connections] = [heard.length, peer.connections()];
  for (const socket of sockets) socket.destroy();
  await until(
    'another over a new connection',
    () => heard.length > count && peer.connections() > connections,
  );
});
