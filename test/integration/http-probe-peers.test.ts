// The HTTP prober against peers that are no HTTP servers, half of one, or hostile ones.

import assert from 'node:assert/strict';
import { type Socket } from 'node:net';
import { test } from 'node:test';
import { type CheckConfig } from '../../src/config/schema.ts';
import { httpProbe, httpProber } from '../support/http.ts';
import { fullQueue } from '../support/full-queue.ts';
import { scriptedPeer } from '../support/scripted-peer.ts';
import { until } from '../support/wait.ts';

const SHORT_MS = 300;
const tls: Partial<CheckConfig<'http'>> = { tls: { mode: 'require', caFile: null, serverName: null } };
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Answers every request. */
const serve = (socket: Socket, answer = OK): void => void socket.on('data', () => socket.write(answer));

/** Writes the same again and again, as fast as it is read. */
function flood(socket: Socket, start: string, again: string): void {
  const chunk = Buffer.from(again.repeat(Math.ceil(16_384 / again.length)));
  const more = (): void => {
    while (socket.writable && socket.write(chunk));
  };
  socket.once('data', () => {
    socket.write(start);
    socket.on('drain', more);
    more();
  });
}

test('http peers: an answer in single bytes is an answer', async t => {
  const peer = await scriptedPeer(t, socket => {
    socket.setNoDelay(true);
    socket.once('data', async () => {
      for (const byte of Buffer.from(OK)) {
        socket.write(Uint8Array.of(byte));
        await new Promise(resolve => setImmediate(resolve));
      }
    });
  });
  assert.equal((await httpProbe(t, peer, { body: 'ok' })).code, 'L7OK');
});

