// The prober against peers that are no PostgreSQL, half of one, or a hostile one.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { type CheckConfig } from '../../src/config/schema.ts';
import { probeOnce, proberFor } from '../support/postgres.ts';
import { frame, int32, primaryAnswer, scriptedPeer, welcome } from '../support/scripted-peer.ts';
import { until } from '../support/wait.ts';

const SHORT_MS = 300;
const prefer: Partial<CheckConfig<'postgres'>> = { tls: { mode: 'prefer', caFile: null, serverName: null } };
const required: Partial<CheckConfig<'postgres'>> = {
  tls: { mode: 'require', caFile: null, serverName: null },
};

/** Lets everybody in and answers every question. */
function serve(socket: Socket, answer: Uint8Array = primaryAnswer): void {
  socket.once('data', () => {
    socket.write(welcome);
    socket.on('data', chunk => {
      if (chunk[0] === 0x51) socket.write(answer);
    });
  });
}

test('a scripted primary is a primary', async t => {
  const peer = await scriptedPeer(t, socket => serve(socket));
  const answer = await probeOnce(t, peer);
  assert.equal(answer.code, 'L7OK', answer.detail);
  assert.ok(answer.code === 'L7OK' && answer.facts.timeline === 10 && answer.facts.version === '16.2');
});

test('an answer in single bytes is an answer', async t => {
  const peer = await scriptedPeer(t, socket => {
    const drip = async (bytes: Uint8Array): Promise<void> => {
      for (const byte of bytes) {
        socket.write(Uint8Array.of(byte));
        await new Promise(resolve => setImmediate(resolve));
      }
    };
    socket.once('data', () => {
      socket.on('data', () => void drip(primaryAnswer));
      void drip(welcome);
    });
  });
  assert.equal((await probeOnce(t, peer)).code, 'L7OK');
});

