import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Surge } from '../../../../src/proxy/limits/surge.ts';

const config = { perSecond: 10, burst: 4, forMs: 5000 };

/** Who went, and when, if a crowd waits that is let go whenever there is room, looked at each millisecond. */
function lettingGo(surge: Surge, fromMs: number, toMs: number): readonly number[] {
  const went: number[] = [];
  for (let now = fromMs; now < toMs; now += 1) {
    const room = Math.min(surge.room(now), 1000);
    surge.went(room, now);
    for (let client = 0; client < room; client += 1) went.push(now);
  }
  return went;
}

test('surge: nobody is paced before a change of the primary, nor when its time is over', () => {
  const surge = new Surge(1);
  assert.deepEqual([surge.isOn(0), surge.room(0), surge.burst(0)], [false, Infinity, null]);
  surge.begin(config, 1000);
  assert.deepEqual([surge.isOn(5999), surge.burst(5999)], [true, 4]);
  assert.deepEqual([surge.isOn(6000), surge.room(6000), surge.burst(6000)], [false, Infinity, null]);
});

test('surge: a burst goes at once, then as many a second as were set', () => {
  const surge = new Surge(1);
  surge.begin(config, 0);
  const went = lettingGo(surge, 0, 3000);
  assert.deepEqual(went.slice(0, 5), [0, 0, 0, 0, 100]);
  assert.equal(went.length, 4 + 29);
});

test('surge: who asks when the next may go is told a moment at which one may, and the end of the pace at the latest', () => {
  const surge = new Surge(1);
  surge.begin(config, 0);
  surge.went(4, 0);
  const next = surge.nextAt();
  assert.ok(next > 0 && surge.room(Math.ceil(next)) >= 1);
  const slow = new Surge(1);
  slow.begin({ ...config, perSecond: 0.01 }, 0);
  slow.went(4, 0);
  assert.equal(slow.nextAt(), 5000);
});

test('surge: workers share the pace, and each may let one go', () => {
  const surges = [1, 2, 3].map(() => new Surge(3));
  for (const surge of surges) surge.begin({ ...config, burst: 3 }, 0);
  const went = surges.flatMap(surge => lettingGo(surge, 0, 3000));
  assert.equal(went.filter(at => at === 0).length, 3);
  assert.ok(went.length <= 3 + 30 && went.length >= 3 + 27, `${went.length}`);
});

test('surge: another change of the primary begins it anew', () => {
  const surge = new Surge(1);
  surge.begin(config, 0);
  surge.went(4, 0);
  surge.begin(config, 50);
  assert.equal(Math.floor(surge.room(50)), 4);
  assert.equal(surge.isOn(5049), true);
});
