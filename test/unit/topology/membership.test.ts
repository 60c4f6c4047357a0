import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeChange } from '../../../src/topology/describe.ts';
import { type BackendChange } from '../../../src/topology/model.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { pass, passReplica, up } from '../../support/views.ts';

const history = (replicationId: string, runId: string) =>
  ({ kind: 'redis', replicationId, offset: 10, previous: null, runId }) as const;

function learning() {
  const topology = new Topology(
    [
      {
        name: 'cache',
        protocol: 'redis',
        multipleWriters: 'newest',
        settleMs: 0,
        servers: [],
        slots: ['redis-1', 'redis-2', 'redis-3'],
        orchestrator: 'the Sentinels',
        freshnessMs: 1000,
        slowStartMs: 0,
      },
    ],
    new FakeClock(),
  );
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
