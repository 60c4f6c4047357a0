// What holds for every picker and for the hold queue, whatever the input.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Balance } from '../../src/config/schema.ts';
import { seededRandom } from '../../src/core/random.ts';
import { pickers, type PickContext } from '../../src/proxy/balance/pickers.ts';
import { weightNow } from '../../src/proxy/balance/weights.ts';
import { LOGIN_MAX_MS } from '../../src/proxy/bounds.ts';
import { HoldQueue } from '../../src/proxy/hold.ts';
import { type ServerView } from '../../src/topology/model.ts';
import { passReplica, server } from '../support/views.ts';

const draw = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('pickers: each returns every candidate once, and leaves its input alone', () => {
  const scenario = fc.record({
    count: fc.nat(9),
    turn: fc.nat(),
    loads: fc.array(fc.nat(100), { minLength: 9, maxLength: 9 }),
    draws: fc.tuple(draw, draw),
    client: fc.ipV4(),
    weights: fc.oneof(
      fc.constant(Array<number>(9).fill(100)),
      fc.array(fc.integer({ min: 1, max: 256 }), { minLength: 9, maxLength: 9 }),
    ),
    ups: fc.array(fc.constantFrom(-Infinity, 0, 500, 900, 1000, 1100, null), { minLength: 9, maxLength: 9 }),
    slowStartMs: fc.constantFrom(0, 1, 300),
  });
  const now = 1000;
  fc.assert(
    fc.property(scenario, ({ count, turn, loads, draws, client, weights, ups, slowStartMs }) => {
      const candidates = Object.freeze(
        Array.from({ length: count }, (_, i) =>
          Object.freeze({
            ...server(`pg${i}`, passReplica()),
            weight: weights[i] ?? 1,
            upSince: ups[i] ?? null,
          }),
        ),
      );
      const load = (name: string): number => loads[Number(name.slice(2))] ?? 0;
      for (const [name, pick] of Object.entries(pickers)) {
        const context = { turn, load, draws, client, now, slowStartMs };
        const picked = pick(candidates, context);
        assert.deepEqual([...picked].sort(byName), [...candidates].sort(byName), name);
        assert.deepEqual(pick(candidates, context), picked, `${name} depends on nothing else`);
      }
      const context = { turn, load, draws, client, now, slowStartMs };
      const [best] = pickers.leastconn(candidates, context);
      const share = (one: ServerView): number => load(one.name) / weightNow(one, context);
      if (best !== undefined) assert.equal(share(best), Math.min(...candidates.map(share)));
    }),
  );
});

/** Of so many choices in a row, how many each server is the first of; nobody has anything to do. */
function firsts(
  balance: Balance,
  candidates: readonly ServerView[],
  count: number,
  given: Partial<PickContext> = {},
): readonly number[] {
  const random = seededRandom(7);
  const counts = candidates.map(() => 0);
  for (let turn = 0; turn < count; turn += 1) {
    const [first] = pickers[balance](candidates, {
      turn,
      load: () => 0,
      draws: [random(), random()],
      client: `10.${turn >> 16}.${(turn >> 8) & 255}.${turn & 255}`,
      now: 0,
      slowStartMs: 0,
      ...given,
    });
    const index = candidates.indexOf(first!);
    counts[index] = (counts[index] ?? 0) + 1;
  }
  return counts;
}

const weighted = (weights: readonly number[]): readonly ServerView[] =>
  weights.map((weight, i) => ({ ...server(`pg${i}`, passReplica()), weight }));

test('pickers: with nothing else to choose by, shares are as the weights', () => {
  const someWeights = fc.array(fc.integer({ min: 1, max: 256 }), { minLength: 2, maxLength: 6 });
  fc.assert(
    fc.property(someWeights, weights => {
      const candidates = weighted(weights);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const count = 2000;
      // In turn: exact but for a few. By chance and by client: within six standard deviations.
      const slack = {
        roundrobin: () => 6,
        leastconn: () => 6,
        random: deviation,
        source: deviation,
      } as const;
      for (const balance of ['roundrobin', 'leastconn', 'random', 'source'] as const) {
        firsts(balance, candidates, count).forEach((got, index) => {
          const share = (weights[index] ?? 0) / total;
          const off = Math.abs(got - count * share);
          const allowed = slack[balance](share, count);
          assert.ok(off <= allowed, `${balance} ${weights.join()}: ${got} of ${count} for share ${share}`);
        });
      }
    }),
    { numRuns: 60 },
  );
});

const deviation = (share: number, count: number): number => 1 + 6 * Math.sqrt(count * share * (1 - share));

test('picker roundrobin: no run of turns gives a server much more or less than its share, wherever it begins', () => {
  const someWeights = fc.array(fc.integer({ min: 1, max: 256 }), { minLength: 2, maxLength: 5 });
  fc.assert(
    fc.property(someWeights, fc.nat(1e6), fc.integer({ min: 1, max: 200 }), (weights, start, count) => {
      const candidates = weighted(weights);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const counts = weights.map(() => 0);
      for (let turn = start; turn < start + count; turn += 1) {
        const context = { turn, load: () => 0, draws: [0, 0] as const, client: '', now: 0, slowStartMs: 0 };
        const index = candidates.indexOf(pickers.roundrobin(candidates, context)[0]!);
        counts[index] = (counts[index] ?? 0) + 1;
      }
      counts.forEach((got, index) => {
        const fair = (count * (weights[index] ?? 0)) / total;
        assert.ok(Math.abs(got - fair) <= 5, `${weights.join()}: ${got} of ${count}, fair ${fair}`);
      });
    }),
    { numRuns: 300 },
  );
});

