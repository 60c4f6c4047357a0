// Route by route: which servers, in which order, and when to hold.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Route } from '../../../src/config/schema.ts';
import { decide, hasServer, mayServe, type RoutePolicy } from '../../../src/proxy/router.ts';
import { initialStanding, limitsOf } from '../../../src/topology/standing.ts';
import { backend, facts, fail, FRESHNESS_MS, pass, passReplica, server, up } from '../../support/views.ts';

const context = { turn: 0, load: () => 0, draws: [0, 0] as const, client: '::1', now: 0, slowStartMs: 0 };
const policy = (route: Route, given: Partial<RoutePolicy> = {}): RoutePolicy => ({
  route,
  balance: 'first',
  limits: [],
  synchronousOnly: false,
  zone: null,
  isFallbackCapped: false,
  ...given,
});

function names(
  rule: RoutePolicy,
  view: Parameters<typeof decide>[1],
  now = 0,
  doubted: readonly string[] = [],
  room = true,
): string {
  const decision = decide(
    rule,
    view,
    now,
    ({ name }) => doubted.includes(name),
    () => context,
    () => room,
  );
  return decision.kind === 'hold' ? 'hold' : decision.servers.map(({ name }) => name).join();
}

const healthy = backend([server('pg1', pass()), server('pg2', passReplica()), server('pg3', passReplica())], {
  primary: 'pg1',
});

test('router: each route gets its servers', () => {
  assert.equal(names(policy('primary'), healthy), 'pg1');
  assert.equal(names(policy('replica'), healthy), 'pg2,pg3');
  assert.equal(names(policy('replica-or-primary'), healthy), 'pg2,pg3,pg1');
  assert.equal(names(policy('any'), healthy), 'pg1,pg2,pg3');
});

test('router: the primary stands in for replicas when none is left', () => {
  const alone = backend([server('pg1', pass()), server('pg2', fail())], { primary: 'pg1' });
  assert.equal(names(policy('replica-or-primary'), alone), 'pg1');
  assert.equal(names(policy('replica'), alone), 'hold');
});

test('router: a primary gets new clients only while its newest result says writable, and is fresh', () => {
  const rows = [
    ['writable', pass(), 'pg1'],
    ['missed one probe', fail('L7TOUT'), 'hold'],
    ['busy', fail('L7BUSY'), 'hold'],
    ['read-only primary', { ...pass(), facts: facts({ writable: false }) }, 'hold'],
    ['says replica', passReplica(), 'hold'],
    ['never asked', null, 'hold'],
  ] as const;
  for (const [name, result, expected] of rows) {
    const view = backend([server('pg1', result, up), server('pg2', passReplica())], { primary: 'pg1' });
    assert.equal(names(policy('primary'), view), expected, name);
  }
  assert.equal(names(policy('primary'), healthy, FRESHNESS_MS), 'pg1');
  assert.equal(names(policy('primary'), healthy, FRESHNESS_MS + 0.1), 'hold');
});

test('router: a writable server that was not elected gets no writers', () => {
  const split = backend([server('pg1', pass()), server('pg2', pass())], { primary: null });
  assert.equal(names(policy('primary'), split), 'hold');
  const [pg1, pg2] = split.servers;
  assert.equal(mayServe(policy('primary'), { ...split, primary: 'pg1' }, 0, pg2!), false);
  assert.equal(mayServe(policy('primary'), { ...split, primary: 'pg1' }, 0, pg1!), true);
});

test('router: a name that stands for another address by now is another server', () => {
  const [pg1] = healthy.servers;
  const moved = { name: 'pg1', address: { ...pg1!.address, port: 1 } };
  assert.equal(mayServe(policy('primary'), healthy, 0, pg1!), true);
  assert.equal(mayServe(policy('primary'), healthy, 0, moved), false);
  assert.equal(mayServe(policy('any'), healthy, 0, { ...moved, name: 'pg9' }), false);
});

test('router: who is doubted comes last, and is still there when nobody else is', () => {
  const rows = [
    ['any', ['pg1'], 'pg2,pg3,pg1'],
    ['any', ['pg1', 'pg3'], 'pg2,pg1,pg3'],
    ['any', ['pg1', 'pg2', 'pg3'], 'pg1,pg2,pg3'],
    ['replica', ['pg2'], 'pg3,pg2'],
    ['replica-or-primary', ['pg2'], 'pg3,pg1,pg2'],
    ['replica-or-primary', ['pg2', 'pg3'], 'pg1,pg2,pg3'],
    ['replica-or-primary', ['pg1', 'pg2'], 'pg3,pg2,pg1'],
    ['primary', ['pg1'], 'pg1'],
  ] as const;
  for (const [route, doubted, expected] of rows) {
    assert.equal(names(policy(route), healthy, 0, doubted), expected, `${route} ${doubted.join()}`);
  }
});

