// Limits on real sockets, on every engine: servers with a limit and the queue before them, client addresses, circuit
// breakers, and the pace after a failover.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { type TestContext } from 'node:test';
import { type BackendView } from '../../src/topology/model.ts';
import { readError, startupPacket } from '../support/tcp-packets.ts';
import { beginPeer, connectPeer, Peer, until, type ScriptServer } from '../support/tcp-peers.ts';
import { oneLoop, onDrivers, openStage, type Engine, type Stage } from '../support/tcp-proxy.ts';
import { fail, pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const pg1Leads = [{ pg1: pass(), pg2: passReplica() }, 'pg1'] as const;
const nobody = [{ pg1: fail(), pg2: passReplica() }, null] as const;
const HOLD = { hold: '60s' };

type Frontends = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

async function open(
  t: TestContext,
  engine: Engine,
  frontends: Frontends,
  backend: Partial<BackendView> = {},
): Promise<Stage> {
  const stage = await openStage(t, { engine, frontends, backend, initial: pg1Leads });
  for (const server of Object.values(stage.servers)) echo(server);
  return stage;
}

/** Says what it hears, and ends when the client does; keeps count of who is there. */
function echo(server: ScriptServer): { now: number; most: number } {
  const crowd = { now: 0, most: 0 };
  server.onPeer = ({ socket }) => {
    crowd.now += 1;
    crowd.most = Math.max(crowd.most, crowd.now);
    socket.on('error', () => undefined); // the count is what is looked at
    socket.on('data', chunk => socket.write(chunk));
    // Before the proxy can know it.
    socket.on('end', () => {
      crowd.now -= 1;
      socket.end();
    });
  };
  return crowd;
}

async function limitServers(stage: Stage, maxConnections: number): Promise<void> {
  stage.topology.show(stage.topology.view().servers.map(server => ({ ...server, maxConnections })));
  await stage.settled();
}

function begin(stage: Stage, frontend?: string): Peer {
  const client = beginPeer(stage.at(frontend));
  client.socket.write(hello);
  return client;
}

const served = (clients: readonly Peer[]): readonly Peer[] => clients.filter(({ bytes }) => bytes > 0);

onDrivers('server limit: it is never exceeded, and everybody is served in the end', async (t, engine) => {
  const stage = await open(t, engine, { app: HOLD });
  await limitServers(stage, 5);
  const crowd = echo(stage.servers['pg1']!);
  const clients = Array.from({ length: 60 }, () => begin(stage));
  for (const { socket } of clients) socket.once('data', () => socket.end());
  await until(() => clients.every(({ closed }) => closed), 'all to be served');
  assert.equal(served(clients).length, 60);
  assert.ok(crowd.most <= 5, `${crowd.most} at once`);
  await until(() => stage.gauge().connections === 0 && stage.gauge().held === 0, 'the end');
});

onDrivers(
  'server limit: who waits is served in the order of coming, as sessions end',
  async (t, engine) => {
    const stage = await open(t, engine, { app: HOLD });
    await limitServers(stage, 2);
    const clients: Peer[] = [];
    for (let count = 1; count <= 8; count += 1) {
      clients.push(begin(stage));
      await until(() => stage.gauge().sessions + stage.gauge().held === count, `client ${count}`);
    }
    assert.equal(stage.gauge().held, 6);
    for (let next = 2; next < 8; next += 1) {
      assert.equal(served(clients).length, next);
      clients[next - 2]!.socket.end();
      await clients[next]!.untilBytes(1);
    }
  },
  oneLoop,
);

onDrivers(
  'server limit: a place that is free in one worker or frontend goes to who waits at another',
  async (t, engine) => {
    const stage = await open(t, engine, { app: HOLD, ro: { ...HOLD, route: 'any', balance: 'first' } });
    await limitServers(stage, 1);
    const first = begin(stage);
    await first.untilBytes(1);
    stage.topology.show(stage.topology.view().servers.filter(({ name }) => name === 'pg1'));
    const waiting = [begin(stage, 'ro'), begin(stage), begin(stage, 'ro'), begin(stage)];
    await until(() => stage.gauge().held === 2 && stage.gauge('ro').held === 2, 'four to wait');
    for (const { socket } of waiting) socket.once('data', () => socket.end());
    first.socket.end();
    await until(() => waiting.every(({ closed }) => closed), 'all to be served');
    assert.equal(served(waiting).length, 4);
  },
);

onDrivers(
  'server limit: without a hold, or after it, the client is told that all is full',
  async (t, engine) => {
    const stage = await open(t, engine, { app: { hold: 0 }, slow: { hold: '100ms' } });
    await limitServers(stage, 1);
    const first = begin(stage);
    await first.untilBytes(1);
    for (const frontend of ['app', 'slow']) {
      const refused = begin(stage, frontend);
      await until(() => refused.ended, 'the answer');
      const { sqlstate, message } = readError(refused.received);
      assert.deepEqual(
        [sqlstate, message],
        ['53300', 'pointsman: every primary in backend app has its connections'],
      );
    }
    await until(() => stage.diary.count('rejected servers-full') === 2, 'the notices');
    await limitServers(stage, 2);
    await begin(stage).untilBytes(1);
  },
);

onDrivers('addresses: so many connections of each, whichever worker has them', async (t, engine) => {
  const stage = await open(t, engine, { app: { ...HOLD, max_connections_per_ip: 4 } });
  const clients = Array.from({ length: 12 }, () => begin(stage));
  await until(
    () => clients.filter(({ ended, closed }) => ended || closed).length === 8,
    'eight to be refused',
  );
  await until(() => served(clients).length === 12, 'their answers');
  const [refused] = clients.filter(({ ended }) => ended);
  assert.match(readError(refused!.received).message, /max_connections_per_ip/);
  assert.equal(stage.gauge().sessions, 4);
  const elsewhere = new Peer(connect({ ...stage.at(), localAddress: '127.0.0.9' }));
  elsewhere.socket.write(hello);
  await elsewhere.untilBytes(hello.length);
  assert.equal(stage.gauge().sessions, 5);
  const [leaver] = clients.filter(({ ended }) => !ended);
  leaver!.socket.end();
  await until(() => stage.gauge().sessions === 4, 'one to leave');
  const next = begin(stage);
  await next.untilBytes(hello.length);
  assert.ok(next.received.equals(hello));
  await until(() => stage.diary.count('rejected max-connections-per-ip') === 8, 'the notices');
  elsewhere.socket.destroy();
});

onDrivers(
  'rates: exactly the burst comes in, whichever worker a client meets; in a flood few are told',
  async (t, engine) => {
    const stage = await open(t, engine, { app: { ...HOLD, rate_limit: { per_ip: '1/h', burst: 7 } } });
    const clients: Peer[] = [];
    for (let round = 0; round < 15; round += 1) {
      clients.push(...Array.from({ length: 20 }, () => begin(stage)));
      await until(() => clients.every(({ socket }) => !socket.connecting), 'the connections');
    }
    await until(() => stage.diary.count('rejected rate-limit') === 293, 'all to be judged');
    await until(() => stage.gauge().sessions === 7, 'the burst to be served');
    await until(
      () => clients.filter(({ ended, closed }) => !ended && !closed).length === 7,
      'the others to end',
    );
    const workers = engine === 'net' ? 1 : engine.workers;
    const told = clients.filter(({ ended, bytes }) => ended && bytes > hello.length).length;
    assert.ok(told > 0 && told <= 60 * workers + 100, `${told} were told`);
  },
);

onDrivers('rates: all together have one as well', async (t, engine) => {
  const stage = await open(t, engine, { app: { ...HOLD, rate_limit: { total: '1/h', total_burst: 5 } } });
  const clients = Array.from({ length: 20 }, () => begin(stage));
  await until(() => stage.diary.count('rejected rate-limit') === 15, 'all to be judged');
  await until(() => stage.gauge().sessions === 5, 'the burst to be served');
  await until(
    () => clients.filter(({ ended, closed }) => !ended && !closed).length === 5,
    'the others to end',
  );
});

onDrivers(
  'circuit breaker: a server that refuses is left alone, tried by one, and opened to all',
  async (t, engine) => {
    const circuitBreaker = { failures: 3, openMs: 400 };
    const stage = await open(t, engine, { app: HOLD }, { circuitBreaker });
    const server = stage.servers['pg1']!;
    const { port, host } = server.address;
    await server.refuse();
    const clients = [begin(stage)];
    await until(() => stage.diary.count('circuit pg1 open') > 0, 'it to open');
    clients.push(...Array.from({ length: 11 }, () => begin(stage)));
    await until(() => stage.gauge().held === 12, 'all to wait');
    assert.ok(stage.proxy.openUntil('app', 'pg1') > 0);
    const workers = engine === 'net' ? 1 : engine.workers;
    // Each time that it opens again one client has tried, of each worker where any waits.
    const attempts = stage.diary.count('connectFailed');
    const most = 3 + (stage.diary.count('circuit pg1 open') - 1) * workers;
    assert.ok(attempts <= most, `${attempts} attempts, not more than ${most}`);
    await until(() => stage.diary.count('circuit pg1 open') > 1, 'a trial in vain');
    await server.listen(port, host);
    await until(() => stage.diary.count('circuit pg1 closed') > 0, 'a trial that works');
    await until(() => served(clients).length === 12, 'all to be served');
    assert.equal(stage.proxy.openUntil('app', 'pg1'), 0);
  },
);

onDrivers('surge: a new primary gets clients at the pace that was set, newcomers too', async (t, engine) => {
  const surge = { perSecond: 20, burst: 2, forMs: 60_000 };
  const stage = await open(t, engine, { app: HOLD }, { surge });
  stage.topology.set(...nobody);
  await stage.settled();
  const clients = Array.from({ length: 8 }, () => begin(stage));
  await until(() => stage.gauge().held === 8, 'eight to wait');
  const startedAt = performance.now();
  stage.topology.set(...pg1Leads);
  clients.push(...Array.from({ length: 8 }, () => begin(stage)));
  await until(() => served(clients).length === 16, 'all to be served');
  const tookMs = performance.now() - startedAt;
  const workers = engine === 'net' ? 1 : engine.workers;
  const atOnce = workers * Math.ceil(surge.burst / workers);
  assert.ok(tookMs >= ((16 - atOnce) / surge.perSecond) * 1000 - 60, `${tookMs} ms`);
});

onDrivers(
  'surge: without a change of the primary nobody is paced',
  async (t, engine) => {
    const surge = { perSecond: 0.001, burst: 1, forMs: 1 };
    const stage = await open(t, engine, { app: HOLD }, { surge });
    const first = await connectPeer(stage.at(), hello);
    await first.untilBytes(1);
    const clients = Array.from({ length: 20 }, () => begin(stage));
    await until(() => served(clients).length === 20, 'all to be served');
    assert.equal(stage.diary.count('held'), 0);
  },
  oneLoop,
);