const foreign: [string, string | Uint8Array][] = [
  ['an HTTP server', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
  ['a MySQL greeting', 'J\0\0\0\n8.0.36\0'],
  ['a MySQL greeting whose length looks like a refusal of TLS', 'N\0\0\0\n8.0.36\0'],
  ['a Redis error', '-ERR unknown command\r\n'],
  ['an SSH banner', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ['an oversized message', Buffer.concat([Buffer.from('E'), int32(0x7fffffff)])],
  ['an ErrorResponse without its end', frame('E', 'SFATAL')],
  ['a message of length 0', Buffer.concat([Buffer.from('R'), int32(0)])],
  ['ReadyForQuery without a login', frame('Z', 'I')],
  ['a row before any question', Buffer.concat([frame('R', int32(0)), frame('D', Uint8Array.of(0, 0))])],
];
for (const [name, bytes] of foreign) {
  test(`${name} is not PostgreSQL, asked with TLS or without`, async t => {
    const peer = await scriptedPeer(t, socket => socket.once('data', () => socket.write(bytes)));
    assert.equal((await probeOnce(t, peer)).code, 'L7RSP');
    assert.equal((await probeOnce(t, peer, prefer)).code, 'L7RSP');
  });
}

test('a peer that talks before it is asked is not PostgreSQL', async t => {
  const peer = await scriptedPeer(t, socket => socket.write('220 mail.example ESMTP\r\n'));
  assert.equal((await probeOnce(t, peer)).code, 'L7RSP');
  assert.equal((await probeOnce(t, peer, prefer)).code, 'L7RSP');
});

test('a silent peer is a timeout of the answer, within the time of the whole probe', async t => {
  const peer = await scriptedPeer(t, socket => socket.resume());
  const startedAt = performance.now();
  const answer = await probeOnce(t, peer, { timeoutMs: SHORT_MS });
  assert.equal(answer.code, 'L7TOUT');
  assert.ok(performance.now() - startedAt >= SHORT_MS - 5);
});

test('half an answer is a timeout', async t => {
  const peer = await scriptedPeer(t, socket => serve(socket, primaryAnswer.subarray(0, -3)));
  assert.equal((await probeOnce(t, peer, { timeoutMs: SHORT_MS })).code, 'L7TOUT');
});

test('a TLS handshake that never ends is a timeout of TLS', async t => {
  const peer = await scriptedPeer(t, socket => socket.once('data', () => socket.write('S')));
  assert.equal((await probeOnce(t, peer, { ...required, timeoutMs: SHORT_MS })).code, 'L6TOUT');
});

test('garbage in place of a TLS handshake is a failure of TLS', async t => {
  const peer = await scriptedPeer(t, socket =>
    socket.once('data', () => {
      socket.write('S');
      socket.once('data', () => socket.write('this is no TLS record, not at all'));
    }),
  );
  assert.equal((await probeOnce(t, peer, required)).code, 'L6RSP');
});

test('bytes smuggled in before the TLS handshake are refused (CVE-2021-23222)', async t => {
  const peer = await scriptedPeer(t, socket =>
    socket.once('data', () => socket.write(Buffer.concat([Buffer.from('S'), welcome]))),
  );
  const answer = await probeOnce(t, peer, required);
  assert.equal(answer.code, 'L7RSP');
});

test('a server without TLS is refused where TLS is required', async t => {
  const peer = await scriptedPeer(t, socket => socket.once('data', () => socket.write('N')));
  assert.equal((await probeOnce(t, peer, required)).code, 'L6RSP');
});

test('a hang-up in any phase is a lost connection', async t => {
  const atOnce = await scriptedPeer(t, socket => socket.once('data', () => socket.end()));
  assert.equal((await probeOnce(t, atOnce)).code, 'L4LOST');
  assert.equal((await probeOnce(t, atOnce, prefer)).code, 'L4LOST');
  const inHandshake = await scriptedPeer(t, socket =>
    socket.once('data', () => {
      socket.write('S');
      socket.once('data', () => socket.destroy());
    }),
  );
  assert.equal((await probeOnce(t, inHandshake, required)).code, 'L4LOST');
  const amidAnswer = await scriptedPeer(t, socket => serve(socket, primaryAnswer.subarray(0, 20)));
  const { prober } = proberFor(t, amidAnswer);
  const probing = prober.probe();
  prober.close();
  assert.equal((await probing).code, 'L4LOST', 'closing settles a probe under way');
});

test('a port that nobody listens on is refused', async t => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  assert.equal((await probeOnce(t, { port })).code, 'L4CON');
});

test('a name that does not exist is a failure of the name service', async t => {
  const answer = await probeOnce(t, { host: 'no-such-host.invalid', port: 5432 }, { timeoutMs: 30_000 });
  assert.equal(answer.code, 'L4DNS', answer.detail);
});

const refusals: [string, string][] = [
  ['53300', 'L7BUSY'],
  ['57P03', 'L7START'],
  ['28P01', 'L7AUTH'],
  ['28000', 'L7AUTH'],
  ['3D000', 'L7DB'],
  ['57P01', 'L4LOST'],
  ['XX000', 'L7STS'],
];
for (const [sqlstate, code] of refusals) {
  test(`a login refused with ${sqlstate} is ${code}, in the server's words`, async t => {
    const refusal = frame('E', `SFATAL\0C${sqlstate}\0Mno, because\0\0`);
    const peer = await scriptedPeer(t, socket => socket.once('data', () => socket.end(refusal)));
    const answer = await probeOnce(t, peer);
    assert.equal(answer.code, code);
    assert.match(answer.detail, /no, because/);
    assert.equal((await probeOnce(t, peer, prefer)).code, code, 'also in answer to SSLRequest');
  });
}

test('a question that fails once is asked again within the probe', async t => {
  const sqlError = Buffer.concat([
    frame('E', 'SERROR\0C55000\0Mrecovery is not in progress\0\0'),
    frame('Z', 'I'),
  ]);
  let asked = 0;
  const peer = await scriptedPeer(t, socket =>
    socket.once('data', () => {
      socket.write(welcome);
      socket.on('data', () => socket.write((asked += 1) === 1 ? sqlError : primaryAnswer));
    }),
  );
  const { prober } = proberFor(t, peer);
  assert.equal((await prober.probe()).code, 'L7OK');
  assert.equal(asked, 2);
});

test('a question that keeps failing is told, and the session goes on', async t => {
  const sqlError = Buffer.concat([frame('E', 'SERROR\0C42501\0Mpermission denied\0\0'), frame('Z', 'I')]);
  const peer = await scriptedPeer(t, socket => serve(socket, sqlError));
  const { prober } = proberFor(t, peer);
  for (let i = 0; i < 3; i += 1) {
    const answer = await prober.probe();
    assert.equal(answer.code, 'L7STS');
    assert.match(answer.detail, /permission denied/);
  }
  assert.equal(peer.connections(), 1);
});

test('an answer of another shape, two rows, or none is not of this protocol', async t => {
  const row = frame('D', Uint8Array.of(0, 0));
  const done = Buffer.concat([frame('C', 'SELECT 1\0'), frame('Z', 'I')]);
  for (const answer of [Buffer.concat([row, done]), Buffer.concat([row, row, done]), done]) {
    const peer = await scriptedPeer(t, socket => serve(socket, answer));
    assert.equal((await probeOnce(t, peer)).code, 'L7RSP');
  }
});

test('a server that asks for a password gets none of what is not configured, and no other method', async t => {
  const asking = (request: Uint8Array) =>
    scriptedPeer(t, socket => socket.once('data', () => socket.write(frame('R', request))));
  const cleartext = await asking(int32(3));
  const answer = await probeOnce(t, cleartext);
  assert.equal(answer.code, 'L7AUTH');
  assert.match(answer.detail, /none is configured/);
  assert.equal((await probeOnce(t, await asking(int32(7)))).code, 'L7AUTH', 'GSS');
  const plus = await asking(Buffer.concat([int32(10), Buffer.from('SCRAM-SHA-256-PLUS\0\0')]));
  assert.equal((await probeOnce(t, plus, { password: 'x' })).code, 'L7AUTH');
});

test('a server that skips its SCRAM proof is not believed', async t => {
  const peer = await scriptedPeer(t, socket => {
    socket.once('data', () => {
      socket.write(frame('R', Buffer.concat([int32(10), Buffer.from('SCRAM-SHA-256\0\0')])));
      socket.once('data', () => socket.write(welcome));
    });
  });
  const answer = await probeOnce(t, peer, { password: 'hidden' });
  assert.equal(answer.code, 'L7AUTH');
  assert.ok(!answer.detail.includes('hidden'));
});

test('a user name with a NUL is refused before a byte is sent', async t => {
  const peer = await scriptedPeer(t, socket => serve(socket));
  const answer = await probeOnce(t, peer, { user: 'probe\0options\0-c x=y' });
  assert.equal(answer.code, 'L7AUTH');
});

test('an idle session that ends is reported at once, in the words of the server', async t => {
  const open: Socket[] = [];
  const peer = await scriptedPeer(t, socket => {
    open.push(socket);
    serve(socket);
  });
  const { prober, lost } = proberFor(t, peer);
  assert.equal((await prober.probe()).code, 'L7OK');
  open[0]?.end(frame('E', 'SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0'));
  await until('the loss is reported', () => lost.length > 0);
  assert.match(lost[0] ?? '', /administrator command/);
  assert.equal((await prober.probe()).code, 'L7OK', 'the next probe opens another one');
  open[1]?.resetAndDestroy();
  await until('the reset is reported', () => lost.length > 1);
  prober.close();
  assert.equal(lost.length, 2, 'an ending of our own is no loss');
});

test('nothing is left open after a close, nor after a timeout', async t => {
  const sockets = new Set<Socket>();
  let answering = true;
  const peer = await scriptedPeer(t, socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.once('data', () => {
      socket.write(welcome);
      socket.on('data', () => answering && socket.write(primaryAnswer));
    });
  });
  const { prober } = proberFor(t, peer, { timeoutMs: SHORT_MS });
  assert.equal((await prober.probe()).code, 'L7OK');
  answering = false;
  assert.equal((await prober.probe()).code, 'L7TOUT');
  await until('the timed-out session is gone', () => sockets.size === 0);
  answering = true;
  assert.equal((await prober.probe()).code, 'L7OK');
  prober.close();
  await until('the closed session is gone', () => sockets.size === 0);
});

