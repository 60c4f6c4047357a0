import assert from 'node:assert/strict';
import { test } from 'node:test';
import { didYouMean, nearest } from '../../../src/config/suggest.ts';

const keys = ['bind', 'hold', 'hold_max', 'max_lag', 'max_connections', 'interval', 'fast_interval'];

test('suggestion: slips, swaps, and other ways to join words find the known word', () => {
  const slips = {
    hold_mx: 'hold_max',
    holdMax: 'hold_max',
    'hold-max': 'hold_max',
    bnid: 'bind',
    intervall: 'interval',
  };
  for (const [written, meant] of Object.entries(slips)) assert.equal(nearest(written, keys), meant);
});

test('suggestion: a word that is near to nothing gets none', () => {
  for (const written of ['zebra', '', 'x', 'a'.repeat(10_000)])
    assert.equal(nearest(written, keys), null, written.slice(0, 9));
  assert.equal(didYouMean('zebra', keys), '');
  assert.equal(didYouMean('hodl', keys), '; did you mean "hold"?');
});
