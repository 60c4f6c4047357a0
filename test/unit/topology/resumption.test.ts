// A topology that goes on from what another one saved: who is the primary then, and who may be given to clients.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialHealth, observe, type HealthState } from '../../../src/health/state.ts';
import { type ProbeResult } from '../../../src/health/result.ts';
import { acceptsWrites } from '../../../src/topology/eligibility.ts';
import { IncidentRecorder } from '../../../src/topology/incidents.ts';
import { readState, writeState, type SavedState } from '../../../src/topology/saved.ts';
import { Topology, type BackendSpec } from '../../../src/topology/topology.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { master } from '../../support/mysql-views.ts';
import { fail, FRESHNESS_MS, pass, passReplica } from '../../support/views.ts';

const at = (port: number) => ({ host: '10.0.0.1', port });
const member = (name: string, port: number) => ({ name, address: at(port), weight: 100 });
const common = { name: 'app', freshnessMs: FRESHNESS_MS, slowStartMs: 0, settleMs: 0 };

const pair = (given: object = {}): BackendSpec => ({
  ...common,
  protocol: 'postgres',
  multipleWriters: 'newest',
  servers: [member('pg1', 5001), member('pg2', 5002)],
  ...given,
});

function run(spec: BackendSpec, saved?: SavedState) {
  const clock = new FakeClock();
  const topology = new Topology([spec], clock, saved);
  const health = new Map<string, HealthState>();
  const incidents = new IncidentRecorder(clock);
  topology.changes.subscribe(change => incidents.observe(change));
  return {
    clock,
    topology,
    incidents,
    view: () => topology.view('app'),
    writable: () => acceptsWrites(topology.view('app'), clock.now())?.name ?? null,
    tell(server: string, result: ProbeResult) {
      const stamped = { ...result, at: clock.now(), wallAt: clock.wall() };
      const next = observe(health.get(server) ?? initialHealth, stamped, { rise: 1, fall: 2 }).state;
      health.set(server, next);
      topology.report('app', server, next, stamped);
    },
  };
}

/** As through the file. */
function savedBy({ topology }: { topology: Topology }): SavedState {
  const read = readState(writeState(topology.save()));
  assert.ok(read.ok, JSON.stringify(read));
  return read.state;
}

/** pg1 was elected beside pg2, which was a replica then. */
function ran(spec = pair()) {
  const first = run(spec);
  first.tell('pg1', pass());
  first.tell('pg2', passReplica());
  assert.equal(first.view().primary, 'pg1');
  return first;
}

test('restart: the primary of before is the primary in doubt, and gets no client before its own fresh word', () => {
  const second = run(pair(), savedBy(ran()));
  assert.equal(second.view().primary, 'pg1');
  assert.equal(second.view().epoch, 1, 'a restart is no change');
  assert.match(second.view().reasons.join(), /has not spoken yet/);
  assert.equal(second.writable(), null);
  second.tell('pg2', passReplica());
  assert.equal(second.view().primary, 'pg1');
  assert.equal(second.writable(), null);
  second.tell('pg1', fail('L7START'));
  assert.equal(second.writable(), null, 'busy is no word');
  second.tell('pg1', pass());
  assert.equal(second.writable(), 'pg1');
  assert.equal(second.view().epoch, 1);
});

test('restart: a primary of before that says it is a replica now is none any more', () => {
  const second = run(pair(), savedBy(ran()));
  second.tell('pg1', passReplica());
  assert.equal(second.view().primary, null);
  assert.equal(second.view().epoch, 2);
  second.tell('pg2', pass({ timeline: 2 }));
  assert.equal(second.writable(), 'pg2');
});

test('restart: two that nothing tells apart: with what was saved the one of before, without it nobody', () => {
  const saved = savedBy(ran());
  for (const order of [
    ['pg1', 'pg2'],
    ['pg2', 'pg1'],
  ]) {
    const [with_, without] = [run(pair(), saved), run(pair())];
    for (const server of order) {
      with_.tell(server, pass());
      without.tell(server, pass());
      assert.notEqual(with_.writable(), 'pg2');
    }
    assert.equal(with_.writable(), 'pg1', order.join());
    assert.equal(without.writable(), null, order.join());
  }
});

test('restart: a promotion that was missed is seen by the timeline, and the one of before is refused', () => {
  const second = run(pair(), savedBy(ran()));
  second.tell('pg2', pass({ timeline: 2 }));
  assert.equal(second.writable(), 'pg2');
  assert.equal(second.view().epoch, 2);
  second.tell('pg1', pass());
  assert.equal(second.writable(), 'pg2');
  const third = run(pair(), savedBy(second));
  third.tell('pg1', pass());
  assert.equal(third.writable(), null);
  assert.match(third.view().reasons.join(), /pg2 is in doubt/);
  third.tell('pg2', pass({ timeline: 2 }));
  assert.equal(third.writable(), 'pg2');
  assert.equal(third.view().epoch, 2);
});

