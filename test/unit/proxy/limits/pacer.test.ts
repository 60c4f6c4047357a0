import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Pacer } from '../../../../src/proxy/limits/pacer.ts';

test('rates: a burst goes at once, then one at each interval', () => {
  const pacer = new Pacer({ perSecond: 10, burst: 3 });
  assert.deepEqual(
    [1, 2, 3, 4].map(() => pacer.take(0)),
    [true, true, true, false],
  );
  assert.equal(pacer.room(0), 0);
  assert.ok(Math.abs(pacer.nextAt() - 100) < 0.01);
  assert.equal(pacer.take(99), false);
  assert.equal(pacer.take(100), true);
  assert.equal(pacer.take(100), false);
  assert.equal(pacer.room(400), 3);
});

test('rates: one too many changes nothing: who hammers waits no longer than who doesn’t', () => {
  const pacer = new Pacer({ perSecond: 1, burst: 1 });
  assert.ok(pacer.take(0));
  for (let now = 0; now < 1000; now += 1) assert.equal(pacer.take(now), false);
  assert.ok(pacer.take(1000));
});

test('rates: in no stretch of time go more than a burst and the rate, and as many as that can', () => {
  const gaps = fc.array(fc.double({ min: 0, max: 300, noNaN: true }), { minLength: 1, maxLength: 80 });
  fc.assert(
    fc.property(
      gaps,
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 8 }),
      (steps, perSecond, burst) => {
        const pacer = new Pacer({ perSecond, burst });
        let now = 0;
        const went: number[] = [];
        for (const step of steps) {
          now += step;
          const room = pacer.room(now);
          if (pacer.take(now)) went.push(now);
          else assert.equal(room, 0);
        }
        for (const [first, from] of went.entries()) {
          for (const [last, to] of went.entries()) {
            if (last < first) continue;
            const most = burst + ((to - from) * perSecond) / 1000;
            assert.ok(last - first + 1 <= most + 0.001, `${last - first + 1} within ${to - from} ms`);
          }
        }
      },
    ),
  );
});
