// When a server is doubted, and what clears it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SLOW_DIAL_MS } from '../../../src/proxy/bounds.ts';
import { Suspects } from '../../../src/proxy/suspects.ts';
import { backend, passReplica, server } from '../../support/views.ts';

const view = backend([]);
/** A probe that took 1 ms. */
const probedAt = (at: number) => server('pg1', passReplica({}, at));

test('suspects: a server is doubted from a failure on until a probe that began later', () => {
  const suspects = new Suspects();
  const isDoubted = (probed: number): boolean => suspects.isDoubted(probedAt(probed), view, 5000);
  assert.equal(isDoubted(10), false, 'nobody has tried');
  suspects.of('app', 'pg1').failed(1000);
  assert.equal(isDoubted(900), true);
  assert.equal(isDoubted(1000.5), true, 'that probe was under way already');
  assert.equal(isDoubted(1001.5), false);
  suspects.of('app', 'pg1').failed(2000);
  assert.equal(isDoubted(1001.5), true);
});

test('suspects: one that was never asked is doubted too, once a connection to it has failed', () => {
  const suspects = new Suspects();
  suspects.of('app', 'pg1').failed(0);
  assert.equal(suspects.isDoubted(server('pg1', null), view, 1), true);
});

test('suspects: another backend’s server of that name is not meant', () => {
  const suspects = new Suspects();
  suspects.of('other', 'pg1').failed(1000);
  assert.equal(suspects.isDoubted(probedAt(1), view, 2000), false);
});

test('suspects: a connection attempt that hangs casts doubt while it does', () => {
  const suspects = new Suspects();
  const suspect = suspects.of('app', 'pg1');
  const isDoubted = (now: number): boolean => suspects.isDoubted(probedAt(500), view, now);
  const [first, second] = [{}, {}];
  suspect.dialed(first, 1000);
  suspect.dialed(second, 1100);
  assert.equal(isDoubted(1000 + SLOW_DIAL_MS), false);
  assert.equal(isDoubted(1001 + SLOW_DIAL_MS), true);
  suspect.ended(second);
  assert.equal(isDoubted(1001 + SLOW_DIAL_MS), true, 'the one that hangs is the first');
  suspect.ended(first);
  assert.equal(isDoubted(1001 + SLOW_DIAL_MS), false);
  suspect.dialed(second, 3000);
  assert.equal(isDoubted(3001), false, 'the next is watched from its own beginning');
});
