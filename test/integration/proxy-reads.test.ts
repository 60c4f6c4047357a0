// Readers on every driver: cancel requests that come to another worker than their session, a primary that stands in up to a
// limit, and sessions that end for their age.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cancelPacket, greetingWithKey, startupPacket } from '../support/tcp-packets.ts';
import { beginPeer, connectPeer, until, type Peer } from '../support/tcp-peers.ts';
import { onDrivers, openStage } from '../support/tcp-proxy.ts';
import { pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const CANCEL_CODE = 80_877_102;
const SESSIONS = 24;

onDrivers(
  'reads: a cancel request finds the server of its session, at whichever worker it comes in',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      servers: ['pg1', 'pg2', 'pg3'],
      initial: [{ pg1: pass(), pg2: passReplica(), pg3: passReplica() }, 'pg1'],
      frontends: { app: { route: 'any', balance: 'roundrobin' } },
    });
    /** By key: who gave it out, and who was asked to cancel. */
    const owners = new Map<string, string>();
    const cancelled: string[] = [];
    let pid = 0;
    for (const [name, server] of Object.entries(stage.servers)) {
      server.onPeer = ({ socket }) => {
        socket.once('data', (first: Buffer) => {
          if (first.readUInt32BE(4) === CANCEL_CODE) {
            cancelled.push(`${name} ${first.subarray(12).toString('hex')}`);
            socket.end();
            return;
          }
          // Both lengths: protocol 3.0, and the longest of 3.2.
          const key = randomBytes((pid += 1) % 2 === 0 ? 4 : 256);
          owners.set(key.toString('hex'), name);
          socket.write(greetingWithKey(pid, key));
        });
      };
    }
    const clients = await Promise.all(Array.from({ length: SESSIONS }, () => connectPeer(stage.at(), hello)));
    await until(() => clients.every(({ bytes }) => bytes >= 9 + 13), 'every key');
    const keys = await Promise.all(clients.map(keyOf));
    assert.equal(new Set(owners.values()).size, 3, 'sessions are everywhere');
    const requests = await Promise.all(
      keys.map(({ pid: of, key }) => connectPeer(stage.at(), cancelPacket(of, key))),
    );
    await until(() => requests.every(({ ended }) => ended), 'every request to be done with');
    const expected = keys.map(({ key }) => `${owners.get(key.toString('hex'))} ${key.toString('hex')}`);
    assert.deepEqual(cancelled.toSorted(), expected.toSorted(), 'each at its server, and at no other');
  },
);

/** Waits for BackendKeyData. */
async function keyOf(client: Peer): Promise<{ pid: number; key: Buffer }> {
  const at = 9;
  await client.untilBytes(at + 5);
  const length = client.received.readUInt32BE(at + 1);
  await client.untilBytes(at + 1 + length);
  const { received } = client;
  return { pid: received.readUInt32BE(at + 5), key: received.subarray(at + 9, at + 1 + length) };
}

onDrivers(
  'reads: beyond its share the primary gets nobody, who comes waits, and goes when there is room',
  async (t, engine) => {
    const workers = engine === 'net' ? 1 : engine.workers;
    const stage = await openStage(t, {
      engine,
      initial: [{ pg1: pass() }, 'pg1'],
      frontends: { app: { route: 'replica-or-primary', fallback_share: 4 } },
    });
    const clients = Array.from({ length: 20 }, () => beginPeer(stage.at()));
    for (const { socket } of clients) socket.write(hello);
    // Each worker looks before it leaps, and none of them sees the others leap.
    const most = 4 + workers - 1;
    const isSettled = ({ sessions, held } = stage.gauge()): boolean =>
      sessions >= 4 && sessions + held === 20;
    await until(() => isSettled(), 'the others to wait');
    assert.ok(stage.gauge().sessions <= most, `${stage.gauge().sessions} sessions`);
    const primary = stage.servers['pg1']!;
    const served = (): number => primary.peers.length;
    await until(() => served() >= 4, 'the primary to see them');
    const before = served();
    for (const { socket } of primary.peers.slice(0, 4)) socket.resetAndDestroy();
    await until(() => served() > before, 'the next to be served');
    assert.ok(stage.gauge().sessions <= most);
    stage.topology.set({ pg1: pass(), pg2: passReplica() }, 'pg1');
    await until(() => stage.gauge().held === 0, 'a replica to take all others');
    assert.ok(stage.proxy.sessionsOf('app', 'pg1') <= most);
    await until(() => stage.gauge().sessions === 16, 'all who are left to be served');
  },
);

onDrivers(
  'reads: a session that is old ends while it rests; who waits for an answer is spared until the time is over',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      initial: [{ pg1: pass(), pg2: passReplica() }, 'pg1'],
      frontends: { app: { route: 'replica', max_session_age: '4s' } },
    });
    const server = stage.servers['pg2']!;
    server.onPeer = ({ socket }) =>
      socket.on('data', chunk => void (chunk.includes('?') || socket.write('answer')));
    const rests = await connectPeer(stage.at(), hello);
    const asks = await connectPeer(stage.at(), hello);
    const startedAt = performance.now();
    await rests.untilBytes(6);
    await asks.untilBytes(6);
    asks.socket.write('?');
    await until(() => rests.ended, 'the one that rests to end');
    const restedMs = performance.now() - startedAt;
    assert.ok(restedMs > 1900, `${restedMs} ms`);
    assert.equal(rests.error, null, 'by a proper end');
    const asksEndedEarly = asks.ended;
    await until(() => asks.ended, 'the other one too');
    assert.ok(performance.now() - startedAt > 3800);
    assert.equal(asksEndedEarly, false);
    await until(() => stage.diary.count('sessionEnded pg2 max-age') === 2, 'both to be told of');
  },
);
