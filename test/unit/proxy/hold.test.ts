// The hold queue by example: order, bounds, pace, and what a failed attempt does to it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  LOGIN_MAX_MS,
  RELEASE_BURST,
  RELEASE_TICK_MS,
  RELEASE_TRICKLE,
  RETRY_PAUSE_MS,
} from '../../../src/proxy/bounds.ts';
import { HoldQueue } from '../../../src/proxy/hold.ts';

function queueOf(count: number): HoldQueue<number> {
  const hold = new HoldQueue<number>(() => count);
  for (let client = 1; client <= count; client += 1) assert.ok(hold.join(client));
  return hold;
}

test('hold queue: clients go in the order they came', () => {
  assert.deepEqual(queueOf(3).take(0), [1, 2, 3]);
});

test('hold queue: a client beyond the limit is not taken in', () => {
  const hold = queueOf(2);
  assert.equal(hold.join(3), false);
  hold.leave(1);
  assert.equal(hold.join(3), true);
  assert.equal(new HoldQueue<number>(() => 0).join(1), false);
});

test('hold queue: a client that leaves is forgotten', () => {
  const hold = queueOf(3);
  hold.leave(2);
  hold.leave(2);
  assert.equal(hold.size, 2);
  assert.deepEqual(hold.take(0), [1, 3]);
  hold.leave(1);
  assert.equal(hold.nextAt(), null);
});

test('hold queue: a burst goes at once, more only as the first are let in or as time passes', () => {
  const hold = queueOf(200);
  assert.equal(hold.take(1000).length, RELEASE_BURST);
  assert.equal(hold.nextAt(), 1000 + RELEASE_TICK_MS);
  assert.deepEqual(hold.take(1000), []);
  hold.connected(1, 1000);
  hold.connected(2, 1000);
  assert.deepEqual(hold.take(1001), [], 'connected is not yet let in');
  assert.equal(hold.loggedIn(1), true);
  assert.equal(hold.loggedIn(1), false);
  hold.loggedIn(2);
  assert.deepEqual(hold.take(1001), [RELEASE_BURST + 1, RELEASE_BURST + 2]);
  assert.deepEqual(hold.take(1001 + RELEASE_TICK_MS - 0.1), []);
  assert.equal(hold.take(1001 + RELEASE_TICK_MS).length, RELEASE_TRICKLE);
  assert.equal(hold.size, 200 - RELEASE_BURST - 2 - RELEASE_TRICKLE);
});

test('hold queue: a login whose end is not seen counts for a bounded time', () => {
  const hold = queueOf(100);
  for (const client of hold.take(0)) hold.connected(client, 0);
  assert.equal(hold.take(LOGIN_MAX_MS - 1).length, RELEASE_TRICKLE);
  assert.equal(hold.take(LOGIN_MAX_MS).length, RELEASE_BURST - RELEASE_TRICKLE);
});

test('hold queue: logins under way do not keep the one that tries for all from trying', () => {
  const hold = queueOf(100);
  for (const client of hold.take(0)) hold.connected(client, 0);
  const [next, other] = hold.take(RELEASE_TICK_MS);
  assert.ok(next && other);
  hold.giveBack(next);
  hold.leave(other);
  hold.pause(RELEASE_TICK_MS);
  assert.deepEqual(hold.take(RELEASE_TICK_MS + RETRY_PAUSE_MS), [next]);
});

test('hold queue: a released client that leaves makes room for the next', () => {
  const hold = queueOf(100);
  hold.take(0);
  hold.leave(2);
  assert.deepEqual(hold.take(0), [RELEASE_BURST + 1]);
});

test('hold queue: those given back go before those who came later, in their order', () => {
  const hold = queueOf(66);
  hold.take(0);
  hold.giveBack(1);
  hold.giveBack(2);
  assert.deepEqual(hold.take(0), [1, 2]);
});

test('hold queue: after a failure one tries for all, and its success opens the gate', () => {
  const hold = queueOf(10);
  const released = hold.take(0);
  assert.equal(released[0], 1);
  for (const client of released) hold.giveBack(client);
  hold.pause(0);
  assert.deepEqual(hold.take(RETRY_PAUSE_MS - 1), []);
  assert.equal(hold.nextAt(), RETRY_PAUSE_MS);
  assert.deepEqual(hold.take(RETRY_PAUSE_MS), [1]);
  // Only the attempt itself can help now: no timer may spin meanwhile.
  assert.equal(hold.nextAt(), null);
  assert.deepEqual(hold.take(RETRY_PAUSE_MS + 1000), []);
  hold.connected(1, RETRY_PAUSE_MS + 1000);
  assert.equal(hold.take(RETRY_PAUSE_MS + 1000).length, RELEASE_BURST - 1);
});

test('hold queue: a client can neither wait twice nor be given back without having gone', () => {
  const hold = queueOf(2);
  assert.throws(() => hold.join(1), { code: 'INTERNAL' });
  assert.throws(() => hold.giveBack(1), { code: 'INTERNAL' });
});