const foreign: [string, string | Uint8Array][] = [
  ['a PostgreSQL error', 'E\0\0\0\x10SFATAL\0\0'],
  ['a MySQL greeting', 'J\0\0\0\n8.0.36\0'],
  ['a Redis error', '-ERR unknown command `GET`\r\n'],
  ['an SSH banner', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ['HTTP/2', Buffer.from('000012040000000000', 'hex')],
  ['a status line of another kind', 'HTTP/1.1 fine\r\n\r\n'],
  ['nothing but bytes', Buffer.alloc(100_000, 0xff)],
];
for (const [name, bytes] of foreign) {
  test(`http peers: ${name} is not HTTP`, async t => {
    const peer = await scriptedPeer(t, socket => socket.once('data', () => socket.write(bytes)));
    const answer = await httpProbe(t, peer);
    assert.equal(answer.code, 'L7RSP', answer.detail);
  });
}

const endless: [string, string, string][] = [
  ['headers', 'HTTP/1.1 200 OK\r\n', 'X-More: and more\r\n'],
  ['one header', 'HTTP/1.1 200 OK\r\nX: ', 'x'],
  ['interim answers', '', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ['body without a length', 'HTTP/1.1 200 OK\r\n\r\n', 'x'],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '1\r\nx\r\n'],
  ['trailers', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n', 'X: y\r\n'],
];
for (const [name, start, again] of endless) {
  test(`http peers: endless ${name} are cut off`, async t => {
    let closed = false;
    const peer = await scriptedPeer(t, socket => {
      socket.on('close', () => (closed = true));
      flood(socket, start, again);
    });
    const answer = await httpProbe(t, peer);
    assert.equal(answer.code, 'L7RSP', answer.detail);
    assert.match(answer.detail, /above \d+/);
    await until('the connection to be closed', () => closed);
  });
}

const silences: [string, string][] = [
  ['nothing', ''],
  ['half a head', 'HTTP/1.1 200 OK\r\nContent-'],
  ['half a body', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'],
  ['a body without an end', 'HTTP/1.1 200 OK\r\n\r\nhalf'],
];
for (const [name, text] of silences) {
  test(`http peers: ${name}, and then silence, is a timeout of the answer`, async t => {
    let closed = false;
    const peer = await scriptedPeer(t, socket => {
      socket.on('close', () => (closed = true));
      socket.once('data', () => socket.write(text));
    });
    const startedAt = performance.now();
    const { code, detail } = await httpProbe(t, peer, { timeoutMs: SHORT_MS });
    assert.equal(code, 'L7TOUT');
    assert.match(detail, text === '' ? /^no answer within 300 ms$/ : /^no end of the answer within 300 ms$/);
    assert.ok(performance.now() - startedAt >= SHORT_MS - 5);
    await until('the connection to be closed', () => closed);
  });
}

test('http peers: a trickle does not stretch the time of a probe', async t => {
  const peer = await scriptedPeer(t, socket => {
    const timer = setInterval(() => socket.write('x'), 20);
    socket.on('close', () => clearInterval(timer));
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n'));
  });
  const startedAt = performance.now();
  assert.equal((await httpProbe(t, peer, { timeoutMs: SHORT_MS })).code, 'L7TOUT');
  assert.ok(performance.now() - startedAt < 5000);
});

test('http peers: a hang-up before or amid the answer is a lost connection', async t => {
  const hangUps: ((socket: Socket) => void)[] = [
    socket => socket.end(),
    socket => socket.resetAndDestroy(),
    socket => void socket.once('data', () => socket.end()),
    socket => void socket.once('data', () => socket.resetAndDestroy()),
    socket => void socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf')),
    socket => void socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-')),
  ];
  for (const hangUp of hangUps) {
    const peer = await scriptedPeer(t, hangUp);
    const { prober, lost } = httpProber(t, peer);
    const { code, detail } = await prober.probe();
    assert.equal(code, 'L4LOST', detail);
    assert.deepEqual([peer.connections(), lost], [1, []], 'a fresh connection is not tried twice');
  }
});

test('http peers: a connection that ends as it is asked again is replaced within the probe', async t => {
  for (const ending of [
    (socket: Socket) => socket.end(),
    (socket: Socket) => socket.resetAndDestroy(),
    (socket: Socket) =>
      socket.end('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'),
  ]) {
    const peer = await scriptedPeer(t, socket => {
      let asked = 0;
      socket.on('data', () => ((asked += 1) === 1 ? socket.write(OK) : ending(socket)));
    });
    const { prober, lost } = httpProber(t, peer);
    for (let i = 1; i <= 3; i += 1) {
      assert.equal((await prober.probe()).code, 'L7OK');
      assert.equal(peer.connections(), i);
    }
    assert.deepEqual(lost, []);
  }
  const always = await scriptedPeer(t, socket =>
    serve(socket, 'HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n'),
  );
  assert.equal((await httpProbe(t, always)).detail, 'GET /health: 408, expected 200 or 204');
});

test('http peers: a half-answered question is not asked again', async t => {
  const peer = await scriptedPeer(t, socket => {
    let asked = 0;
    socket.on('data', () => ((asked += 1) === 1 ? socket.write(OK) : socket.end('HTTP/1.1 200 OK\r\n')));
  });
  const { prober } = httpProber(t, peer);
  assert.equal((await prober.probe()).code, 'L7OK');
  assert.equal((await prober.probe()).code, 'L4LOST');
  assert.equal(peer.connections(), 1);
});

test('http peers: what is said unasked is no answer to the next question', async t => {
  const idle: Socket[] = [];
  const peer = await scriptedPeer(t, (socket, nth) => {
    idle.push(socket);
    serve(socket, nth === 1 ? OK : 'HTTP/1.1 500 Real\r\nContent-Length: 0\r\n\r\n');
  });
  const { prober, lost } = httpProber(t, peer);
  assert.equal((await prober.probe()).code, 'L7OK');
  idle[0]?.write(OK);
  await until('another connection', () => peer.connections() === 2);
  assert.equal((await prober.probe()).detail, 'GET /health: 500, expected 200 or 204');
  assert.deepEqual(lost, []);

  const eager = await scriptedPeer(t, socket => serve(socket, OK + OK));
  const { prober: other } = httpProber(t, eager);
  for (let i = 1; i <= 2; i += 1) {
    assert.equal((await other.probe()).code, 'L7OK');
    assert.equal(eager.connections(), i, 'a connection with bytes left over is not asked again');
  }
});

test('http peers: an idle connection that ends is reported when another one is closed at once, too', async t => {
  const open: Socket[] = [];
  const peer = await scriptedPeer(t, (socket, nth) => {
    open.push(socket);
    if (nth > 1) socket.end();
    else serve(socket);
  });
  const { prober, lost } = httpProber(t, peer);
  assert.equal((await prober.probe()).code, 'L7OK');
  open[0]?.resetAndDestroy();
  await until('the loss is reported', () => lost.length > 0);
  assert.match(lost[0] ?? '', /ECONNRESET.*; and of a new one: the server closed the connection/);
  assert.deepEqual([peer.connections(), lost.length], [2, 1]);
});

test('http peers: a server that keeps no connection is asked over a new one each time, and never missed', async t => {
  const peer = await scriptedPeer(t, socket =>
    socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nfine')),
  );
  const { prober, lost } = httpProber(t, peer, { body: 'fine' });
  for (let i = 1; i <= 3; i += 1) {
    assert.equal((await prober.probe()).code, 'L7OK');
    assert.equal(peer.connections(), i);
  }
  assert.deepEqual(lost, []);
});

test('http peers: TLS that is never answered, or answered with something else', async t => {
  const silent = await scriptedPeer(t, socket => socket.resume());
  const late = await httpProbe(t, silent, { ...tls, timeoutMs: SHORT_MS });
  assert.equal(late.code, 'L6TOUT', late.detail);
  const other = await scriptedPeer(t, socket =>
    socket.once('data', () => socket.write('HTTP/1.1 400 Bad\r\n\r\n')),
  );
  const answer = await httpProbe(t, other, tls);
  assert.equal(answer.code, 'L6RSP', answer.detail);
  const hangsUp = await scriptedPeer(t, socket => socket.once('data', () => socket.end()));
  assert.equal((await httpProbe(t, hangsUp, tls)).code, 'L4LOST');
});

test('http peers: a full accept queue is L4TOUT, a name that nobody knows L4DNS, a closed port L4CON', async t => {
  const { address, resume } = await fullQueue(t);
  const { prober } = httpProber(t, address, { timeoutMs: SHORT_MS });
  assert.deepEqual(await prober.probe(), { code: 'L4TOUT', detail: `no connection within ${SHORT_MS} ms` });
  resume();
  assert.equal((await httpProbe(t, { host: 'no-such-host.invalid', port: 80 })).code, 'L4DNS');
  assert.equal((await httpProbe(t, { host: '127.0.0.1', port: 1 })).code, 'L4CON');
});

test('http peers: ended while it waits it settles at once, and leaves nothing open', async t => {
  const sockets = new Set<Socket>();
  const peer = await scriptedPeer(t, socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.resume();
  });
  const { prober, lost } = httpProber(t, peer, { timeoutMs: 60_000 });
  const probing = prober.probe();
  await until('the connection', () => sockets.size === 1);
  prober.close();
  assert.deepEqual(await probing, { code: 'L4LOST', detail: 'the probe was ended' });
  await until('the connection to be closed', () => sockets.size === 0);
  assert.deepEqual(lost, []);
});