test('a fresh connection takes the place of the open session', async t => {
  const peer = await scriptedPeer(t, socket => serve(socket));
  const { prober, lost } = proberFor(t, peer, { reconnectIntervalMs: 1 });
  await until('ten connections', async () => {
    assert.equal((await prober.probe()).code, 'L7OK');
    return peer.connections() >= 10;
  });
  assert.deepEqual(lost, []);
});

test('a server that logs new sessions in slowly is slow and not hung, and its new session takes over in the end', async t => {
  let delayMs = 0;
  const peer = await scriptedPeer(t, socket => {
    socket.pause();
    setTimeout(() => serve(socket.resume()), delayMs);
  });
  const { prober, lost } = proberFor(t, peer, { reconnectIntervalMs: 1, timeoutMs: SHORT_MS });
  assert.equal((await prober.probe()).code, 'L7OK');
  delayMs = 2 * SHORT_MS;
  const details: string[] = [];
  await until('two of them', async () => {
    const { code, detail } = await prober.probe();
    assert.equal(code, 'L7OK', detail);
    details.push(detail);
    return peer.connections() >= 3;
  });
  assert.ok(details.some(detail => /a new connection is served slowly/.test(detail)));
  assert.ok(details.some(detail => !/slowly/.test(detail)));
  assert.deepEqual(lost, []);
});

test('a server that serves its open session only is hung, until it serves a new one', async t => {
  let serving = true;
  const peer = await scriptedPeer(t, socket => (serving ? serve(socket) : socket.resume()));
  const { prober } = proberFor(t, peer, { reconnectIntervalMs: 1, timeoutMs: SHORT_MS });
  assert.equal((await prober.probe()).code, 'L7OK');
  serving = false;
  await until('it is found out', async () => (await prober.probe()).code === 'L7HUNG');
  assert.equal((await prober.probe()).code, 'L7HUNG', 'every probe tries again, so that fall is reached');
  serving = true;
  assert.equal((await prober.probe()).code, 'L7OK');
});

test('a full server is fine while it serves its open session, and busy for a new prober', async t => {
  const busy = frame('E', 'SFATAL\0C53300\0Msorry, too many clients already\0\0');
  const peer = await scriptedPeer(t, (socket, nth) =>
    nth === 1 ? serve(socket) : void socket.once('data', () => socket.end(busy)),
  );
  const { prober } = proberFor(t, peer, { reconnectIntervalMs: 1 });
  assert.equal((await prober.probe()).code, 'L7OK');
  await until('a new login is tried', async () => {
    const answer = await prober.probe();
    assert.equal(answer.code, 'L7OK');
    return /too many clients/.test(answer.detail);
  });
  assert.equal((await probeOnce(t, peer)).code, 'L7BUSY');
});
