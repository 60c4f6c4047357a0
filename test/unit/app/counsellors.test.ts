// Who is asked beside the servers: that a first word comes whatever they do, and what becomes of names that collide.

import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { createCounsellors } from '../../../src/app/counsellors.ts';
import { backendSpecs } from '../../../src/app/monitors.ts';
import { createOrchestrators } from '../../../src/app/orchestrators.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { silentLogger } from '../../../src/core/logger.ts';
import { type Counsel } from '../../../src/topology/sources/counsel.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { pass, up } from '../../support/views.ts';
import { until } from '../../support/wait.ts';
import { configOf } from '../config/kit.ts';

async function listening(t: TestContext, server: Server): Promise<string> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** It accepts, and says nothing. */
async function silentPeer(t: TestContext): Promise<string> {
  const sockets = new Set<Socket>();
  t.after(() => sockets.forEach(socket => socket.destroy()));
  return listening(
    t,
    createTcpServer(socket => {
      sockets.add(socket);
      socket.on('error', () => undefined); // it is reset by whoever gives it up
    }),
  );
}

async function patroni(t: TestContext, members: readonly object[]): Promise<string> {
  const answer: RequestListener = (_request, response) => response.end(JSON.stringify({ members }));
  return listening(t, createServer(answer));
}

const configWith = (protocol: string, lines: string) =>
  configOf(`admin: { bind: "127.0.0.1:0" }
frontends: { rw: { bind: "127.0.0.1:0", backend: app, route: primary } }
backends:
  app:
    protocol: ${protocol}
    check: { ${protocol === 'postgres' ? 'user: probe, ' : ''}timeout: 50ms }
    ${lines}
`);

async function firstWord(t: TestContext, protocol: string, lines: string): Promise<Counsel> {
  const config = configWith(protocol, lines);
  const [backend] = Object.values(config.backends);
  assert.ok(backend !== undefined);
  const heard: Counsel[] = [];
  const clients = createCounsellors(backend, config.dns, systemClock, counsel => heard.push(counsel));
  t.after(() => clients.forEach(client => client.stop()));
  clients.forEach(client => client.start());
  await until('a first word', () => heard.length > 0);
  return heard[0]!;
}

const hanging = {
  patroni: (at: string) => `patroni: { addresses: ["${at}", "no-such-host.invalid:8008"] }`,
  sentinel: (at: string) => `sentinel: { addresses: ["${at}", "no-such-host.invalid:26379"] }`,
  'pg_auto_failover, silent': (at: string) => `pg_auto_failover: { monitor: "${at}" }`,
  'pg_auto_failover, nowhere': () => 'pg_auto_failover: { monitor: "no-such-host.invalid:5432" }',
};

for (const [who, lines] of Object.entries(hanging)) {
  test(`first word: of one that hangs or whose name is not resolved it comes, and is silence (${who})`, async t => {
    const counsel = await firstWord(t, who === 'sentinel' ? 'redis' : 'postgres', lines(await silentPeer(t)));
    assert.equal(counsel.opinion, null);
    assert.equal(counsel.members, null);
    assert.ok(counsel.notes.length > 0);
  });
}

test('learned servers: our name for one that its cluster gave to another does not make it the primary', async t => {
  const member = { state: 'running', host: '10.0.0.1', timeline: 1 };
  const at = await patroni(t, [
    { ...member, name: 'postgres-0', role: 'replica', port: 5001 },
    { ...member, name: 'postgres-1', role: 'leader', port: 5002 },
  ]);
  const config = configWith('postgres', `patroni: { addresses: ["${at}"], max_servers: 1 }`);
  const topology = new Topology(backendSpecs(config), systemClock);
  const orchestrators = createOrchestrators(config, {
    topology,
    resolver: { setMembers: (backend, members) => topology.setMembers(backend, members) },
    clock: systemClock,
    log: silentLogger,
    askNow: () => undefined,
  });
  t.after(() => orchestrators.stop());
  orchestrators.start();
  await until('the leader is named', () => topology.view('app').opinion !== null);
  assert.deepEqual(
    topology.view('app').servers.map(({ name, address }) => `${name} ${address.port}`),
    ['postgres-1 5001'],
  );
  topology.report('app', 'postgres-1', up, { ...pass(), at: systemClock.now() });
  const { primary, disagreement } = topology.view('app');
  assert.equal(primary, null, 'it is the one that was left out');
  assert.match(disagreement ?? '', /but postgres-1 says that it is writable/);
});
