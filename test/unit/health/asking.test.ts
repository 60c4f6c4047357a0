import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Asking } from '../../../src/health/asking.ts';
import { FakeClock } from '../../support/fake-clock.ts';

/** Questions that are answered at once, or when the test says so. */
function asked(pauseMs: number, answers: 'at once' | 'when told' = 'at once') {
  const clock = new FakeClock();
  const at: number[] = [];
  let told = 0;
  let open: (() => void)[] = [];
  const asking = new Asking(clock, async () => {
    at.push(clock.now());
    if (answers === 'when told') await new Promise<void>(resolve => open.push(resolve));
    return { pauseMs, tell: () => (told += 1) };
  });
  const answer = (): void => {
    for (const resolve of open) resolve();
    open = [];
  };
  return { clock, asking, at, answer, told: () => told };
}

test('asking: the pause follows the answer', async () => {
  const { clock, asking, at, told } = asked(100);
  asking.start();
  await clock.advance(250);
  assert.deepEqual([at, told()], [[0, 100, 200], 3]);
});

test('asking: out of turn at once, or no sooner after the last than the gap', async () => {
  const { clock, asking, at } = asked(1000);
  asking.start();
  await clock.advance(10);
  asking.askNow();
  await clock.advance(10);
  asking.askNow(50);
  asking.askNow(200);
  await clock.advance(500);
  assert.deepEqual(at, [0, 10, 60]);
});

test('asking: a call out of turn never puts the next question off', async () => {
  const { clock, asking, at } = asked(20);
  asking.start();
  await clock.advance(10);
  asking.askNow(500);
  await clock.advance(15);
  assert.deepEqual(at, [0, 20]);
});

test('asking: never two at once; what is asked for meanwhile follows the answer', async () => {
  const { clock, asking, at, answer } = asked(1000, 'when told');
  asking.start();
  await clock.advance(30);
  asking.askNow(100);
  asking.askNow();
  await clock.advance(30);
  assert.deepEqual(at, [0]);
  answer();
  await clock.advance(10);
  assert.deepEqual(at, [0, 60]);
});

test('asking: after a stop nothing is told and nothing asked', async () => {
  const { clock, asking, at, answer, told } = asked(10, 'when told');
  asking.askNow();
  assert.deepEqual(at, [], 'nor before the start');
  asking.start();
  asking.stop();
  answer();
  asking.askNow();
  await clock.advance(100);
  assert.deepEqual([at, told(), clock.pending], [[0], 0, 0]);
});
