import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Monitor } from '../../../src/health/monitor.ts';
import { type ProbeAnswer } from '../../../src/health/prober.ts';
import { type Tempo } from '../../../src/health/schedule.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { facts } from '../../support/views.ts';

const well: ProbeAnswer = { code: 'L7OK', detail: 'ok', facts: facts() };
const refused: ProbeAnswer = { code: 'L4CON', detail: 'refused' };

function setup(answer: () => Promise<ProbeAnswer> = () => Promise.resolve(well)) {
  const clock = new FakeClock();
  const state = { probes: 0, underWay: 0, maxUnderWay: 0, closed: false, tempo: 'calm' as Tempo };
  const reports: string[] = [];
  let lose: (detail: string) => void = () => undefined;
  const monitor = new Monitor({
    clock,
    random: () => 0.5,
    tempo: () => state.tempo,
    policy: { rise: 1, fall: 2, intervalMs: 1000, fastIntervalMs: 50, promotionIntervalMs: 10 },
    report: (health, result) => reports.push(`${result.code} ${health.kind}`),
    prober: onLost => {
      lose = onLost;
      return {
        async probe() {
          state.probes += 1;
          state.underWay += 1;
          state.maxUnderWay = Math.max(state.maxUnderWay, state.underWay);
          try {
            return await answer();
          } finally {
            state.underWay -= 1;
          }
        },
        close: () => void (state.closed = true),
      };
    },
  });
  return { clock, monitor, state, reports, lose: (detail: string) => lose(detail) };
}

test('monitor: asks at once, then every interval, and on neither side of it', async () => {
  const { clock, monitor, state } = setup();
  monitor.start();
  await settle();
  assert.equal(state.probes, 1);
  await clock.advance(999);
  assert.equal(state.probes, 1);
  await clock.advance(1);
  assert.equal(state.probes, 2);
  monitor.stop();
});

test('monitor: never has two probes under way, however often it is woken', async () => {
  const answers: (() => void)[] = [];
  const { monitor, state, lose, clock } = setup(
    () => new Promise(resolve => answers.push(() => resolve(well))),
  );
  monitor.start();
  lose('gone');
  monitor.retune();
  await clock.advance(5000);
  assert.equal(state.probes, 1);
  answers[0]?.();
  await clock.advance(1);
  assert.equal(state.maxUnderWay, 1);
  monitor.stop();
});

test('monitor: a lost session is reported without waiting and followed by a probe at once', async () => {
  let answer: ProbeAnswer = well;
  const { clock, monitor, reports, lose } = setup(() => Promise.resolve(answer));
  monitor.start();
  await clock.advance(10);
  answer = refused;
  lose('connection closed by the server');
  assert.deepEqual(reports, ['L7OK up', 'L4LOST up']);
  await settle();
  assert.deepEqual(reports.slice(2), ['L4CON down'], 'refused at once: down within the same millisecond');
  monitor.stop();
});

test('monitor: a faster tempo brings the next probe forward, a slower one does not put it off', async () => {
  const { clock, monitor, state } = setup();
  monitor.start();
  await clock.advance(100);
  state.tempo = 'doubt';
  monitor.retune();
  await clock.advance(0);
  assert.equal(state.probes, 2, 'the 50 ms since the last start are over');
  state.tempo = 'calm';
  monitor.retune();
  await clock.advance(50);
  assert.equal(state.probes, 3);
  monitor.stop();
});

test('monitor: a prober that breaks its promise counts as a wrong answer, not as a crash', async () => {
  const { monitor, reports } = setup(() => Promise.reject(new Error('boom')));
  monitor.start();
  await settle();
  assert.deepEqual(reports, ['L7RSP unknown']);
  monitor.stop();
});

test('monitor: after stop there is no timer, no report, and the prober is closed', async () => {
  const answers: (() => void)[] = [];
  const { clock, monitor, state, reports } = setup(
    () => new Promise(resolve => answers.push(() => resolve(well))),
  );
  monitor.start();
  monitor.stop();
  answers[0]?.();
  await clock.advance(10_000);
  assert.deepEqual([state.probes, state.closed, clock.pending, reports.length], [1, true, 0, 0]);
});

test('monitor: asked for a probe it makes one at once, and no more than one in 50 ms however often it is asked', async () => {
  const { clock, monitor, state } = setup();
  monitor.askNow();
  assert.equal(state.probes, 0, 'not before it was started');
  monitor.start();
  await clock.advance(500);
  assert.equal(state.probes, 1);
  monitor.askNow();
  await clock.advance(0);
  assert.equal(state.probes, 2);
  for (let i = 0; i < 10; i += 1) {
    monitor.askNow();
    await clock.advance(10);
  }
  assert.equal(state.probes, 4, 'at 550 and 600 ms');
  await clock.advance(999);
  assert.equal(state.probes, 4);
  await clock.advance(1);
  assert.equal(state.probes, 5, 'the interval counts from the last one');
  monitor.stop();
  monitor.askNow();
  assert.equal(clock.pending, 0);
});

test('monitor: asked while a probe is under way it makes another, as that one may know less', async () => {
  const answers: (() => void)[] = [];
  const { clock, monitor, state } = setup(() => new Promise(resolve => answers.push(() => resolve(well))));
  monitor.start();
  await clock.advance(200);
  monitor.askNow();
  answers[0]?.();
  await clock.advance(0);
  assert.equal(state.probes, 2);
  answers[1]?.();
  await clock.advance(900);
  assert.equal(state.probes, 2, 'once');
  monitor.stop();
});
