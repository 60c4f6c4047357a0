import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEY_QUESTIONS_MAX } from '../../../../../src/core/limits.ts';
import { WORKER_KEY_ANSWER_MS } from '../../../../../src/proxy/bounds.ts';
import { KeyPeers } from '../../../../../src/proxy/drivers/kernel/key-peers.ts';
import { type KeyQuestion } from '../../../../../src/proxy/drivers/kernel/messages.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';

function fixture(others: number) {
  const asked: KeyQuestion[] = [];
  const clock = new FakeClock();
  const peers = new KeyPeers(question => asked.push(question), others, clock);
  return { asked, clock, peers };
}

test('key peers: the first that has the key answers for all', async () => {
  const { asked, peers, clock } = fixture(3);
  const found = peers.serverOfKey('app', 'k');
  assert.deepEqual(asked, [{ request: 1, backend: 'app', key: 'k' }]);
  peers.answered(1, null);
  peers.answered(1, 'pg2');
  peers.answered(1, null);
  assert.equal(await found, 'pg2');
  assert.equal(clock.pending, 0);
});

test('key peers: nobody has it when all have said so, or when time is over', async () => {
  const { peers, clock } = fixture(2);
  const all = peers.serverOfKey('app', 'k');
  peers.answered(1, null);
  peers.answered(1, null);
  assert.equal(await all, null);
  const some = peers.serverOfKey('app', 'k');
  peers.answered(2, null);
  await clock.advance(WORKER_KEY_ANSWER_MS);
  assert.equal(await some, null);
  peers.answered(2, 'pg1');
  assert.equal(clock.pending, 0);
});

test('key peers: who is alone, or is asked too much, asks nobody', async () => {
  assert.equal(await fixture(0).peers.serverOfKey('app', 'k'), null);
  const { asked, peers } = fixture(1);
  const open = Array.from({ length: KEY_QUESTIONS_MAX }, () => peers.serverOfKey('app', 'k'));
  assert.equal(await peers.serverOfKey('app', 'one more'), null);
  assert.equal(asked.length, KEY_QUESTIONS_MAX);
  for (const { request } of asked) peers.answered(request, null);
  await Promise.all(open);
});