test('restart: a primary of before that is down is lost after fall, and the incident says that it was so at the start', async () => {
  const second = run(pair(), savedBy(ran()));
  second.tell('pg2', passReplica());
  second.tell('pg1', fail());
  assert.equal(second.view().primary, 'pg1');
  await second.clock.advance(50);
  second.tell('pg1', fail());
  assert.equal(second.view().primary, null);
  const [incident] = second.incidents.list();
  assert.match(incident?.firstSign.detail ?? '', /^so it was when Pointsman started: failed: L4CON/);
  assert.equal(incident?.oldPrimary, 'pg1');
});

test('restart: with a memory and no primary, nobody is elected before all were heard', async () => {
  const first = ran();
  first.tell('pg1', fail());
  first.tell('pg1', fail());
  assert.equal(first.view().primary, null);
  const saved = savedBy(first);
  assert.equal(saved.get('app')?.primary, null);
  const second = run(pair(), saved);
  second.tell('pg2', pass());
  assert.equal(second.view().primary, null);
  assert.match(second.view().reasons.join(), /waiting for the first word of pg1/);
  second.tell('pg1', pass());
  assert.equal(second.view().primary, null, 'nothing tells them apart');
  const third = run(pair(), saved);
  third.tell('pg2', pass());
  third.tell('pg1', fail());
  assert.equal(third.view().primary, null);
  third.tell('pg1', fail());
  assert.equal(third.writable(), 'pg2');
  assert.equal(third.view().epoch, 3);
});

test('restart: the epoch never goes back, whatever is done with the servers', () => {
  const first = ran();
  const saved = savedBy(first);
  assert.equal(saved.get('app')?.epoch, 1);
  const renamed = run(pair({ servers: [member('one', 5001), member('pg2', 5002)] }), saved);
  assert.equal(renamed.view().primary, null, 'the name is another');
  assert.equal(renamed.view().epoch, 1);
  const moved = run(pair({ servers: [member('pg1', 5009), member('pg2', 5002)] }), saved);
  assert.equal(moved.view().primary, null, 'the address is another');
  moved.tell('pg1', pass());
  moved.tell('pg2', passReplica());
  assert.equal(moved.view().epoch, 2);
  const other = run(
    { ...common, protocol: 'redis', multipleWriters: 'newest', servers: [member('pg1', 5001)] },
    saved,
  );
  assert.equal(other.view().primary, null, 'the protocol is another');
  assert.equal(other.view().epoch, 1);
  assert.equal(other.topology.save().get('app')?.memory, null);
});

test('restart: a rebuilt cluster is refused with words on how to begin anew, and followed once its past is removed', () => {
  const saved = savedBy(ran());
  const second = run(pair(), saved);
  second.tell('pg2', passReplica({ systemId: '9' }));
  second.tell('pg1', pass({ systemId: '9' }));
  assert.equal(second.writable(), null);
  assert.match(second.view().reasons.join(), /another cluster .* remove the backend from its state_file/);
  const third = run(pair(), new Map([...saved].filter(([name]) => name !== 'app')));
  third.tell('pg2', passReplica({ systemId: '9' }));
  third.tell('pg1', pass({ systemId: '9' }));
  assert.equal(third.writable(), 'pg1');
});

test('restart: maintenance and drain are still in force, and may be ended', () => {
  const first = ran();
  first.topology.setAdmin('app', 'pg2', 'maintenance');
  first.topology.setAdmin('app', 'pg1', 'drain');
  const second = run(pair(), savedBy(first));
  assert.deepEqual(
    second.view().servers.map(({ admin }) => admin),
    ['drain', 'maintenance'],
  );
  second.tell('pg1', pass());
  second.tell('pg2', pass({ timeline: 2 }));
  assert.equal(second.view().primary, 'pg1', 'one in maintenance is elected by nobody');
  second.topology.setAdmin('app', 'pg2', 'ready');
  assert.equal(second.view().primary, 'pg2');
  assert.equal(savedBy(second).get('app')?.servers.get('pg2')?.admin, 'ready');
});

test('restart: servers without roles keep what operators decided', () => {
  const spec: BackendSpec = { ...common, protocol: 'tcp', servers: [member('web1', 80)] };
  const first = run(spec);
  first.topology.setAdmin('app', 'web1', 'maintenance');
  const second = run(spec, savedBy(first));
  assert.equal(second.view().servers[0]?.admin, 'maintenance');
  assert.equal(second.view().primary, null);
});

const learned = (): BackendSpec => ({
  ...pair({ servers: [] }),
  slots: ['postgres-1', 'postgres-2', 'postgres-3'],
  orchestrator: 'Patroni',
});

