// Reloads under open sockets: ports that stay, move, swap and fail to open; sessions that live on under other terms and are
// closed by the next demotion. On both drivers, and with several workers.

import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { type TestContext } from 'node:test';
import { backendSpecs } from '../../src/app/monitors.ts';
import { applyConfig } from '../../src/app/reload.ts';
import { configSchema, type Config } from '../../src/config/schema.ts';
import { type Address } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { nothingInherited } from '../../src/proxy/driver.ts';
import { type FrontendGauge } from '../../src/proxy/events.ts';
import { type Proxy } from '../../src/proxy/proxy.ts';
import { Topology } from '../../src/topology/topology.ts';
import { startupPacket } from '../support/tcp-packets.ts';
import {
  closeClients,
  connectPeer,
  OWN_LOOPBACK,
  ScriptServer,
  until,
  type Peer,
} from '../support/tcp-peers.ts';
import { createDiary, createEngine, onDrivers, type Diary, type Engine } from '../support/tcp-proxy.ts';
import { WorkerWatch } from '../support/tcp-workers.ts';
import { fail, pass, passReplica, down, up } from '../support/views.ts';

const hello = startupPacket();

type Keys = Readonly<Record<string, unknown>>;

interface Rig {
  readonly proxy: Proxy;
  readonly topology: Topology;
  readonly diary: Diary;
  readonly servers: Readonly<Record<string, ScriptServer>>;
  readonly workers: WorkerWatch;
  reload(
    frontends: Readonly<Record<string, Keys>>,
    backends?: Readonly<Record<string, readonly string[]>>,
  ): Promise<void>;
  /** pg1 or pg2 is the primary, the others are replicas. */
  lead(primary: string): void;
  gauge(name: string): FrontendGauge | undefined;
}

async function open(
  t: TestContext,
  engine: Engine,
  frontends: Readonly<Record<string, Keys>>,
  backends: Readonly<Record<string, readonly string[]>> = { app: ['pg1', 'pg2'] },
): Promise<Rig> {
  const names = ['pg1', 'pg2', 'pg3'];
  const servers: Record<string, ScriptServer> = {};
  for (const name of names) {
    const server = await new ScriptServer().listen();
    server.onPeer = ({ socket }) => {
      socket.on('error', () => undefined); // resets are what is tested
      socket.pipe(socket);
    };
    servers[name] = server;
  }
  const configOf = (ports: typeof frontends, members: typeof backends): Config =>
    configSchema.parse({
      frontends: Object.fromEntries(
        Object.entries(ports).map(([name, keys]) => [
          name,
          { bind: `${OWN_LOOPBACK}:0`, backend: 'app', ...keys },
        ]),
      ),
      backends: Object.fromEntries(
        Object.entries(members).map(([name, own]) => [
          name,
          {
            protocol: 'postgres',
            check: { user: 'probe', interval: '10m' },
            servers: Object.fromEntries(
              own.map(server => [server, `${OWN_LOOPBACK}:${servers[server]!.address.port}`]),
            ),
          },
        ]),
      ),
    });
  const config = configOf(frontends, backends);
  const topology = new Topology(backendSpecs(config), systemClock);
  const lead = (primary: string): void => {
    const at = systemClock.now();
    for (const view of topology
      .views()
      .filter(({ servers: all }) => all.some(({ name }) => name === primary))) {
      for (const { name } of view.servers.filter(server => server.name !== primary))
        topology.report(view.name, name, up, passReplica({}, at));
      topology.report(view.name, primary, up, pass({}, at));
    }
  };
  const diary = createDiary();
  const workers = new WorkerWatch(t);
  const namesOf = (backend: string): readonly string[] => topology.names(backend);
  const proxy = await createEngine(engine, config, topology, systemClock, diary, nothingInherited, namesOf);
  t.after(async () => {
    closeClients();
    await proxy.close();
    await Promise.all(Object.values(servers).map(server => server.refuse()));
  });
  await proxy.listen();
  lead('pg1');
  const nothing = { reconfigure: (): void => undefined };
  return {
    proxy,
    topology,
    diary,
    servers,
    workers,
    lead,
    gauge: name => proxy.frontends().find(gauge => gauge.name === name),
    async reload(ports, members = backends) {
      const resolver = {
        reconfigure(specs: ReturnType<typeof backendSpecs>) {
          for (const spec of specs) topology.setMembers(spec.name, spec.servers);
        },
      };
      const parts = { proxy, topology, resolver, monitors: nothing, orchestrators: nothing };
      await applyConfig(parts, configOf(ports, members));
    },
  };
}

async function freePorts(count: number): Promise<readonly string[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const binds: string[] = [];
  for (const server of servers) {
    await new Promise<void>(resolve => server.listen(0, OWN_LOOPBACK, resolve));
    binds.push(`${OWN_LOOPBACK}:${(server.address() as AddressInfo).port}`);
  }
  for (const server of servers) await new Promise(resolve => server.close(resolve));
  return binds;
}

