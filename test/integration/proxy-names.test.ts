// Binds by name, servers and binds by IPv6 address, on every engine. Names of servers: dns.test.ts.

import assert from 'node:assert/strict';
import { startupPacket } from '../support/tcp-packets.ts';
import { connectPeer, until } from '../support/tcp-peers.ts';
import { oneLoop, onDrivers, openStage } from '../support/tcp-proxy.ts';
import { pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const pg1Leads = [{ pg1: pass(), pg2: passReplica() }, 'pg1'] as const;

onDrivers(
  'dial: a server at an IPv6 address is reached',
  async (t, engine) => {
    const hosts = { pg1: { listen: '::1' } };
    const stage = await openStage(t, { engine, hosts, initial: pg1Leads });
    stage.servers['pg1']!.onPeer = ({ socket }) => socket.pipe(socket);
    const clients = await Promise.all(Array.from({ length: 20 }, () => connectPeer(stage.at(), hello)));
    await Promise.all(clients.map(client => client.untilBytes(hello.length)));
    assert.ok(clients.every(({ received }) => received.equals(hello)));
    await until(() => stage.diary.count('connected pg1') === 20, 'the notices');
  },
  oneLoop,
);

onDrivers(
  'dial: a server whose name was not resolved is unreachable, and that is told within the connect timeout',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      hosts: { pg1: { named: 'nonexistent.invalid' } },
      frontends: { app: { hold: 0, connect_timeout: '20s' } },
      initial: pg1Leads,
    });
    const startedAt = performance.now();
    const client = await connectPeer(stage.at(), hello);
    await until(() => client.ended, 'the answer');
    assert.ok(performance.now() - startedAt < 20_000);
    await until(() => stage.diary.lines.length === 3, 'the notices');
    assert.deepEqual(stage.diary.lines, [
      'accepted',
      'connectFailed pg1 unreachable',
      'rejected connect-failed',
    ]);
  },
  oneLoop,
);

for (const [bind, dialed, seen] of [
  ['[::1]:0', ['::1'], ['::1']],
  ['[::]:0', ['::1', '127.0.0.1'], ['::1', '127.0.0.1']],
  ['localhost:0', ['localhost'], [null]],
] as const) {
  onDrivers(
    `listen: clients of ${bind} are served, and told by the address they have`,
    async (t, engine) => {
      const stage = await openStage(t, { engine, frontends: { app: { bind } }, initial: pg1Leads });
      const { port } = stage.at();
      assert.notEqual(port, 0);
      for (const [index, host] of dialed.entries()) {
        const client = await connectPeer({ host, port }, hello);
        await until(() => stage.gauge().sessions === 1, 'the session');
        const { localPort } = client.socket;
        client.socket.resetAndDestroy();
        await until(() => stage.diary.ends.length === index + 1, 'the end');
        const end = stage.diary.ends.at(-1)!;
        assert.equal(end.client.port, localPort);
        if (seen[index] !== null) assert.equal(end.client.host, seen[index]);
      }
    },
    oneLoop,
  );
}
