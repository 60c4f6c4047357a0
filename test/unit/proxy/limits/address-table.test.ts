// The table of addresses: alone, against a plain model, full, with a dead worker, told by others, and hammered by threads.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { addressKey } from '../../../../src/proxy/limits/address-key.ts';
import {
  AddressTable,
  allocateTable,
  type AddressLimits,
  type Taking,
} from '../../../../src/proxy/limits/address-table.ts';
import { rateOf } from '../../../../src/proxy/limits/gcra.ts';
import { ADDRESSES_MIN } from '../../../../src/core/limits.ts';

const limits = (given: Partial<AddressLimits>): AddressLimits => ({
  perIp: null,
  total: null,
  maxConnections: null,
  ...given,
});
const ip = (number: number) => addressKey(`10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`);
const open = (workers = 1): AddressTable[] => {
  const memory = allocateTable(1, workers, 0.5);
  return Array.from({ length: workers + 1 }, (_, worker) => new AddressTable(memory, worker));
};

test('addresses: so many connections of each, and a place again when one leaves', () => {
  const [table] = open();
  const two = limits({ maxConnections: 2 });
  const enter = (number: number): string => table!.enter(ip(number), 0, two);
  assert.deepEqual([enter(1), enter(1), enter(1), enter(2)], ['in', 'in', 'max-connections-per-ip', 'in']);
  table!.leave(ip(1));
  assert.deepEqual([enter(1), enter(1)], ['in', 'max-connections-per-ip']);
});

test('addresses: the rate of one is nothing to the others, the rate of all is', () => {
  const [table] = open();
  const both = limits({
    perIp: rateOf({ perSecond: 1, burst: 2 }),
    total: rateOf({ perSecond: 1, burst: 3 }),
  });
  const enter = (number: number, now: number): string => table!.enter(ip(number), now, both);
  assert.deepEqual([enter(1, 0), enter(1, 0), enter(1, 0)], ['in', 'in', 'rate-limit']);
  assert.deepEqual([enter(2, 0), enter(2, 0)], ['in', 'rate-limit']);
  assert.equal(enter(2, 1000), 'in');
});

test('addresses: one that all together turn away holds no connection', () => {
  const [table] = open();
  const strict = limits({ maxConnections: 1, total: rateOf({ perSecond: 1, burst: 1 }) });
  assert.equal(table!.enter(ip(1), 0, strict), 'in');
  assert.equal(table!.enter(ip(2), 0, strict), 'rate-limit');
  assert.equal(table!.enter(ip(2), 1000, strict), 'in');
});

test('addresses: as in a plain model, whoever comes and goes', () => {
  const event = fc.record({
    address: fc.integer({ min: 0, max: 5 }),
    step: fc.integer({ min: 0, max: 400 }),
    leaves: fc.boolean(),
    worker: fc.integer({ min: 0, max: 2 }),
  });
  const perIp = { perSecond: 5, burst: 3 };
  fc.assert(
    fc.property(fc.array(event, { maxLength: 120 }), events => {
      const tables = open(3);
      const config = limits({ perIp: rateOf(perIp), maxConnections: 4 });
      const here = new Map<string, number>();
      const tokens = new Map<number, { left: number; at: number }>();
      let now = 1;
      for (const { address, step, leaves, worker } of events) {
        now += step;
        const place = `${worker} ${address}`;
        if (leaves) {
          if ((here.get(place) ?? 0) === 0) continue;
          here.set(place, here.get(place)! - 1);
          tables[worker]!.leave(ip(address));
          continue;
        }
        const bucket = tokens.get(address) ?? { left: perIp.burst, at: now };
        bucket.left = Math.min(perIp.burst, bucket.left + ((now - bucket.at) * perIp.perSecond) / 1000);
        bucket.at = now;
        tokens.set(address, bucket);
        const connections = [0, 1, 2].reduce((sum, other) => sum + (here.get(`${other} ${address}`) ?? 0), 0);
        // On the very edge of a token either answer is right.
        if (Math.abs(bucket.left - 1) < 1e-4 && connections < 4) return;
        const expected = connections >= 4 ? 'max-connections-per-ip' : bucket.left >= 1 ? 'in' : 'rate-limit';
        assert.equal(tables[worker]!.enter(ip(address), now, config), expected);
        if (expected !== 'in') continue;
        bucket.left -= 1;
        here.set(place, (here.get(place) ?? 0) + 1);
      }
    }),
  );
});

