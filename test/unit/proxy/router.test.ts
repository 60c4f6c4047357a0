// Route by route: which servers, in which order, and when to hold.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Route } from '../../../src/config/schema.ts';
import { decide, hasServer, mayServe, type RoutePolicy } from '../../../src/proxy/router.ts';
import { backend, facts, fail, FRESHNESS_MS, pass, passReplica, server, up } from '../../support/views.ts';

const context = { turn: 0, load: () => 0, draws: [0, 0] as const, client: '::1', now: 0, slowStartMs: 0 };
const policy = (route: Route, given: Partial<RoutePolicy> = {}): RoutePolicy => ({
  route,
  balance: 'first',
  maxLagMs: null,
  ...given,
});

function names(
  rule: RoutePolicy,
  view: Parameters<typeof decide>[1],
  now = 0,
  doubted: readonly string[] = [],
): string {
  const decision = decide(
    rule,
    view,
    now,
    ({ name }) => doubted.includes(name),
    () => context,
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

test('router: max_lag leaves out replicas that lag, do not replicate, or cannot say', () => {
  const view = backend([
    server('pg1', passReplica({ lagSeconds: 10 })),
    server('pg2', passReplica({ lagSeconds: 10.001 })),
    server('pg3', passReplica({ lagSeconds: null })),
    server('pg4', passReplica({ lagSeconds: 0, replicating: false })),
  ]);
  assert.equal(names(policy('replica', { maxLagMs: 10_000 }), view), 'pg1');
  assert.equal(names(policy('replica'), view), 'pg1,pg2,pg3,pg4');
});
