// The kernel loop's timers against a model: a plain list of what is due when.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Timer } from '../../src/core/clock.ts';
import { Timers } from '../../src/proxy/drivers/kernel/timers.ts';

type Move =
  | { readonly kind: 'schedule'; readonly at: number }
  | { readonly kind: 'cancel'; readonly which: number }
  | { readonly kind: 'fire'; readonly after: number };

const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('schedule' as const), at: fc.nat(50) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('cancel' as const), which: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fire' as const), after: fc.nat(20) }) },
);

test('timers: what is due fires once, in order of time, and what is cancelled never does', () => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 200 }), moves => {
      const timers = new Timers();
      const pending = new Map<number, number>();
      const handles: Timer[] = [];
      const fired: number[] = [];
      let now = 0;
      for (const step of moves) {
        if (step.kind === 'schedule') {
          const id = handles.length;
          const at = now + step.at;
          pending.set(id, at);
          handles.push(timers.schedule(at, () => fired.push(id)));
        } else if (step.kind === 'cancel' && handles.length > 0) {
          const id = step.which % handles.length;
          // Also of one that has fired or was cancelled before: harmless.
          handles[id]!.cancel();
          pending.delete(id);
        } else if (step.kind === 'fire') {
          now += step.after;
          fired.length = 0;
          timers.fire(now);
          const due = [...pending].filter(([, at]) => at <= now);
          assert.deepEqual([...fired].sort(), due.map(([id]) => id).sort());
          const times = fired.map(id => pending.get(id) ?? NaN);
          assert.deepEqual(
            times,
            [...times].sort((a, b) => a - b),
          );
          for (const [id] of due) pending.delete(id);
        }
        assert.equal(timers.nextAt(), pending.size === 0 ? null : Math.min(...pending.values()));
      }
    }),
    { numRuns: 500 },
  );
});

test('timers: a task may cancel others and schedule more, also such as are due at once', () => {
  const timers = new Timers();
  const fired: string[] = [];
  const doomed: Timer[] = [];
  timers.schedule(1, () => {
    fired.push('first');
    for (const timer of doomed) timer.cancel();
    timers.schedule(2, () => fired.push('at once'));
    timers.schedule(9, () => fired.push('later'));
  });
  doomed.push(timers.schedule(2, () => fired.push('cancelled')));
  timers.schedule(3, () => fired.push('last'));
  timers.fire(3);
  assert.deepEqual(fired, ['first', 'at once', 'last']);
  assert.equal(timers.nextAt(), 9);
});