test('router: those that are left take equal turns while one is doubted', () => {
  const first: Record<string, number> = {};
  for (let turn = 0; turn < 30; turn += 1) {
    const decision = decide(
      policy('any', { balance: 'roundrobin' }),
      healthy,
      0,
      ({ name }) => name === 'pg2',
      () => ({ ...context, turn }),
    );
    assert.ok(decision.kind === 'candidates');
    const { name } = decision.servers[0]!;
    first[name] = (first[name] ?? 0) + 1;
  }
  assert.deepEqual(first, { pg1: 15, pg3: 15 });
});

test('router: a server that rises is not up yet and gets nobody', () => {
  const rising = backend([server('pg1', pass(), { kind: 'down', passes: 1, since: 0, lastError: 'L4CON' })], {
    primary: 'pg1',
  });
  for (const route of ['primary', 'any'] as const) assert.equal(hasServer(policy(route), rising, 0), false);
});

test('router: a replica beyond a limit is left out, and the others serve', () => {
  const beyond = { ...initialStanding, beyond: limitsOf({ maxLagMs: 10_000, maxLagBytes: null }) };
  const view = backend([server('pg1', passReplica()), { ...server('pg2', passReplica()), standing: beyond }]);
  const limits = limitsOf({ maxLagMs: 10_000, maxLagBytes: null });
  assert.equal(names(policy('replica', { limits }), view), 'pg1');
  assert.equal(names(policy('replica'), view), 'pg1,pg2');
});

const placed = (name: string, zone: string | null, backup = false) => ({
  ...server(name, passReplica()),
  zone,
  backup,
});

test('router: servers of the own zone come first, then those of others, then the primary, then backups', () => {
  const view = backend(
    [
      { ...placed('pg1', 'a'), result: pass() },
      placed('pg2', 'b'),
      placed('pg3', 'a', true),
      placed('pg4', 'a'),
      placed('pg5', null),
      placed('pg6', 'b', true),
    ],
    { primary: 'pg1' },
  );
  const rows = [
    ['replica', 'a', [], 'pg4,pg2,pg5,pg3,pg6'],
    ['replica', 'b', [], 'pg2,pg4,pg5,pg6,pg3'],
    ['replica', null, [], 'pg2,pg4,pg5,pg3,pg6'],
    ['replica', 'c', [], 'pg2,pg4,pg5,pg3,pg6'],
    ['replica-or-primary', 'a', [], 'pg4,pg2,pg5,pg1,pg3,pg6'],
    ['replica-or-primary', 'a', ['pg4'], 'pg2,pg5,pg1,pg3,pg6,pg4'],
    ['replica-or-primary', 'a', ['pg2', 'pg4', 'pg5'], 'pg1,pg3,pg6,pg4,pg2,pg5'],
    ['any', 'b', [], 'pg2,pg1,pg4,pg5,pg6,pg3'],
  ] as const;
  for (const [route, zone, doubted, expected] of rows) {
    assert.equal(names(policy(route, { zone }), view, 0, doubted), expected, `${route} ${zone}`);
  }
});

test('router: backups serve while nobody else is there', () => {
  const view = backend([{ ...server('pg1', fail()) }, placed('pg2', null, true)]);
  assert.equal(names(policy('replica'), view), 'pg2');
  assert.equal(names(policy('replica-or-primary'), view), 'pg2');
});

test('router: all choices of one decision are made in one turn', () => {
  const view = backend(
    ['pg1', 'pg2', 'pg3', 'pg4'].map((name, index) => placed(name, index < 2 ? 'a' : 'b')),
  );
  let asked = 0;
  const decision = decide(
    policy('replica', { zone: 'a', balance: 'roundrobin' }),
    view,
    0,
    () => false,
    () => ({ ...context, turn: (asked += 1) }),
  );
  assert.ok(decision.kind === 'candidates');
  assert.equal(asked, 1);
  assert.equal(decision.servers.map(({ name }) => name).join(), 'pg2,pg1,pg4,pg3');
});

test('router: a primary with a limit stands in while there is room, and is never the next after a replica that failed', () => {
  const capped = policy('replica-or-primary', { isFallbackCapped: true });
  const lone = backend([server('pg1', pass()), server('pg2', fail())], { primary: 'pg1' });
  const rows = [
    ['a replica serves', healthy, [], true, 'pg2,pg3'],
    ['one is doubted', healthy, ['pg2'], true, 'pg3,pg2'],
    ['all are doubted', healthy, ['pg2', 'pg3'], true, 'pg1,pg2,pg3'],
    ['all are doubted, no room', healthy, ['pg2', 'pg3'], false, 'pg2,pg3'],
    ['none is left', lone, [], true, 'pg1'],
    ['none is left, no room', lone, [], false, 'hold'],
  ] as const;
  for (const [name, view, doubted, room, expected] of rows) {
    assert.equal(names(capped, view, 0, doubted, room), expected, name);
  }
  assert.equal(
    hasServer(capped, lone, 0, () => false),
    false,
  );
  assert.equal(
    hasServer(capped, lone, 0, () => true),
    true,
  );
  assert.equal(
    hasServer(capped, healthy, 0, () => false),
    true,
    'replicas have room',
  );
  assert.equal(
    hasServer(policy('any'), lone, 0, () => false),
    true,
    'a primary that stands in for nobody',
  );
});
