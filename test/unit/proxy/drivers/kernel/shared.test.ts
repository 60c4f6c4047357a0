// Tallies of several workers in one memory: each writes its own, all read the sums.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configSchema } from '../../../../../src/config/schema.ts';
import {
  allocateTallies,
  planTallies,
  SharedTallies,
} from '../../../../../src/proxy/drivers/kernel/shared.ts';

const { frontends } = configSchema.parse({
  frontends: {
    app: { bind: '127.0.0.1:0', backend: 'db' },
    reads: { bind: '127.0.0.1:0', backend: 'db', route: 'replica' },
    site: { bind: '127.0.0.1:0', backend: 'web', route: 'any' },
  },
  backends: {
    db: { protocol: 'tcp', servers: { s1: '127.0.0.1:1', s2: '127.0.0.1:2' } },
    web: { protocol: 'tcp', servers: { s1: '127.0.0.1:3' } },
  },
});

function workers(count: number): readonly SharedTallies[] {
  const plan = planTallies(frontends, backend => (backend === 'db' ? ['s1', 's2'] : ['s1']), count);
  const memory = allocateTallies(plan);
  return Array.from({ length: count }, (_, index) => new SharedTallies(plan, memory, index));
}

test('tallies: every number has a place of its own, and the sum over workers is seen by each', () => {
  const all = workers(3);
  const names = ['connections', 'admitted', 'sessions', 'held', 'bytesUp', 'bytesDown'] as const;
  let value = 1;
  const expected: Record<string, number> = {};
  for (const tallies of all) {
    for (const frontend of ['app', 'reads', 'site']) {
      for (const name of names) {
        tallies.frontend(frontend)[name] += value;
        expected[`${frontend} ${name}`] = (expected[`${frontend} ${name}`] ?? 0) + value;
        value *= 2;
      }
    }
  }
  // Powers of two up to 2^53: a number that were counted twice or elsewhere would show.
  assert.equal(value, 2 ** 54);
  for (const tallies of all) {
    for (const frontend of ['app', 'reads', 'site']) {
      const total = tallies.total(frontend);
      for (const name of names) assert.equal(total[name], expected[`${frontend} ${name}`]);
      assert.equal(tallies.frontend(frontend).admittedByAll, total.admitted);
      assert.equal(tallies.frontend(frontend).heldByAll, total.held);
    }
  }
  assert.equal(all[0]!.frontend('app').connections, 1);
});

test('tallies: the load of a server is that of every frontend and worker, of its own backend only', () => {
  const [first, second] = workers(2);
  first!.server('app', 'db', 's1').sessions = 1;
  first!.server('reads', 'db', 's1').dials = 2;
  second!.server('reads', 'db', 's1').sessions = 4;
  second!.server('reads', 'db', 's2').sessions = 8;
  second!.server('site', 'web', 's1').sessions = 16;
  for (const tallies of [first!, second!]) {
    assert.deepEqual(
      [tallies.load('db', 's1'), tallies.load('db', 's2'), tallies.load('web', 's1')],
      [7, 8, 16],
    );
    assert.deepEqual([tallies.sessions('db', 's1'), tallies.sessions('db', 'nobody')], [5, 0]);
  }
});

test('tallies: what a dead worker had open is cleared and named; bytes stay, and so does what others have', () => {
  const [dead, other] = workers(2);
  for (const tallies of [dead!, other!]) {
    Object.assign(tallies.frontend('app'), {
      connections: 4,
      admitted: 3,
      sessions: 2,
      held: 1,
      bytesUp: 10,
      bytesDown: 20,
    });
    Object.assign(tallies.server('app', 'db', 's2'), { sessions: 2, dials: 1 });
  }
  dead!.server('site', 'web', 's1').sessions = 5;
  assert.deepEqual(dead!.clear(), [
    { frontend: 'app', backend: 'db', server: 's2', sessions: 2 },
    { frontend: 'site', backend: 'web', server: 's1', sessions: 5 },
  ]);
  assert.deepEqual(dead!.total('app'), {
    connections: 4,
    admitted: 3,
    sessions: 2,
    held: 1,
    bytesUp: 20,
    bytesDown: 40,
  });
  assert.deepEqual([other!.load('db', 's2'), other!.load('web', 's1')], [3, 0]);
  assert.deepEqual(dead!.clear(), []);
});

test('tallies: a name that is not in the plan is an error', () => {
  assert.throws(() => workers(1)[0]!.frontend('nobody'), RangeError);
  assert.throws(() => workers(1)[0]!.server('app', 'db', 's9'), RangeError);
});
