// What holds for every picker and for the hold queue, whatever the input.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pickers } from '../../src/proxy/balance/pickers.ts';
import { LOGIN_MAX_MS } from '../../src/proxy/bounds.ts';
import { HoldQueue } from '../../src/proxy/hold.ts';
import { passReplica, server } from '../support/views.ts';

const draw = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('pickers: each returns every candidate once, and leaves its input alone', () => {
  const scenario = fc.record({
    count: fc.nat(9),
    turn: fc.nat(),
    loads: fc.array(fc.nat(100), { minLength: 9, maxLength: 9 }),
    draws: fc.tuple(draw, draw),
    client: fc.ipV4(),
  });
  fc.assert(
    fc.property(scenario, ({ count, turn, loads, draws, client }) => {
      const candidates = Object.freeze(
        Array.from({ length: count }, (_, i) => server(`pg${i}`, passReplica())),
      );
      const load = (name: string): number => loads[Number(name.slice(2))] ?? 0;
      for (const [name, pick] of Object.entries(pickers)) {
        const context = { turn, load, draws, client };
        const picked = pick(candidates, context);
        assert.deepEqual([...picked].sort(byName), [...candidates].sort(byName), name);
        assert.deepEqual(pick(candidates, context), picked, `${name} depends on nothing else`);
      }
      const [best] = pickers.leastconn(candidates, { turn, load, draws, client });
      if (best !== undefined)
        assert.equal(load(best.name), Math.min(...candidates.map(({ name }) => load(name))));
    }),
  );
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