const addressOf = (bind: string | undefined): Address => ({
  host: OWN_LOOPBACK,
  port: Number(bind?.split(':')[1]),
});

async function client(at: Address): Promise<Peer> {
  const peer = await connectPeer(at, hello);
  await peer.untilBytes(hello.length);
  assert.ok(peer.received.equals(hello), 'the client is served');
  return peer;
}

/** It says something, and its server answers. */
async function speaks(peer: Peer): Promise<void> {
  const before = peer.bytes;
  peer.socket.write('more');
  await peer.untilBytes(before + 4);
  assert.equal(peer.bytes, before + 4);
}

const gone = ({ closed, ended }: Peer): boolean => closed || ended;

onDrivers(
  'reload: two frontends swap their ports, a third comes: sessions live on, and each port leads to its new owner',
  async (t, engine) => {
    const [one, other, third] = await freePorts(3);
    const rig = await open(t, engine, { a: { bind: one }, b: { bind: other, route: 'replica' } });
    const [toA, toB] = [await client(addressOf(one)), await client(addressOf(other))];
    await until(() => rig.gauge('a')?.sessions === 1 && rig.gauge('b')?.sessions === 1, 'both sessions');
    await rig.reload({ a: { bind: other }, b: { bind: one, route: 'replica' }, c: { bind: third } });
    await speaks(toA);
    await speaks(toB);
    const newcomers = [
      await client(addressOf(one)),
      await client(addressOf(one)),
      await client(addressOf(third)),
    ];
    const sessions = (): readonly unknown[] => ['a', 'b', 'c'].map(name => rig.gauge(name)?.sessions);
    await until(() => sessions().join() === '1,3,1', 'newcomers to be b’s and c’s');
    assert.equal(rig.gauge('b')?.bind.port, addressOf(one).port);
    assert.equal(rig.gauge('a')?.bytesUp, hello.length + 4);
    for (const peer of newcomers) await speaks(peer);
    assert.equal(rig.diary.count('sessionEnded'), 0);
  },
);

onDrivers(
  'reload: sessions of before are looked after: the next demotion closes all of them',
  async (t, engine) => {
    const rig = await open(t, engine, { app: {}, any: { route: 'any' } });
    const peers: Peer[] = [];
    const join = async (): Promise<void> => {
      for (const name of ['app', 'app', 'any']) peers.push(await client(rig.gauge(name)!.bind));
    };
    await join();
    await rig.reload({ app: { hold: '7s' }, any: { route: 'any' } });
    await join();
    await rig.reload(
      { app: { hold: '8s', max_connections: 50 }, any: { route: 'any' } },
      { app: ['pg1', 'pg2', 'pg3'] },
    );
    rig.lead('pg1');
    await join();
    await rig.reload(
      { app: { hold: '8s', max_connections: 51 }, any: { route: 'any' } },
      { app: ['pg1', 'pg2'] },
    );
    await join();
    const onPrimary = rig.proxy.sessionsOf('app', 'pg1');
    const elsewhere = peers.length - onPrimary - rig.diary.count('sessionEnded pg3 server-left');
    rig.lead('pg2');
    await until(() => rig.proxy.sessionsOf('app', 'pg1') === 0, 'the demotion');
    await until(
      () => rig.diary.count('sessionEnded pg1 demotion') === onPrimary,
      `${onPrimary} sessions to be closed by the demotion`,
    );
    assert.ok(onPrimary >= 8, `${onPrimary} sessions were at the primary`);
    await until(() => peers.filter(peer => !gone(peer)).length === elsewhere, `${elsewhere} to be left`);
    await client(rig.gauge('app')!.bind);
    assert.equal(rig.proxy.sessionsOf('app', 'pg2'), elsewhere + 1);
  },
);

onDrivers(
  'reload: a frontend that is removed refuses who waits, its session goes on and is closed by the next demotion',
  async (t, engine) => {
    const [port] = await freePorts(1);
    const rig = await open(t, engine, { app: {}, old: { bind: port }, waits: { route: 'replica' } });
    const session = await client(addressOf(port));
    rig.topology.report('app', 'pg2', down(), fail('L4CON', systemClock.now()));
    const waiting = await connectPeer(rig.gauge('waits')!.bind, hello);
    await until(() => rig.gauge('waits')?.held === 1, 'a client to wait');
    await rig.reload({ app: {} });
    await until(() => waiting.ended, 'the refusal');
    assert.match(waiting.received.toString('latin1'), /57P01/);
    assert.equal(rig.diary.count('rejected frontend-removed'), 1);
    const late = await connectPeer(addressOf(port));
    await until(() => late.closed, 'a closed port');
    assert.equal(late.error, 'ECONNREFUSED');
    await speaks(session);
    assert.equal(rig.gauge('old')?.leaving, true);
    rig.lead('pg2');
    await until(() => gone(session), 'the demotion');
    assert.equal(rig.diary.count('sessionEnded pg1 demotion'), 1);
    session.socket.destroy();
    await until(() => rig.gauge('old') === undefined, 'the frontend to be forgotten');
    // It may come back, and begins anew.
    await rig.reload({ app: {}, old: { bind: port } });
    await client(addressOf(port));
    assert.deepEqual([rig.gauge('old')?.sessions, rig.gauge('old')?.leaving], [1, undefined]);
  },
);

