// Servers that clients can't be connected to: passed over at once, then not picked until a probe says they are well; and
// servers that come up or leave. On real sockets, on every engine.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress } from '../../src/core/address.ts';
import { fullQueue } from '../support/full-queue.ts';
import { runPointsman } from '../support/pointsman.ts';
import { connectPeer, ScriptServer, until } from '../support/tcp-peers.ts';
import { oneLoop, onDrivers, openStage } from '../support/tcp-proxy.ts';
import { passTcp } from '../support/views.ts';
import { until as waitUntil } from '../support/wait.ts';

const bothWell = (at = 0) => ({ pg1: passTcp(at), pg2: passTcp(at) });

onDrivers(
  'suspects: a server that refuses costs one client a moment, and is not picked again until a probe says it is well',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      frontends: { app: { route: 'any', balance: 'roundrobin' } },
      initial: [bothWell(), null],
      backend: { protocol: 'tcp' },
    });
    const pg1 = stage.servers['pg1']!;
    const { port } = pg1.address;
    await pg1.refuse();
    for (let i = 1; i <= 20; i += 1) {
      await connectPeer(stage.at());
      await until(() => stage.gauge().sessions === i, `session ${i}`);
    }
    await until(() => stage.diary.count('connected pg2') === 20, 'the notices');
    assert.equal(stage.diary.count('connectFailed pg1'), 1);
    assert.equal(stage.diary.count('held'), 0, 'nobody waited');
    await pg1.listen(port);
    // It may be well for all we know, but nobody has asked since.
    await connectPeer(stage.at());
    await until(() => stage.gauge().sessions === 21, 'the next session');
    assert.equal(pg1.peers.length, 0);
    stage.topology.set(bothWell(Number.MAX_SAFE_INTEGER), null);
    await stage.settled();
    for (let i = 22; i <= 25; i += 1) {
      await connectPeer(stage.at());
      await until(() => stage.gauge().sessions === i, `session ${i}`);
    }
    await until(() => pg1.peers.length === 2, 'its share');
  },
  oneLoop,
);