test('addresses: a full table lets newcomers in and counts them; the idle give their places away', () => {
  const [table] = open();
  const one = limits({ maxConnections: 1 });
  let unjudged = 0;
  for (let number = 0; number < 2 * ADDRESSES_MIN; number += 1) {
    const verdict = table!.enter(ip(number), 0, one);
    assert.ok(verdict === 'in' || verdict === 'unjudged', verdict);
    if (verdict === 'unjudged') unjudged += 1;
  }
  assert.ok(unjudged >= ADDRESSES_MIN, `${unjudged}`);
  assert.equal(table!.unjudged, unjudged);
  const [other] = open();
  const slow = limits({ perIp: rateOf({ perSecond: 10, burst: 1 }) });
  for (let round = 0; round < 8; round += 1) {
    for (let number = 0; number < 4000; number += 1) {
      const key = ip(4000 * round + number);
      assert.equal(other!.enter(key, 1000 * round, slow), 'in');
      other!.leave(key);
    }
  }
  assert.equal(other!.unjudged, 0);
});

test('addresses: a worker that is gone holds no connection, and no lock', () => {
  const memory = allocateTable(1, 2, 0);
  const [first, second] = [new AddressTable(memory, 0), new AddressTable(memory, 1)];
  const three = limits({ maxConnections: 3 });
  assert.equal(first.enter(ip(1), 0, three), 'in');
  assert.equal(second.enter(ip(1), 0, three), 'in');
  assert.equal(second.enter(ip(1), 0, three), 'in');
  assert.equal(first.enter(ip(1), 0, three), 'max-connections-per-ip');
  // It dies with every lock in its hands.
  const sets = memory.plan.places / 16;
  new Int32Array(memory.memory, memory.memory.byteLength - 4 * sets).fill(2);
  assert.equal(first.enter(ip(1), 0, three), 'unjudged');
  second.forget(1);
  assert.deepEqual(
    [1, 2, 3].map(() => first.enter(ip(1), 0, three)),
    ['in', 'in', 'max-connections-per-ip'],
  );
});

test('addresses: what was taken is told once, and what others took counts from then on', () => {
  const [table, main] = open();
  const rate = rateOf({ perSecond: 10, burst: 5 });
  const config = limits({ perIp: rate, total: rateOf({ perSecond: 10, burst: 50 }) });
  for (const now of [1000, 1010]) assert.equal(table!.enter(ip(1), now, config), 'in');
  const takings = main!.drain(100);
  assert.deepEqual(
    takings.map(({ key, count, since }) => [key, count, since]),
    [
      [null, 2, 1000],
      [ip(1), 2, 1000],
    ],
  );
  assert.deepEqual(main!.drain(100), []);
  // One more comes while the store is asked; there, four had been taken in all.
  assert.equal(table!.enter(ip(1), 1020, config), 'in');
  main!.raise(takings[1]!, 1010 + 400, rate);
  assert.equal(table!.enter(ip(1), 1020, config), 'rate-limit');
  assert.equal(table!.enter(ip(1), 1120, config), 'in');
  // Of an address that has left its place nothing changes.
  main!.raise({ ...takings[1]!, key: ip(2) }, 1e9, rate);
  assert.equal(table!.enter(ip(1), 1300, config), 'in');
});

test('addresses: no more are told at once than asked for, and none is forgotten', () => {
  const [table, main] = open();
  const config = limits({ perIp: rateOf({ perSecond: 10, burst: 5 }) });
  for (let number = 0; number < 25; number += 1) table!.enter(ip(number), 1, config);
  const told: Taking[] = [];
  for (let round = 0; round < 3; round += 1) {
    const some = main!.drain(10);
    assert.ok(some.length <= 10);
    told.push(...some);
  }
  assert.equal(new Set(told.map(({ place }) => place)).size, 25);
});

const TRIES = 30_000;

test('addresses: threads that hammer one address get exactly what it may have, all together', async () => {
  const memory = allocateTable(1, 3, 0.1);
  const script = new URL('../../../support/address-hammer.js', import.meta.url);
  const counts = await Promise.all(
    [0, 1, 2].map(
      worker =>
        new Promise<{ readonly byRate: number; readonly byCount: number }>((resolve, reject) => {
          const thread = new Worker(script, { workerData: { memory, worker, tries: TRIES } });
          thread.once('message', resolve).once('error', reject);
        }),
    ),
  );
  const sum = (of: 'byRate' | 'byCount'): number => counts.reduce((all, one) => all + one[of], 0);
  assert.equal(sum('byRate'), 1000);
  assert.equal(sum('byCount'), 700);
});
