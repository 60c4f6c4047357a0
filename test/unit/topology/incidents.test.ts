import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ProbeResult } from '../../../src/health/result.ts';
import { observe, type HealthState, initialHealth } from '../../../src/health/state.ts';
import { IncidentRecorder, type Incident } from '../../../src/topology/incidents.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { fail, FRESHNESS_MS, pass, passReplica } from '../../support/views.ts';

/** A backend of two servers whose probe results the test dictates. */
function setup() {
  const clock = new FakeClock();
  const servers = ['pg1', 'pg2'].map((name, index) => ({
    name,
    address: { host: '127.0.0.1', port: 5001 + index },
    weight: 100,
  }));
  const topology = new Topology(
    [
      {
        name: 'app',
        protocol: 'postgres',
        servers,
        multipleWriters: 'newest',
        freshnessMs: FRESHNESS_MS,
        slowStartMs: 0,
        settleMs: 0,
      },
    ],
    clock,
  );
  const incidents = new IncidentRecorder(clock);
  topology.changes.subscribe(change => incidents.observe(change));
  const health = new Map<string, HealthState>();
  const ended: Incident[] = [];
  incidents.ended.subscribe(incident => ended.push(incident));
  return {
    clock,
    topology,
    incidents,
    ended,
    tell(server: string, result: ProbeResult) {
      const stamped = { ...result, at: clock.now(), wallAt: clock.wall() };
      const next = observe(health.get(server) ?? initialHealth, stamped, { rise: 1, fall: 2 }).state;
      health.set(server, next);
      topology.report('app', server, next, stamped);
    },
  };
}

async function failover(s: ReturnType<typeof setup>) {
  s.tell('pg2', passReplica());
  s.tell('pg1', pass());
  await s.clock.advance(500);
  s.tell('pg1', fail('L4LOST'));
  await s.clock.advance(2);
  s.tell('pg1', fail('L4CON'));
  s.incidents.noteSessionsClosed('app', 'pg1', 7, 'the server was marked down');
  await s.clock.advance(600);
  s.tell('pg2', pass({ timeline: 2 }));
  s.incidents.noteHold('app', 400, true);
  s.incidents.noteHold('app', 590, true);
}

test('incident: a failover is on record from the first bad sign to the new primary', async () => {
  const s = setup();
  await failover(s);
  const [incident, ...more] = s.incidents.list();
  assert.equal(more.length, 0);
  assert.ok(incident);
  assert.deepEqual(
    [
      incident.outcome,
      incident.oldPrimary,
      incident.newPrimary,
      incident.firstSign.code,
      incident.firstSign.server,
    ],
    ['failover', 'pg1', 'pg2', 'L4LOST', 'pg1'],
  );
  assert.deepEqual([incident.detectedMs, incident.durationMs, incident.sessionsClosed], [2, 602, 7]);
  assert.deepEqual(incident.held, { count: 2, served: 2, maxWaitMs: 590 });
  assert.deepEqual(
    incident.evidence.map(({ server, health, code }) => [server, health, code]),
    [
      ['pg1', 'down', 'L4CON'],
      ['pg2', 'up', 'L7OK'],
    ],
  );
  assert.equal(incident.evidence[1]?.facts?.timeline, 2);
  const story = incident.events.map(({ offsetMs, text }) => `${offsetMs} ${text}`).join('\n');
  assert.match(story, /^0 pg1: L4LOST/);
  assert.match(story, /2 pg1 is down, was up/);
  assert.match(story, /2 app is without a primary/);
  assert.match(story, /2 7 sessions to pg1 closed/);
  assert.match(story, /602 pg2 is the primary of app/);
});

test('incident: it is published when it ends, once', async () => {
  const s = setup();
  await failover(s);
  s.tell('pg2', pass({ timeline: 2 }));
  assert.deepEqual(
    s.ended.map(({ id, newPrimary }) => [id, newPrimary]),
    [[1, 'pg2']],
  );
});