onDrivers('suspects: when all are, they are still tried', async (t, engine) => {
  const stage = await openStage(t, {
    engine,
    frontends: { app: { route: 'any', hold: 0 } },
    initial: [bothWell(), null],
    backend: { protocol: 'http' },
  });
  const ports = Object.values(stage.servers).map(({ address }) => address.port);
  await Promise.all(Object.values(stage.servers).map(server => server.refuse()));
  for (let i = 0; i < 6; i += 1) {
    const client = await connectPeer(stage.at(), Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await until(() => client.ended, 'the answer');
    assert.match(client.received.toString(), /"connect-failed"/);
  }
  await until(() => stage.diary.count('connectFailed') === 12, 'two attempts for each');
  await stage.servers['pg2']!.listen(ports[1]);
  await connectPeer(stage.at(), Buffer.from('GET / HTTP/1.1\r\n\r\n'));
  await until(() => stage.gauge().sessions === 1, 'a session');
});

onDrivers(
  'suspects: a server that answers nobody costs its time to who comes in the first moment, and to nobody later',
  async (t, engine) => {
    const { address } = await fullQueue(t);
    const stage = await openStage(t, {
      engine,
      frontends: { app: { route: 'any', balance: 'first', connect_timeout: '1s' } },
      initial: [bothWell(), null],
      backend: { protocol: 'tcp' },
      addresses: { pg1: address },
    });
    await connectPeer(stage.at());
    const waits: number[] = [];
    const began = performance.now();
    // Clients come all the time, before and after the first one's time is up.
    while (stage.diary.count('connectFailed pg1 timeout') === 0 || waits.length < 10) {
      const before = stage.gauge().sessions;
      const at = performance.now();
      if (at - began > 300) {
        await connectPeer(stage.at());
        await until(() => stage.gauge().sessions > before, 'a session');
        waits.push(performance.now() - at);
      } else await new Promise(resolve => setTimeout(resolve, 10));
    }
    assert.ok(Math.max(...waits) < 500, `${Math.max(...waits)} ms`);
    assert.equal(stage.diary.count('connectFailed'), 1);
    assert.equal(stage.diary.count('held'), 0);
  },
  oneLoop,
);

onDrivers(
  'membership: a server that leaves loses its sessions, and who dials it moves on',
  async (t, engine) => {
    const { address } = await fullQueue(t);
    const stage = await openStage(t, {
      engine,
      servers: ['pg1', 'pg2', 'pg3'],
      frontends: { app: { route: 'any', balance: 'first', connect_timeout: '10m' } },
      initial: [{ pg1: passTcp() }, null],
      backend: { protocol: 'tcp' },
      addresses: { pg2: address },
    });
    const joined = await connectPeer(stage.at());
    await until(() => stage.gauge().sessions === 1, 'a session with pg1');
    const [pg1, pg2, pg3] = stage.topology.view().servers;
    const well = { result: passTcp(), health: pg1!.health };
    stage.topology.show([{ ...pg2!, ...well }, pg3!]);
    await until(() => joined.closed || joined.ended, 'it to be closed');
    await until(() => stage.diary.count('sessionEnded pg1 server-left') === 1, 'the notice');
    const dialing = await connectPeer(stage.at());
    await until(() => stage.gauge().connections === 1, 'the next client');
    stage.topology.show([{ ...pg3!, ...well }]);
    await until(() => stage.gauge().sessions === 1, 'a session with pg3');
    await stage.servers['pg3']!.peer(0);
    assert.equal(stage.servers['pg3']!.peers.length, 1);
    assert.equal(dialing.ended, false);
  },
  oneLoop,
);

onDrivers(
  'slow start: a server that has just come up gets a few of the new sessions, one that was up before its share',
  async (t, engine) => {
    const slowStartMs = 3_600_000;
    const stage = await openStage(t, {
      engine,
      frontends: { app: { route: 'any', balance: 'roundrobin' } },
      initial: [bothWell(), null],
      backend: { protocol: 'tcp', slowStartMs },
    });
    const share = async (count: number): Promise<number> => {
      const { pg1, pg2 } = stage.servers;
      const all = (): number => pg1!.peers.length + pg2!.peers.length;
      const [before, young] = [all(), pg2!.peers.length];
      await Promise.all(Array.from({ length: count }, () => connectPeer(stage.at())));
      await until(() => all() === before + count, 'the sessions');
      return (pg2!.peers.length - young) / count;
    };
    const [pg1, pg2] = stage.topology.view().servers;
    stage.topology.show([
      { ...pg1!, upSince: -Infinity },
      { ...pg2!, upSince: performance.now() },
    ]);
    await stage.settled();
    const young = await share(110);
    assert.ok(Math.abs(young - 1 / 11) < 0.05, `${young}`);
    stage.topology.show([pg1!, pg2!].map(server => ({ ...server, upSince: -Infinity })));
    await stage.settled();
    assert.equal(await share(20), 0.5);
  },
  oneLoop,
);

for (const driver of ['net', 'kernel'] as const) {
  test(`${driver}: whole program: a client that can't be connected has the server probed, whatever the interval`, async t => {
    const servers = [await new ScriptServer().listen(), await new ScriptServer().listen()] as const;
    t.after(() => Promise.all(servers.map(server => server.refuse().catch(() => undefined))));
    const [c1, c2] = servers;
    const running = await runPointsman({
      engine: { driver },
      frontends: { cache: { bind: '127.0.0.1:0', backend: 'cache', route: 'any', balance: 'first' } },
      backends: {
        cache: {
          protocol: 'tcp',
          check: { interval: '10m' },
          servers: { c1: formatAddress(c1.address), c2: formatAddress(c2.address) },
        },
      },
    });
    t.after(() => running.stop());
    const healths = async (): Promise<string> =>
      (await running.state()).backends[0]?.servers.map(({ health }) => health).join() ?? '';
    await waitUntil('both to be up', async () => (await healths()) === 'up,up');
    await c1.refuse();
    const probes = c2.peers.length;
    const client = await connectPeer(running.frontend('cache'), Buffer.from('hello'));
    const relayed = await c2.peer(probes);
    await relayed.untilBytes(5);
    await waitUntil('the other to be down', async () => (await healths()) === 'down,up');
    assert.equal(client.ended, false);
    assert.match(await running.metrics(), /^pointsman_server_connect_errors_total\{.*server="c1".*\} 1$/m);
  });
}
