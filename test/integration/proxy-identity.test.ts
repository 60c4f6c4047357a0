// PROXY headers on real sockets and every engine: from a trusted proxy, and to servers that expect one.

import assert from 'node:assert/strict';
import { decodeProxyHeader } from '../../src/protocol/proxy-protocol/decode.ts';
import { encodeTlv, encodeV1, encodeV2 } from '../../src/protocol/proxy-protocol/encode.ts';
import { cancelPacket, startupPacket } from '../support/tcp-packets.ts';
import { connectPeer, OWN_LOOPBACK, until, type Peer } from '../support/tcp-peers.ts';
import { onDrivers, openStage } from '../support/tcp-proxy.ts';
import { pass, passTcp } from '../support/views.ts';

const nothing = new Uint8Array(0);
const ends = {
  source: { host: '192.0.2.7', port: 4711 },
  destination: { host: '198.51.100.1', port: 443 },
};

/** What a server got first, and what behind it. */
function readBy(peer: Peer) {
  const header = decodeProxyHeader(peer.received);
  assert.ok(header.kind === 'ok');
  return { ...header.value, rest: peer.received.subarray(header.consumed).toString('latin1') };
}

onDrivers(
  'identity: a trusted proxy announces its clients: lists, sessions and the log know them by that',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      servers: ['web'],
      backend: { protocol: 'tcp' },
      frontends: {
        app: {
          route: 'any',
          accept_proxy: { from: [OWN_LOOPBACK, '127.0.0.1'] },
          allow: ['192.0.2.0/24'],
          deny: ['192.0.2.66'],
        },
        strict: { route: 'any', accept_proxy: { from: ['203.0.113.1'] } },
        open: { route: 'any', accept_proxy: { from: ['203.0.113.1'], otherwise: 'plain' } },
      },
      initial: [{ web: passTcp() }, null],
    });
    const web = stage.servers['web']!;
    // In two pieces, the second with the client's first words.
    const header = encodeV2(ends, nothing, true);
    const first = await connectPeer(stage.at(), header.subarray(0, 20));
    await until(() => stage.gauge().connections === 1, 'the first piece to arrive');
    first.socket.write(Buffer.concat([header.subarray(20), Buffer.from('hello')]));
    const peer = await web.peer(0);
    await until(() => peer.bytes >= 5, 'the words of the client');
    assert.equal(peer.received.toString(), 'hello');
    const [session] = (await stage.proxy.sessions({ client: '192.0.2.7' })).sessions;
    assert.ok(session);
    assert.deepEqual(session.client, ends.source);
    assert.equal(session.peer?.port, first.socket.localPort);

    for (const [text, reason] of [
      [encodeV1({ ...ends, source: { host: '192.0.2.66', port: 1 } }), 'denied'],
      [encodeV1({ ...ends, source: { host: '192.0.3.1', port: 1 } }), 'not-allowed'],
      [encodeV1(null), 'not-allowed'],
      [Buffer.from('PROXY TCP4 nonsense\r\n'), 'bad-proxy-header'],
      [Buffer.from('hello'), 'bad-proxy-header'],
    ] as const) {
      const before = stage.diary.count(`rejected ${reason}`);
      const refused = await connectPeer(stage.at(), text);
      await until(() => refused.closed || refused.ended, `${reason}: its end`);
      await until(() => stage.diary.count(`rejected ${reason}`) === before + 1, `${reason}: its notice`);
    }
    const stranger = await connectPeer(stage.at('strict'), encodeV1(ends));
    await until(() => stranger.closed || stranger.ended, 'the stranger to be sent away');
    await until(() => stage.diary.count('rejected untrusted-proxy') === 1, 'the notice');

    // Where others are clients themselves, what looks like a header is theirs to say.
    const plain = await connectPeer(stage.at('open'), encodeV1(ends));
    const said = await web.peer(1);
    await until(() => said.bytes >= encodeV1(ends).length, 'what the plain one said');
    assert.deepEqual([...said.received], [...encodeV1(ends)]);
    plain.socket.resetAndDestroy();
    await until(() => stage.gauge('open').connections === 0, 'its connection to be over');
    // All that took room has given it back.
    await until(() => stage.gauge().connections === 1, 'the refused to be gone');
  },
);

onDrivers(
  'identity: the server hears first who the client is, with what a proxy before us said of it',
  async (t, engine) => {
    for (const sendProxy of ['v1', 'v2', 'v2-crc32c'] as const) {
      const stage = await openStage(t, {
        engine,
        servers: ['web'],
        backend: { protocol: 'tcp', sendProxy },
        frontends: {
          app: { route: 'any' },
          chain: { route: 'any', accept_proxy: { from: [OWN_LOOPBACK, '127.0.0.1'] } },
        },
        initial: [{ web: passTcp() }, null],
      });
      const web = stage.servers['web']!;
      const client = await connectPeer(stage.at(), Buffer.from('hello'));
      const direct = await web.peer(0);
      await until(() => direct.received.includes('hello'), 'the words');
      const { socket } = client;
      const told = readBy(direct);
      assert.deepEqual(told.ends, {
        source: { host: socket.localAddress, port: socket.localPort },
        destination: { host: socket.remoteAddress, port: socket.remotePort },
      });
      assert.equal(told.rest, 'hello');

      const authority = encodeTlv(0x02, Buffer.from('db.example.com'));
      await connectPeer(
        stage.at('chain'),
        Buffer.concat([encodeV2(ends, authority, false), Buffer.from('hi')]),
      );
      const chained = await web.peer(1);
      await until(() => chained.received.includes('hi'), 'the words of the announced');
      const passed = readBy(chained);
      assert.deepEqual([passed.ends, passed.rest], [ends, 'hi']);
      assert.deepEqual([...passed.tlvs], sendProxy === 'v1' ? [] : [...authority]);
    }
  },
);

onDrivers('identity: a CancelRequest and a repeated request begin with a header too', async (t, engine) => {
  const stage = await openStage(t, {
    engine,
    servers: ['pg1'],
    backend: { sendProxy: 'v1' },
    initial: [{ pg1: pass() }, 'pg1'],
  });
  const pg1 = stage.servers['pg1']!;
  await connectPeer(stage.at(), startupPacket());
  const peer = await pg1.peer(0);
  await until(() => peer.received.includes(startupPacket()), 'the startup');
  await connectPeer(stage.at(), cancelPacket(7, 9));
  const cancelling = await pg1.peer(1);
  await until(() => cancelling.received.includes(cancelPacket(7, 9)), 'the request');
  assert.notEqual(readBy(cancelling).ends, null);

  const http = await openStage(t, {
    engine,
    servers: ['a', 'b'],
    backend: { protocol: 'http', sendProxy: 'v2' },
    frontends: { app: { route: 'any', balance: 'first' } },
    initial: [{ a: passTcp(), b: passTcp() }, null],
  });
  const [a, b] = [http.servers['a']!, http.servers['b']!];
  const request = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  a.onPeer = one => void one.socket.once('data', () => one.socket.resetAndDestroy());
  await connectPeer(http.at(), Buffer.from(request));
  const second = await b.peer(0);
  await until(() => second.received.includes(request), 'the request at the other server');
  assert.equal(readBy(second).rest, request);
});