test('incident: a missed probe that comes back is none, and the next one starts its own clock', async () => {
  const s = setup();
  s.tell('pg2', passReplica());
  s.tell('pg1', pass());
  s.tell('pg1', fail('L7TOUT'));
  await s.clock.advance(50);
  s.tell('pg1', pass());
  assert.equal(s.incidents.list().length, 0);
  await s.clock.advance(60_000);
  s.tell('pg1', fail('L4CON'));
  s.tell('pg1', fail('L4CON'));
  assert.equal(s.incidents.list()[0]?.detectedMs, 0);
});

test('incident: a primary that comes back itself is recovered, not a failover', async () => {
  const s = setup();
  s.tell('pg2', passReplica());
  s.tell('pg1', pass());
  s.tell('pg1', fail());
  s.tell('pg1', fail());
  assert.equal(s.incidents.list()[0]?.outcome, 'open');
  await s.clock.advance(3000);
  s.tell('pg1', pass());
  assert.deepEqual(
    s.incidents.list().map(({ outcome, durationMs }) => [outcome, durationMs]),
    [['recovered', 3000]],
  );
});

test('incident: a wait that began after the end is not counted into it', async () => {
  const s = setup();
  await failover(s);
  await s.clock.advance(10_000);
  s.incidents.noteHold('app', 100, true);
  assert.equal(s.incidents.list()[0]?.held.count, 2);
});

test('incident: sessions closed long after its end are not its own', async () => {
  const s = setup();
  await failover(s);
  await s.clock.advance(60_000);
  s.incidents.noteSessionsClosed('app', 'pg1', 5, 'the server was marked down');
  assert.equal(s.incidents.list()[0]?.sessionsClosed, 7);
});

test('incident: a switch in one step counts the sessions that it closed', () => {
  const s = setup();
  s.tell('pg2', passReplica());
  s.tell('pg1', pass());
  s.tell('pg2', pass({ timeline: 2 }));
  s.incidents.noteSessionsClosed('app', 'pg1', 4, 'the server is no longer the primary');
  s.incidents.noteSessionsClosed('app', 'pg2', 2, 'the replica became the primary');
  const [incident] = s.incidents.list();
  assert.deepEqual(
    [incident?.outcome, incident?.newPrimary, incident?.sessionsClosed],
    ['failover', 'pg2', 4],
  );
});

test('incident: a start without a primary is none', () => {
  const s = setup();
  s.tell('pg1', fail());
  s.tell('pg2', passReplica());
  s.tell('pg1', fail());
  s.tell('pg1', pass());
  assert.equal(s.incidents.list().length, 0);
});

test('topology: the epoch grows by one at every change of the primary and views are frozen', async () => {
  const s = setup();
  await failover(s);
  const view = s.topology.view('app');
  assert.deepEqual([view.primary, view.epoch], ['pg2', 3], 'elected, lost, elected');
  assert.ok(Object.isFrozen(view) && Object.isFrozen(view.servers) && view.servers.every(Object.isFrozen));
});

test('incident: the first sign of a primary that an operator took out is the operator, and its end is a recovery', () => {
  const s = setup();
  s.tell('pg2', passReplica());
  s.tell('pg1', pass());
  s.topology.setAdmin('app', 'pg1', 'maintenance');
  const [open] = s.incidents.list();
  assert.deepEqual(
    [open?.outcome, open?.firstSign.detail, open?.events.map(({ text }) => text)],
    [
      'open',
      'an operator put pg1 in maintenance',
      ['pg1 is in maintenance (operator)', 'app is without a primary: pg1 is in maintenance'],
    ],
  );
  s.topology.setAdmin('app', 'pg1', 'ready');
  const [ended] = s.incidents.list();
  assert.equal(ended?.outcome, 'recovered');
  assert.equal(ended?.events[2]?.text, 'pg1 is ready again (operator)');
});

test('incident: drain of a primary is none', () => {
  const s = setup();
  s.tell('pg2', passReplica());
  s.tell('pg1', pass());
  s.topology.setAdmin('app', 'pg1', 'drain');
  assert.equal(s.topology.view('app').primary, 'pg1');
  assert.deepEqual(s.incidents.list(), []);
});