test('pickers: a server that came up grows from a tenth of its share to all of it', () => {
  const young = { ...server('pg9', passReplica()), upSince: 10_000 };
  const grown = { ...server('pg1', passReplica()), upSince: -Infinity };
  for (const balance of ['roundrobin', 'leastconn', 'random', 'source'] as const) {
    const share = (now: number): number =>
      (firsts(balance, [grown, young], 4000, { now, slowStartMs: 10_000 })[1] ?? 0) / 4000;
    for (const [now, weight] of [
      [10_000, 0.1],
      [15_000, 0.55],
      [19_999, 1],
      [20_000, 1],
    ] as const) {
      const fair = weight / (1 + weight);
      assert.ok(Math.abs(share(now) - fair) < 0.03, `${balance} at ${now}: ${share(now)}, fair ${fair}`);
    }
  }
});

test('picker leastconn: where sessions last, their numbers settle at the weights', () => {
  const candidates = weighted([200, 100, 50]);
  const loads: Record<string, number> = { pg0: 0, pg1: 0, pg2: 0 };
  for (let turn = 0; turn < 700; turn += 1) {
    const load = (name: string): number => loads[name] ?? 0;
    const context = { turn, load, draws: [0, 0] as const, client: '', now: 0, slowStartMs: 0 };
    const { name } = pickers.leastconn(candidates, context)[0]!;
    loads[name] = load(name) + 1;
  }
  for (const [name, fair] of [
    ['pg0', 400],
    ['pg1', 200],
    ['pg2', 100],
  ] as const) {
    assert.ok(Math.abs((loads[name] ?? 0) - fair) <= 2, JSON.stringify(loads));
  }
});

test('picker source: a weight that changes moves clients only from or to that server', () => {
  const before = weighted([100, 100, 100]);
  const after = weighted([100, 10, 100]);
  const clients = Array.from({ length: 500 }, (_, i) => `192.0.${i >> 8}.${i & 255}`);
  const first = (candidates: readonly ServerView[], client: string): string | undefined =>
    pickers.source(candidates, {
      turn: 0,
      load: () => 0,
      draws: [0, 0],
      client,
      now: 0,
      slowStartMs: 0,
    })[0]?.name;
  let moved = 0;
  for (const client of clients) {
    const [from, to] = [first(before, client), first(after, client)];
    if (from === to) continue;
    moved += 1;
    assert.equal(from, 'pg1', `${client} moved from ${from} to ${to}`);
  }
  assert.ok(moved > 100, `${moved} moved`);
});

const byName = (a: { name: string }, b: { name: string }): number => a.name.localeCompare(b.name);

/** The hold against a plain model: two sets and an arrival order. */
test('hold queue: nobody is lost, doubled or overtaken, and everybody who stays gets a turn', () => {
  const command = fc.oneof(
    { weight: 4, arbitrary: fc.constant({ kind: 'join' as const }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), pick: fc.nat() }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('take' as const), waitMs: fc.nat(60) }) },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('settle' as const), pick: fc.nat(), seen: fc.boolean() }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('fail' as const), pick: fc.nat() }) },
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 300, size: 'max' }), fc.nat(100), (commands, max) => {
      const hold = new HoldQueue<number>(() => max);
      let waiting: number[] = [];
      let released: number[] = [];
      const returned = new Set<number>();
      let next = 0;
      let now = 0;
      const take = (): void => {
        const taken = hold.take(now);
        for (const client of taken) assert.ok(waiting.includes(client), `${client} waited`);
        const firstTime = taken.filter(client => !returned.has(client));
        const inOrder = waiting.filter(client => !returned.has(client));
        assert.deepEqual(firstTime, inOrder.slice(0, firstTime.length), 'first come, first served');
        if (firstTime.length > 0) {
          assert.ok(
            waiting.every(client => !returned.has(client) || taken.includes(client)),
            'the returned go first',
          );
        }
        waiting = waiting.filter(client => !taken.includes(client));
        released.push(...taken);
      };
      for (const step of commands) {
        if (step.kind === 'join') {
          next += 1;
          const room = waiting.length < max;
          assert.equal(hold.join(next), room);
          if (room) waiting.push(next);
        } else if (step.kind === 'take') {
          now += step.waitMs;
          take();
        } else {
          const all = step.kind === 'leave' ? [...waiting, ...released] : released;
          const client = all[step.pick % Math.max(1, all.length)];
          if (client === undefined) continue;
          if (step.kind === 'leave') hold.leave(client);
          if (step.kind === 'settle') hold.connected(client, now);
          if (step.kind === 'fail') {
            hold.pause(now);
            hold.giveBack(client);
            returned.add(client);
          }
          waiting = waiting.filter(other => other !== client);
          released = released.filter(other => other !== client);
          if (step.kind === 'fail') waiting.push(client);
        }
        assert.equal(hold.size, waiting.length);
      }
      // From here on every attempt succeeds: then all go, in a bounded number of rounds.
      const rounds = waiting.length + released.length + 20;
      for (let round = 0; round < rounds; round += 1) {
        for (const client of released) hold.connected(client, now);
        released = [];
        now += LOGIN_MAX_MS;
        take();
      }
      assert.equal(hold.size, 0);
    }),
    { numRuns: 300 },
  );
});
