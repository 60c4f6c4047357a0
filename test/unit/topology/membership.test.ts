import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeChange } from '../../../src/topology/describe.ts';
import { type BackendChange } from '../../../src/topology/model.ts';
import { Topology, type BackendSpec } from '../../../src/topology/topology.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { pass, passReplica, up } from '../../support/views.ts';

const history = (replicationId: string, runId: string) =>
  ({ kind: 'redis', replicationId, offset: 10, previous: null, runId }) as const;

const configured: BackendSpec = {
  name: 'cache',
  protocol: 'redis',
  multipleWriters: 'newest',
  settleMs: 0,
  servers: [],
  orchestrator: 'the Sentinels',
  freshnessMs: 1000,
  slowStartMs: 0,
};
const cache: BackendSpec = { ...configured, slots: ['redis-1', 'redis-2', 'redis-3'] };

function learning(spec: BackendSpec = cache) {
  const topology = new Topology([spec], new FakeClock());
  const changes: BackendChange[] = [];
  topology.changes.subscribe(change => changes.push(change));
  const member = (name: string, port: number) => ({ name, address: { host: '10.0.0.1', port }, weight: 100 });
  const names = () => topology.view('cache').servers.map(({ name, address }) => `${name}:${address.port}`);
  return { topology, changes, member, names };
}

test('membership: members come and go, and those who stay keep what is known of them', () => {
  const { topology, changes, member, names } = learning();
  assert.deepEqual(topology.names('cache'), ['redis-1', 'redis-2', 'redis-3']);
  topology.setMembers('cache', [member('redis-1', 1), member('redis-2', 2)]);
  topology.report('cache', 'redis-2', up, passReplica({ history: history('a', 'b') }));
  topology.setMembers('cache', [member('redis-2', 2), member('redis-3', 3)]);
  assert.deepEqual(names(), ['redis-2:2', 'redis-3:3']);
  assert.equal(topology.view('cache').servers[0]?.health.kind, 'up');
  const said = changes.flatMap(change => describeChange(change));
  assert.ok(said.includes('redis-1 is no member any more'));
  assert.ok(said.includes('redis-3 is a new member: 10.0.0.1:3'));
  const count = changes.length;
  topology.setMembers('cache', [member('redis-2', 2), member('redis-3', 3)]);
  assert.equal(changes.length, count, 'nothing new is no change');
});

test('membership: a name that goes over to another address is without a server for one change', () => {
  const { topology, changes, member, names } = learning();
  topology.setMembers('cache', [member('redis-1', 1), member('redis-2', 2)]);
  changes.length = 0;
  topology.setMembers('cache', [member('redis-1', 9), member('redis-2', 2)]);
  assert.deepEqual(
    changes.map(({ after }) => after.servers.map(({ name }) => name)),
    [['redis-2'], ['redis-1', 'redis-2']],
  );
  assert.deepEqual(names(), ['redis-1:9', 'redis-2:2']);
});

test('membership: nobody is elected before the first word of the Sentinels, and a primary that leaves is none', () => {
  const { topology, member } = learning();
  topology.setMembers('cache', [member('redis-1', 1)]);
  topology.report('cache', 'redis-1', up, pass({ history: history('a', 'a') }));
  assert.equal(topology.view('cache').primary, null);
  assert.match(topology.view('cache').reasons.join(), /waiting for the first word/);
  topology.reportOpinion('cache', null);
  assert.equal(topology.view('cache').primary, 'redis-1');
  topology.setMembers('cache', []);
  assert.equal(topology.view('cache').primary, null);
  assert.equal(topology.view('cache').epoch, 2);
});

function named() {
  const member = (name: string, host: string, at: string) => ({
    name,
    host,
    address: { host: at, port: 5432 },
    weight: 100,
  });
  const topology = new Topology(
    [
      {
        name: 'app',
        protocol: 'postgres',
        multipleWriters: 'newest',
        settleMs: 0,
        servers: [member('pg1', 'pg1.internal', 'pg1.internal'), member('pg2', 'pg2.internal', '10.0.0.2')],
        freshnessMs: 1000,
        slowStartMs: 0,
      },
    ],
    new FakeClock(),
  );
  const changes: BackendChange[] = [];
  topology.changes.subscribe(change => changes.push(change));
  const put = (at: string): void =>
    topology.setMembers('app', [
      member('pg1', 'pg1.internal', at),
      member('pg2', 'pg2.internal', '10.0.0.2'),
    ]);
  return { topology, changes, put };
}

test('membership: a name that gets its first address is a member all the time, and is heard before anybody is elected', () => {
  const { topology, changes, put } = named();
  topology.report('app', 'pg2', up, pass());
  assert.equal(topology.view('app').primary, null);
  changes.length = 0;
  put('10.0.0.1');
  assert.deepEqual(
    changes.map(({ after }) => after.servers.map(({ name, address }) => `${name} ${address.host}`)),
    [['pg1 10.0.0.1', 'pg2 10.0.0.2']],
  );
  assert.match(topology.view('app').reasons.join(), /waiting for the first word of pg1/);
  topology.report('app', 'pg1', up, passReplica());
  assert.equal(topology.view('app').primary, 'pg2');
});

test('membership: a primary whose name moves is none, before its new address is a member, and what was decided about it stays', () => {
  const { topology, changes, put } = named();
  put('10.0.0.1');
  topology.report('app', 'pg2', up, passReplica());
  topology.report('app', 'pg1', up, pass());
  assert.equal(topology.view('app').primary, 'pg1');
  topology.setAdmin('app', 'pg1', 'drain');
  changes.length = 0;
  put('10.0.0.9');
  assert.deepEqual(
    changes.map(({ after }) => [after.primary, after.servers.map(({ name }) => name).join()]),
    [
      [null, 'pg2'],
      [null, 'pg1,pg2'],
    ],
  );
  const [pg1] = topology.view('app').servers;
  assert.deepEqual(
    [pg1?.address.host, pg1?.host, pg1?.result, pg1?.admin],
    ['10.0.0.9', 'pg1.internal', null, 'drain'],
  );
});

test('membership: learned servers have the limit of their backend, and another one after a reload', () => {
  const { topology, changes, member } = learning({ ...cache, maxConnectionsPerServer: 90 });
  const limits = () => topology.view('cache').servers.map(({ maxConnections }) => maxConnections);
  const both = [member('redis-1', 1), member('redis-2', 2)];
  topology.setMembers('cache', both);
  assert.deepEqual(limits(), [90, 90]);
  topology.reconfigure([{ ...cache, maxConnectionsPerServer: 70 }]);
  assert.deepEqual(limits(), [70, 70]);
  const count = changes.length;
  topology.setMembers('cache', both);
  assert.equal(changes.length, count, 'told again, they are as they were');
  topology.reconfigure([cache]);
  assert.deepEqual(limits(), [null, null]);
});

test('membership: a configured server with a limit of its own keeps it', () => {
  const servers = [
    { name: 'redis-1', address: { host: '10.0.0.1', port: 1 }, weight: 100, maxConnections: 5 },
    { name: 'redis-2', address: { host: '10.0.0.1', port: 2 }, weight: 100, maxConnections: null },
  ];
  const spec: BackendSpec = { ...configured, servers, maxConnectionsPerServer: 90 };
  const topology = new Topology([spec], new FakeClock());
  const limits = () => topology.view('cache').servers.map(({ maxConnections }) => maxConnections);
  assert.deepEqual(limits(), [5, 90]);
  topology.reconfigure([{ ...spec, maxConnectionsPerServer: 70 }]);
  topology.setMembers('cache', servers);
  assert.deepEqual(limits(), [5, 70]);
});