/** postgres-2 at port 5002 was elected, and postgres-1 is in maintenance. */
function ranLearned() {
  const first = run(learned());
  first.topology.setMembers('app', [member('postgres-1', 5001), member('postgres-2', 5002)]);
  first.topology.reportOpinion('app', null);
  first.tell('postgres-1', passReplica());
  first.tell('postgres-2', pass());
  first.topology.setAdmin('app', 'postgres-1', 'maintenance');
  assert.equal(first.view().primary, 'postgres-2');
  return first;
}

test('restart: a learned primary is taken up when a member with its address comes, whatever its name', () => {
  const second = run(learned(), savedBy(ranLearned()));
  assert.equal(second.view().primary, null);
  assert.equal(second.view().epoch, 1);
  second.topology.setMembers('app', [member('postgres-1', 5002), member('postgres-2', 5001)]);
  assert.equal(second.view().primary, null, 'the orchestrator has yet to speak');
  assert.equal(second.view().servers[1]?.admin, 'maintenance', 'of the address, not of the name');
  second.topology.reportOpinion('app', null);
  assert.equal(second.view().primary, 'postgres-1');
  assert.equal(second.writable(), null, 'it is in doubt');
  second.tell('postgres-1', pass());
  assert.equal(second.writable(), 'postgres-1');
  assert.equal(second.view().epoch, 2, 'between, there was no primary to be seen');
});

test('restart: members that were learned are there while nobody tells them, and nobody is led anywhere before it spoke', () => {
  const saved = savedBy(ranLearned());
  const second = run(learned(), saved);
  assert.deepEqual(
    second.view().servers.map(({ name, address, admin }) => `${name} ${address.port} ${admin}`),
    ['postgres-1 5001 maintenance', 'postgres-2 5002 ready'],
  );
  assert.deepEqual(savedBy(second), saved, 'nothing has been said');
  second.topology.reportOpinion('app', null);
  assert.equal(second.view().primary, 'postgres-2', 'the orchestrator is silent');
  assert.equal(second.writable(), null);
  second.tell('postgres-2', pass());
  assert.equal(second.writable(), 'postgres-2');
  second.topology.setMembers('app', [member('postgres-1', 5003)]);
  second.tell('postgres-1', pass());
  assert.equal(savedBy(second).get('app')?.primary, 'postgres-1', 'the one of before is no member');
});

test('restart: a member that is written in no way that can be read is not begun with', () => {
  const saved = new Map(
    [...savedBy(ranLearned())].map(([name, backend]) => [
      name,
      {
        ...backend,
        servers: new Map([['postgres-1', { address: 'pg1.internal:5432', admin: 'ready' as const }]]),
      },
    ]),
  );
  assert.deepEqual(run(learned(), saved).view().servers, []);
});

test('restart: a configured primary with an orchestrator waits for its first word', () => {
  const spec = { ...pair(), orchestrator: 'Patroni' };
  const first = run(spec);
  first.topology.reportOpinion('app', null);
  first.tell('pg1', pass());
  first.tell('pg2', passReplica());
  const second = run(spec, savedBy(first));
  second.tell('pg1', pass());
  second.tell('pg2', pass());
  assert.equal(second.writable(), null);
  assert.equal(savedBy(second).get('app')?.primary, 'pg1');
  second.topology.reportOpinion('app', null);
  assert.equal(second.writable(), 'pg1');
});

test('restart: a MySQL pair goes on with what the primary had: one that lacks it is held back', async () => {
  const spec = (port: number): BackendSpec => ({
    ...common,
    protocol: 'mysql',
    multipleWriters: 'ordered',
    incompleteWriter: 'hold',
    servers: [member('db1', port), member('db2', 5002)],
  });
  const first = run(spec(5001));
  first.tell('db2', master('db2', '0-1-10'));
  first.tell('db1', master('db1', '0-1-10'));
  await first.clock.advance(2000);
  first.tell('db1', master('db1', '0-1-20'));
  await first.clock.advance(2000);
  first.tell('db1', master('db1', '0-1-20'));
  assert.equal(first.view().primary, 'db1');
  for (const port of [5001, 5009]) {
    const second = run(spec(port), savedBy(first));
    await second.clock.advance(10);
    second.tell('db2', master('db2', '0-1-10'));
    second.tell('db1', fail());
    second.tell('db1', fail());
    await second.clock.advance(3000);
    second.tell('db2', master('db2', '0-1-10'));
    assert.equal(second.view().primary, null);
    const of = port === 5001 ? 'db1' : 'db1 (before the restart)';
    assert.ok(
      second
        .view()
        .reasons.join()
        .includes(`db2 is refused: it lacks 10 transactions (0-1-11..20) that ${of} has`),
      second.view().reasons.join(),
    );
    second.tell('db2', master('db2', '0-1-20'));
    assert.equal(second.writable(), 'db2');
  }
});
