// Backends whose servers have no roles: nobody is elected, nothing is missed, and every server that is up serves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ProbeResult } from '../../../src/health/result.ts';
import { initialHealth, observe, type HealthState } from '../../../src/health/state.ts';
import { describeChange } from '../../../src/topology/describe.ts';
import { acceptsWrites, eligible } from '../../../src/topology/eligibility.ts';
import { IncidentRecorder } from '../../../src/topology/incidents.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { fail, FRESHNESS_MS, passTcp } from '../../support/views.ts';

const any = { route: 'any', limits: [], synchronousOnly: false } as const;

function setup() {
  const clock = new FakeClock();
  const servers = ['c1', 'c2'].map((name, index) => ({
    name,
    address: { host: '127.0.0.1', port: 6001 + index },
    weight: 100,
  }));
  const topology = new Topology(
    [{ name: 'cache', protocol: 'tcp', servers, freshnessMs: FRESHNESS_MS, slowStartMs: 0 }],
    clock,
  );
  const incidents = new IncidentRecorder(clock);
  const sentences: string[] = [];
  topology.changes.subscribe(change => {
    incidents.observe(change);
    sentences.push(...describeChange(change));
  });
  const health = new Map<string, HealthState>();
  return {
    clock,
    topology,
    incidents,
    sentences,
    view: () => topology.view('cache'),
    serves: () => eligible(topology.view('cache'), clock.now(), any).map(({ name }) => name),
    tell(server: string, result: ProbeResult) {
      const stamped = { ...result, at: clock.now(), wallAt: clock.wall() };
      const next = observe(health.get(server) ?? initialHealth, stamped, { rise: 1, fall: 2 }).state;
      health.set(server, next);
      topology.report('cache', server, next, stamped);
    },
  };
}

test('without roles: servers serve while they are up and freshly seen, in file order', async () => {
  const s = setup();
  assert.deepEqual(s.serves(), []);
  s.tell('c2', passTcp());
  assert.deepEqual(s.serves(), ['c2']);
  s.tell('c1', passTcp());
  assert.deepEqual(s.serves(), ['c1', 'c2']);
  s.tell('c1', fail('L4CON'));
  assert.deepEqual(s.serves(), ['c2'], 'its newest result is a failure, though it is not down yet');
  s.tell('c1', passTcp());
  assert.deepEqual(s.serves(), ['c1', 'c2']);
  await s.clock.advance(FRESHNESS_MS + 1);
  s.tell('c2', passTcp());
  assert.deepEqual(s.serves(), ['c2'], 'what was last heard of the other is too old');
});

test('without roles: none is a primary or a replica, however many are up', () => {
  const s = setup();
  s.tell('c1', passTcp());
  s.tell('c2', passTcp());
  const view = s.view();
  assert.deepEqual([view.protocol, view.primary, view.epoch, view.splitBrain], ['tcp', null, 0, false]);
  assert.equal(acceptsWrites(view, 0), null);
  assert.deepEqual(eligible(view, 0, { ...any, route: 'replica' }), []);
});

test('without roles: everybody may die and return without an incident, and no word is said of a primary', () => {
  const s = setup();
  for (const server of ['c1', 'c2']) s.tell(server, passTcp());
  s.incidents.noteSessionsClosed('cache', 'c1', 3, 'the server was marked down');
  s.incidents.noteHold('cache', 100, true);
  for (const server of ['c1', 'c2', 'c1', 'c2']) s.tell(server, fail('L4CON'));
  for (const server of ['c1', 'c2']) s.tell(server, passTcp());
  assert.deepEqual(s.incidents.list(), []);
  assert.deepEqual(s.sentences, [
    'c1: accepts connections',
    'c1 is up, was unknown',
    'c2: accepts connections',
    'c2 is up, was unknown',
    'c1: L4CON (failed: L4CON)',
    'c2: L4CON (failed: L4CON)',
    'c1 is down, was up',
    'c2 is down, was up',
    'c1: accepts connections',
    'c1 is up, was down',
    'c2: accepts connections',
    'c2 is up, was down',
  ]);
});

test('without roles: the view says why there is no primary, from the start and without a change', () => {
  const s = setup();
  const { reasons } = s.view();
  assert.match(reasons.join(), /no roles/);
  s.tell('c1', passTcp());
  assert.deepEqual(s.view().reasons, reasons);
});

test('without roles: what a server last answered is kept through a failure', () => {
  const s = setup();
  s.tell('c1', passTcp());
  s.tell('c1', fail('L4TOUT'));
  const [c1] = s.view().servers;
  assert.deepEqual([c1?.result?.code, c1?.lastAnswer?.code], ['L4TOUT', 'L4OK']);
});

test('without roles: an answer is told in the words of the check, once', () => {
  const s = setup();
  const detail = 'GET /health: 200';
  const answer = { ...passTcp(), code: 'L7OK', detail } as const;
  s.tell('c1', answer);
  s.tell('c1', answer);
  s.tell('c1', { ...fail('L7HTTP'), detail: 'GET /health: 503, expected 200' });
  assert.deepEqual(s.sentences, [
    'c1: answers (GET /health: 200)',
    'c1 is up, was unknown',
    'c1: L7HTTP (GET /health: 503, expected 200)',
  ]);
});
