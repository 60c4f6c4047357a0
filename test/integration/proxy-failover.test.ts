// What a demotion, a promotion and a mark-down do to real sockets, on every engine.

import assert from 'node:assert/strict';
import { connectPeer, until, type Peer } from '../support/tcp-peers.ts';
import { startupPacket } from '../support/tcp-packets.ts';
import { oneLoop, onEngines, openStage, type Stage } from '../support/tcp-proxy.ts';
import { fail, pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const pg1Leads = { pg1: pass(), pg2: passReplica() };
const pg2Leads = { pg1: passReplica(), pg2: pass() };

async function join(stage: Stage, count: number, frontend?: string): Promise<Peer[]> {
  const clients = await Promise.all(
    Array.from({ length: count }, () => connectPeer(stage.at(frontend), hello)),
  );
  await until(() => stage.gauge(frontend).sessions === count, `${count} sessions`);
  return clients;
}

onEngines(
  'failover: every session to the old primary is reset before the new one sees its first client',
  async (t, engine) => {
    const stage = await openStage(t, { engine, initial: [pg1Leads, 'pg1'] });
    const clients = await join(stage, 50);
    // The primary is in doubt: sessions stay, newcomers wait.
    stage.topology.set({ pg1: fail('L7START'), pg2: passReplica() }, 'pg1');
    await stage.settled();
    const waiting = await connectPeer(stage.at(), startupPacket('waiting'));
    await until(() => stage.gauge().held === 1, 'the newcomer in the hold');
    assert.equal(stage.proxy.sessionsOf('app', 'pg1'), 50);

    const old = stage.servers['pg1']!;
    let openAtFirst = -1;
    stage.servers['pg2']!.onPeer = () => {
      if (openAtFirst === -1) openAtFirst = stage.proxy.sessionsOf('app', 'pg1');
    };
    stage.topology.set(pg2Leads, 'pg2');
    // Not awaited on net: closing is done when `set` returns.
    if (engine !== 'net') await stage.settled();
    assert.equal(stage.proxy.sessionsOf('app', 'pg1'), 0);
    assert.equal(stage.diary.count('sessionEnded pg1 demotion'), 50);
    const closings = stage.diary.lines.filter(line => line.startsWith('sessionsClosed pg1 demotion '));
    assert.equal(
      closings.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0),
      50,
    );
    if (oneLoop(engine)) assert.deepEqual(closings, ['sessionsClosed pg1 demotion 50']);
    const successor = await stage.servers['pg2']!.peer(0);
    await successor.untilBytes(1);
    assert.match(successor.received.toString('latin1'), /waiting/);
    assert.equal(openAtFirst, 0);
    await until(() => old.peers.every(peer => peer.closed), 'the resets at the old primary');
    assert.ok(old.peers.every(peer => peer.error === 'ECONNRESET'));
    await until(() => clients.every(client => client.ended), 'the ends at the clients');
    assert.ok(clients.every(client => client.error === null));
    assert.equal(waiting.ended, false);
  },
);

onEngines(
  'failover: a frozen old primary never gets what was queued for it, a client gets what was answered',
  async (t, engine) => {
    const stage = await openStage(t, { engine, initial: [pg1Leads, 'pg1'] });
    const [client] = await join(stage, 1);
    const frozen = await stage.servers['pg1']!.peer(0);
    await frozen.untilBytes(hello.length);
    frozen.socket.write('answered before the freeze');
    await client!.untilBytes(26);
    frozen.socket.pause();
    // More than the kernel takes for a peer that doesn't read: the rest is queued in the proxy.
    client!.socket.write(Buffer.alloc(16 * 1024 * 1024, 'statement;'));
    await until(() => stage.gauge().bytesUp > 256 * 1024, 'the queue to build up');
    stage.topology.set(pg2Leads, 'pg2');
    await stage.settled();
    const sentBefore = stage.diary.ends[0]!.bytesUp;
    await until(() => client!.ended, 'the end at the client');
    assert.equal(client!.received.toString(), 'answered before the freeze');
    frozen.socket.resume();
    await until(() => frozen.closed || frozen.ended, 'the thaw');
    assert.ok(frozen.bytes < sentBefore, `the thawed server read all ${frozen.bytes} bytes`);
  },
);

onEngines(
  'failover: a dial that succeeds after the demotion joins nobody to the old primary',
  async (t, engine) => {
    const stage = await openStage(t, { engine, initial: [pg1Leads, 'pg1'] });
    for (let round = 0; round < 30; round += 1) {
      const [next, old] = round % 2 === 0 ? (['pg2', 'pg1'] as const) : (['pg1', 'pg2'] as const);
      const client = await connectPeer(stage.at(), hello);
      // While it is accepted, dialed for or joined, whichever it is by now, the primary changes.
      if (round % 3 === 0) await until(() => stage.gauge().connections === 1, 'the client');
      stage.topology.set(next === 'pg2' ? pg2Leads : pg1Leads, next);
      await until(
        () => client.ended || stage.proxy.sessionsOf('app', next) === 1,
        'the end or the new primary',
      );
      await stage.settled();
      assert.equal(stage.proxy.sessionsOf('app', old), 0);
      assert.equal(client.error, null);
      client.socket.resetAndDestroy();
      await until(() => stage.gauge().connections === 0, 'the client to be gone');
    }
    assert.equal(stage.diary.count('workerLost'), 0);
  },
);

onEngines(
  'failover: a mark-down and a demotion close sessions of every route, a promotion those that came for a replica',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      frontends: {
        reads: { route: 'replica' },
        mixed: { route: 'replica-or-primary', balance: 'first' },
        any: { route: 'any', balance: 'first' },
      },
      initial: [pg1Leads, 'pg1'],
    });
    await join(stage, 1, 'reads');
    await join(stage, 1, 'mixed');
    await join(stage, 1, 'any');
    assert.deepEqual([stage.proxy.sessionsOf('app', 'pg1'), stage.proxy.sessionsOf('app', 'pg2')], [1, 2]);
    stage.topology.set(pg2Leads, 'pg2');
    if (engine !== 'net') await stage.settled();
    assert.deepEqual([stage.proxy.sessionsOf('app', 'pg1'), stage.proxy.sessionsOf('app', 'pg2')], [0, 1]);
    // Each closing with the number of sessions that one loop closed.
    const closed = (prefix: string): number =>
      stage.diary.lines
        .filter(line => line.startsWith(`sessionsClosed ${prefix} `))
        .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    assert.deepEqual([closed('pg1 demotion'), closed('pg2 promotion')], [1, 1]);
    await connectPeer(stage.at('mixed'), hello);
    await until(() => stage.proxy.sessionsOf('app', 'pg1') === 1, 'a reader at the new replica');
    stage.topology.set({ pg1: fail(), pg2: pass() }, 'pg2');
    if (engine !== 'net') await stage.settled();
    assert.deepEqual([stage.proxy.sessionsOf('app', 'pg1'), stage.proxy.sessionsOf('app', 'pg2')], [0, 1]);
    assert.equal(closed('pg1 server-down'), 1);
  },
);
