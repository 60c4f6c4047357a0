// What an operator decides about a server, on real sockets and every engine: drain lets sessions go on and gives it nobody,
// maintenance closes them, ready gives it clients again.

import assert from 'node:assert/strict';
import { type AdminState, type ServerView } from '../../src/topology/model.ts';
import { startupPacket } from '../support/tcp-packets.ts';
import { connectPeer, until } from '../support/tcp-peers.ts';
import { onEngines, openStage } from '../support/tcp-proxy.ts';
import { pass, passReplica } from '../support/views.ts';

const hello = startupPacket();

onEngines(
  'admin: a replica in drain keeps its sessions and gets no new ones; in maintenance it has none',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      frontends: { ro: { route: 'replica', hold: '30s' } },
      initial: [{ pg1: pass(), pg2: passReplica() }, 'pg1'],
    });
    const set = async (name: string, admin: AdminState): Promise<void> => {
      const servers = stage.topology
        .view()
        .servers.map((server): ServerView => (server.name === name ? { ...server, admin } : server));
      stage.topology.show(servers);
      await stage.settled();
    };
    const pg2 = stage.servers['pg2']!;
    const first = await connectPeer(stage.at('ro'), hello);
    await until(() => stage.gauge('ro').sessions === 1, 'a session');
    assert.equal(stage.proxy.sessionsOf('app', 'pg2', 'ro'), 1);

    await set('pg2', 'drain');
    assert.equal(stage.gauge('ro').available, false);
    const second = await connectPeer(stage.at('ro'), hello);
    await until(() => stage.gauge('ro').held === 1, 'the newcomer to wait');
    first.socket.write('still here');
    await until(() => pg2.peers[0]?.received.includes('still here') === true, 'the session to go on');
    assert.equal(stage.diary.count('sessionsClosed'), 0);

    await set('pg2', 'ready');
    await until(() => stage.gauge('ro').sessions === 2, 'the newcomer to be served');

    await set('pg2', 'maintenance');
    await until(() => first.ended && second.ended, 'the sessions to end');
    await until(() => stage.diary.count('sessionEnded pg2 maintenance') === 2, 'the notices');
    assert.equal(stage.proxy.sessionsOf('app', 'pg2', 'ro'), 0);
  },
);
