import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Breaker, Breakers } from '../../../../src/proxy/limits/breakers.ts';
import { createTallies } from '../../../../src/proxy/tallies.ts';
import { backend, pass, server } from '../../../support/views.ts';

const config = { failures: 3, openMs: 1000 };
const pg1 = { ...server('pg1', pass()), upSince: 0 };

/** With as many failures in a row as open it, the last at `at`. */
function opened(at = 100): Breaker {
  const breaker = new Breaker(createTallies(), 'app', 'pg1');
  for (const failedAt of [at - 2, at - 1]) assert.equal(breaker.failed('rw', config, failedAt), false);
  assert.equal(breaker.failed('rw', config, at), true);
  return breaker;
}

test('circuit breaker: failures in a row open it, one connection between them does not let them count', () => {
  const breaker = new Breaker(createTallies(), 'app', 'pg1');
  breaker.failed('rw', config, 10);
  breaker.failed('rw', config, 11);
  assert.equal(breaker.connected(), false, 'it was not open');
  assert.equal(breaker.failed('rw', config, 12), false);
  assert.equal(breaker.failed('rw', config, 13), false);
  assert.equal(breaker.room(pg1, config, 14), Infinity);
  assert.equal(breaker.failed('rw', config, 15), true);
  assert.equal(breaker.room(pg1, config, 16), 0);
  assert.equal(breaker.openUntil, 1015);
});

test('circuit breaker: when the time is over one client tries for all, and its failure opens it anew at once', () => {
  const breaker = opened(100);
  assert.equal(breaker.room(pg1, config, 1099), 0);
  assert.equal(breaker.room(pg1, config, 1100), 1);
  const dial = {};
  breaker.dialed(dial);
  assert.equal(breaker.room(pg1, config, 1101), 0, 'one, not one after the other');
  assert.equal(breaker.failed('rw', config, 1102), true, 'no further three failures');
  breaker.ended(dial);
  assert.equal(breaker.room(pg1, config, 1103), 0);
  assert.equal(breaker.room(pg1, config, 2102), 1);
});

test('circuit breaker: the client that tries opens it to all, or frees the place when it leaves', () => {
  const breaker = opened(100);
  const [first, second] = [{}, {}];
  breaker.dialed(first);
  breaker.ended(first);
  assert.equal(breaker.room(pg1, config, 1200), 1, 'it left without an answer');
  breaker.dialed(second);
  assert.equal(breaker.connected(), true);
  breaker.ended(second);
  assert.equal(breaker.room(pg1, config, 1201), Infinity);
});

test('circuit breaker: attempts that began before it opened do not prolong it', () => {
  const breaker = opened(100);
  assert.equal(breaker.failed('rw', config, 900), false);
  assert.equal(breaker.room(pg1, config, 1100), 1);
});

test('circuit breaker: a server that came up after the failures is open to all', () => {
  const breaker = opened(100);
  assert.equal(breaker.room({ ...pg1, upSince: 100 }, config, 200), 0, 'up when it failed');
  assert.equal(breaker.room({ ...pg1, upSince: 101 }, config, 200), Infinity);
  assert.equal(breaker.openUntil, 0);
});

test('circuit breaker: one for each server, shared by frontends, none where the backend has none', () => {
  const breakers = new Breakers(createTallies());
  const view = backend([pg1], { circuitBreaker: config });
  const breaker = breakers.of(view, 'pg1');
  assert.ok(breaker !== null);
  assert.equal(breakers.of(view, 'pg1'), breaker);
  assert.notEqual(breakers.of(view, 'pg2'), breaker);
  assert.equal(breakers.of(backend([pg1]), 'pg1'), null);
  for (const frontend of ['rw', 'ro', 'rw']) breaker.failed(frontend, config, 50);
  assert.equal(breaker.openUntil, 1050);
});
