import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ProbeResult } from '../../../src/health/result.ts';
import { initialHealth, observe, type HealthState } from '../../../src/health/state.ts';
import { fail, pass, passTcp } from '../../support/views.ts';

const P = pass();
const F = fail('L4CON');
const I = fail('L7BUSY');

const scenarios: readonly {
  name: string;
  policy: { rise: number; fall: number };
  results: readonly ProbeResult[];
  kinds: readonly HealthState['kind'][];
}[] = [
  {
    name: 'a new server is up at its first pass with rise 1',
    policy: { rise: 1, fall: 2 },
    results: [P],
    kinds: ['up'],
  },
  {
    name: 'a connection that was accepted is a pass like any other',
    policy: { rise: 2, fall: 1 },
    results: [passTcp(), passTcp(), F, passTcp(), passTcp()],
    kinds: ['unknown', 'up', 'down', 'down', 'up'],
  },
  {
    name: 'a new server that fails is unknown until fall is reached',
    policy: { rise: 1, fall: 2 },
    results: [F, F],
    kinds: ['unknown', 'down'],
  },
  {
    name: 'one failure below fall keeps the server up, and a pass clears the count',
    policy: { rise: 1, fall: 2 },
    results: [P, F, P, F, F],
    kinds: ['up', 'up', 'up', 'up', 'down'],
  },
  {
    name: 'rise 2 needs two passes in a row to come back',
    policy: { rise: 2, fall: 1 },
    results: [P, P, F, P, F, P, P],
    kinds: ['unknown', 'up', 'down', 'down', 'down', 'down', 'up'],
  },
  {
    name: 'busy never counts: not as failure, not as pass',
    policy: { rise: 1, fall: 2 },
    results: [P, F, I, I, I, F],
    kinds: ['up', 'up', 'up', 'up', 'up', 'down'],
  },
  {
    name: 'busy does not raise a down server',
    policy: { rise: 1, fall: 1 },
    results: [F, I, P],
    kinds: ['down', 'down', 'up'],
  },
];

for (const { name, policy, results, kinds } of scenarios) {
  test(`health: ${name}`, () => {
    let state = initialHealth;
    const seen = results.map(result => {
      const before = state.kind;
      const next = observe(state, result, policy);
      state = next.state;
      assert.equal(next.changed, before !== state.kind);
      return state.kind;
    });
    assert.deepEqual(seen, kinds);
  });
}

test('health: a down server remembers since when and its last error', () => {
  const policy = { rise: 1, fall: 1 };
  const first = observe(initialHealth, fail('L4CON', 100), policy).state;
  const second = observe(first, fail('L7TOUT', 200), policy).state;
  assert.deepEqual(second, { kind: 'down', passes: 0, since: 100, lastError: 'L7TOUT' });
});