onDrivers(
  'reload: a frontend that is led to another backend keeps its sessions; they end with the old backend',
  async (t, engine) => {
    const both = { app: ['pg1', 'pg2'], next: ['pg3'] };
    const rig = await open(t, engine, { app: {}, other: { backend: 'next' } }, both);
    rig.lead('pg3');
    const before = await client(rig.gauge('app')!.bind);
    await rig.reload({ app: { backend: 'next' }, other: { backend: 'next' } }, both);
    const after = await client(rig.gauge('app')!.bind);
    await until(() => rig.proxy.sessionsOf('next', 'pg3') === 1, 'the newcomer at the other backend');
    assert.equal(rig.proxy.sessionsOf('app', 'pg1'), 1);
    await speaks(before);
    await rig.reload({ app: { backend: 'next' } }, { next: ['pg3'] });
    await until(() => gone(before), 'the end of the old backend');
    assert.equal(rig.diary.count('sessionEnded pg1 backend-removed'), 1);
    await speaks(after);
    await rig.reload({ app: {} }, { app: ['pg1', 'pg2'] });
    await until(() => gone(after), 'the end of the other one');
    rig.lead('pg2');
    await client(rig.gauge('app')!.bind);
    assert.equal(rig.proxy.sessionsOf('app', 'pg2'), 1);
  },
);

onDrivers('reload: sessions that a changed route forbids end, and no others', async (t, engine) => {
  const rig = await open(t, engine, { app: { route: 'any', balance: 'first' }, reads: { route: 'replica' } });
  const [onPrimary, onReplica] = [
    await client(rig.gauge('app')!.bind),
    await client(rig.gauge('reads')!.bind),
  ];
  await rig.reload({ app: { route: 'primary' }, reads: { route: 'any' } });
  await speaks(onPrimary);
  await speaks(onReplica);
  await rig.reload({ app: { route: 'replica' }, reads: { route: 'primary' } });
  await until(() => gone(onPrimary) && gone(onReplica), 'both to be sent away');
  assert.equal(rig.diary.count('sessionEnded pg1 promotion'), 1);
  assert.equal(rig.diary.count('sessionEnded pg2 demotion'), 1);
  await client(rig.gauge('reads')!.bind);
  assert.equal(rig.proxy.sessionsOf('app', 'pg1'), 1);
});

onDrivers('reload: a port that can’t be opened changes nothing, and is told', async (t, engine) => {
  const [taken, free, fresh] = await freePorts(3);
  const rig = await open(t, engine, { app: { bind: free } });
  const session = await client(addressOf(free));
  const squatter = createServer();
  await new Promise<void>(resolve => squatter.listen(addressOf(taken).port, OWN_LOOPBACK, resolve));
  t.after(() => new Promise(resolve => squatter.close(resolve)));
  await assert.rejects(rig.reload({ new: { bind: fresh }, app: { bind: taken } }), {
    code: 'BIND_FAILED',
    message: /frontend app: cannot listen on .*EADDRINUSE/,
  });
  const late = await connectPeer(addressOf(fresh));
  await until(() => late.closed, 'what was opened to be closed again');
  await speaks(session);
  await client(addressOf(free));
  assert.deepEqual(
    rig.proxy.frontends().map(({ name, sessions }) => `${name} ${sessions}`),
    ['app 2'],
  );
});

onDrivers(
  'reload: a worker that dies afterwards is born with the new configuration',
  async (t, engine) => {
    const [port] = await freePorts(1);
    const rig = await open(t, engine, { app: {} });
    await rig.reload({ app: {}, more: { bind: port } }, { app: ['pg1', 'pg2', 'pg3'] });
    rig.lead('pg1');
    await client(addressOf(port));
    await rig.workers.live[0]!.terminate();
    await until(() => rig.workers.started > 1 && rig.workers.settled, 'another worker');
    rig.lead('pg3');
    await client(addressOf(port));
    await until(() => rig.proxy.sessionsOf('app', 'pg3') === 1, 'a session by the new configuration');
  },
  engine => engine !== 'net' && engine.workers === 1,
);
