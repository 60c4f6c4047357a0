// The wait for what worker threads answer: all, too late, dead, or ended.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WORKER_ANSWER_MS } from '../../../../../src/proxy/bounds.ts';
import { type Answer, type ToWorker } from '../../../../../src/proxy/drivers/kernel/messages.ts';
import { Questions } from '../../../../../src/proxy/drivers/kernel/questions.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';

const answer = (matched: number): Answer => ({ sessions: [], matched });

function setup(workers: number) {
  const clock = new FakeClock();
  const questions = new Questions(clock);
  const sent: ToWorker[] = [];
  const threads = Array.from({ length: workers }, () => ({
    send: (message: ToWorker) => void sent.push(message),
  }));
  const ask = () => questions.ask(threads, { kind: 'sessions', filter: {} });
  return { clock, questions, sent, ask };
}

test('questions: every worker is asked, and the answers come by worker', async () => {
  const { clock, questions, sent, ask } = setup(2);
  const asked = ask();
  assert.equal(sent.length, 2);
  questions.answered(1, 1, answer(5));
  questions.answered(0, 1, answer(3));
  assert.deepEqual(await asked, [answer(3), answer(5)]);
  assert.equal(clock.pending, 0);
});

test('questions: who is silent is waited for no longer than the bound, and what it says later is dropped', async () => {
  const { clock, questions, ask } = setup(2);
  const asked = ask();
  questions.answered(0, 1, answer(3));
  await clock.advance(WORKER_ANSWER_MS);
  assert.deepEqual(await asked, [answer(3), null]);
  questions.answered(1, 1, answer(9));
});

test('questions: who dies is not waited for, nor anybody at the end', async () => {
  const { clock, questions, ask } = setup(1);
  const first = ask();
  questions.lost(0);
  assert.deepEqual(await first, [null]);
  const second = ask();
  questions.close();
  assert.deepEqual(await second, [null]);
  assert.equal(clock.pending, 0);
});

test('questions: without workers nobody is waited for', async () => {
  assert.deepEqual(await setup(0).ask(), []);
});
