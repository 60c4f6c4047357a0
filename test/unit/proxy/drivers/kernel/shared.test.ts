// Tallies of several workers in one memory: each writes its own, all read the sums.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedTallies } from '../../../../../src/proxy/drivers/kernel/shared.ts';
import { planTallies, type TallyWish } from '../../../../../src/proxy/drivers/kernel/tally-plan.ts';

const wishes: readonly TallyWish[] = [
  { name: 'app', backend: 'db', servers: ['s1', 's2'] },
  { name: 'reads', backend: 'db', servers: ['s1', 's2'] },
  { name: 'site', backend: 'web', servers: ['s1'] },
];

function workers(count: number): readonly SharedTallies[] {
  const plan = planTallies(wishes, count);
  return Array.from({ length: count }, (_, index) => new SharedTallies(plan, index));
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

test('tallies: another plan goes on counting what stays, and what is under way to a backend that a frontend has left', () => {
  const before = planTallies(wishes, 2);
  const both = [new SharedTallies(before, 0), new SharedTallies(before, 1)];
  for (const tallies of both) {
    tallies.frontend('app').bytesUp += 10;
    tallies.server('app', 'db', 's1').sessions += 1;
    tallies.server('reads', 'db', 's2').sessions += 1;
  }
  const held = both[0]!.server('app', 'db', 's1');
  const next: readonly TallyWish[] = [
    { name: 'new', backend: 'web', servers: ['s1'] },
    { name: 'app', backend: 'web', servers: ['s1'] },
    { name: 'reads', backend: 'db', servers: ['s2', 's3'] },
  ];
  const after = planTallies(next, 2, before);
  for (const tallies of both) tallies.follow(after);
  const [first, second] = both;
  assert.equal(first!.total('app').bytesUp, 20);
  assert.deepEqual([first!.sessions('db', 's1'), second!.sessions('db', 's2')], [2, 2]);
  held.sessions -= 1;
  assert.equal(second!.sessions('db', 's1'), 1);
  second!.server('reads', 'db', 's3').dials += 1;
  second!.server('app', 'web', 's1').dials += 1;
  assert.deepEqual([first!.load('db', 's3'), first!.load('web', 's1')], [1, 1]);
  assert.throws(() => first!.frontend('site'), RangeError);
  assert.deepEqual(second!.clear(), [
    { frontend: 'app', backend: 'db', server: 's1', sessions: 1 },
    { frontend: 'reads', backend: 'db', server: 's2', sessions: 1 },
  ]);
});

test('tallies: what belongs to a backend that is no more is dropped, and servers that come and go leave nothing behind', () => {
  let plan = planTallies(wishes, 1);
  for (let round = 0; round < 20; round += 1) {
    plan = planTallies([{ name: 'app', backend: 'db', servers: ['s1', `r${round}`] }], 1, plan);
  }
  assert.deepEqual(
    plan.frontends[0]!.blocks.flatMap(({ servers }) => servers),
    ['s1', 's2', 'r19'],
  );
  plan = planTallies([{ name: 'app', backend: 'web', servers: ['s1'] }], 1, plan, name => name !== 'db');
  assert.deepEqual(
    plan.frontends[0]!.blocks.map(({ backend }) => backend),
    ['web'],
  );
});
