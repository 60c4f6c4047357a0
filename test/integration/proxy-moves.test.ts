// The primary moves back and forth under load: who is joined to which server is read from the kernel's own table of
// connections, not from the proxy.

import assert from 'node:assert/strict';
import { connectionsIn } from '../support/proc.ts';
import { greetingWithKey, startupPacket } from '../support/tcp-packets.ts';
import { beginPeer, connectPeer, until, type Peer } from '../support/tcp-peers.ts';
import { onEngines, openStage, type Stage } from '../support/tcp-proxy.ts';
import { pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const CLIENTS = 200;
const MOVES = 10;
/** Sessions on the new primary before it moves on: the others are in the hold, or on their way. */
const ENOUGH = 100;
const chunk = Buffer.alloc(8 * 1024, 'x');

/** A client that always has bytes in flight, and comes back whenever it is cut off. */
function keepBusy(stage: Stage, isOver: () => boolean, count: () => void): void {
  const peer = beginPeer(stage.at());
  const { socket } = peer;
  socket.write(hello);
  let answered = 0;
  socket.on('data', (bytes: Buffer) => {
    answered += bytes.length;
    if (answered < chunk.length) return;
    answered = 0;
    if (!socket.destroyed) socket.write(chunk);
  });
  socket.once('connect', () => socket.write(chunk));
  socket.on('end', () => socket.destroy());
  socket.on('close', () => {
    count();
    if (!isOver()) keepBusy(stage, isOver, count);
  });
}

/**
 * Connections that a server has accepted, after which nobody who came from the proxy waits to be. Known by what it says: its
 * port may be that of a connection which was reset a moment ago, and which still waits to be accepted, with its bytes.
 */
async function acceptedBy(stage: Stage, name: string): Promise<number> {
  const server = stage.servers[name]!;
  const mark = Buffer.from(`nobody is before ${server.peers.length}`);
  const { socket } = await connectPeer(server.address, mark);
  const isOwn = (peer: Peer): boolean => peer.bytes === mark.length && peer.received.equals(mark);
  await until(() => server.peers.some(isOwn), 'the server to have accepted all there were');
  socket.destroy();
  return server.peers.length;
}

onEngines(
  `moves: ${CLIENTS} busy clients follow a primary that moves ${MOVES} times, old sessions first`,
  async (t, engine) => {
    const stage = await openStage(t, { engine, initial: [{ pg1: pass(), pg2: passReplica() }, 'pg1'] });
    let over = false;
    let closes = 0;
    t.after(() => (over = true));
    // Set at a move: looks at the first bytes that the new primary gets.
    let firstAt: ((name: string, index: number) => void) | null = null;
    for (const [name, server] of Object.entries(stage.servers)) {
      server.onPeer = ({ socket }: Peer, index) => {
        socket.once('data', () => {
          firstAt?.(name, index);
          socket.write(greetingWithKey(socket.remotePort ?? 0, 1));
          socket.pipe(socket);
        });
        socket.on('error', () => socket.destroy());
      };
    }
    for (let client = 0; client < CLIENTS; client += 1)
      keepBusy(
        stage,
        () => over,
        () => (closes += 1),
      );
    let current = 'pg1';
    for (let move = 0; move < MOVES; move += 1) {
      await until(
        () => stage.proxy.sessionsOf('app', current) >= ENOUGH,
        `sessions on ${current}, move ${move}`,
      );
      const next = current === 'pg1' ? 'pg2' : 'pg1';
      const old = stage.servers[current]!.address;
      const from = await acceptedBy(stage, next);
      let atFirst: { readonly sessions: number; readonly established: number } | null = null;
      const oldName = current;
      firstAt = (name, index) => {
        if (name !== next || index < from || atFirst !== null) return;
        const established = connectionsIn('established', old, 'local');
        atFirst = { sessions: stage.proxy.sessionsOf('app', oldName), established };
      };
      stage.topology.set(
        next === 'pg1' ? { pg1: pass(), pg2: passReplica() } : { pg1: passReplica(), pg2: pass() },
        next,
      );
      await until(() => atFirst !== null, `the first client at ${next}`);
      assert.deepEqual(atFirst, { sessions: 0, established: 0 }, `move ${move}`);
      assert.equal(stage.proxy.sessionsOf('app', oldName), 0);
      current = next;
    }
    over = true;
    assert.ok(closes >= MOVES * ENOUGH, `${closes} sessions were closed`);
    assert.equal(stage.diary.count('workerLost'), 0);
    assert.equal(stage.diary.count('sessionEnded pg1 demotion') > 0, true);
  },
);
