// When a repeating trouble is told of.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createThrottle } from '../../../src/proxy/throttle.ts';

test('throttle: the first is told at once, then sums at the interval', () => {
  const throttle = createThrottle(10_000);
  assert.deepEqual(
    [0, 1, 9_999, 10_000, 10_001, 25_000].map(now => throttle(now)),
    [1, null, null, 3, null, 2],
  );
});
