// What becomes of a worker thread that hangs, dies or doesn't start, on a clock of the test's own.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { configSchema, type Config } from '../../../../../src/config/schema.ts';
import { loadLibc } from '../../../../../src/proxy/drivers/kernel/libc.ts';
import { type FromWorker } from '../../../../../src/proxy/drivers/kernel/messages.ts';
import { planTallies } from '../../../../../src/proxy/drivers/kernel/tally-plan.ts';
import { offsetOf } from '../../../../../src/core/thread-clock.ts';
import { WorkerThread } from '../../../../../src/proxy/drivers/kernel/worker-thread.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';
import { openDescriptors } from '../../../../support/proc.ts';
import { until } from '../../../../support/tcp-peers.ts';
import { pg1Leads } from '../../../../support/tcp-session-script.ts';

const STRIKES = 3;

interface Rig {
  readonly thread: WorkerThread;
  readonly clock: FakeClock;
  readonly told: FromWorker[];
  readonly lost: string[];
  /** Of the newest worker. */
  count(kind: FromWorker['kind']): number;
}

async function create(t: TestContext, frontends: Config['frontends'] = {}): Promise<Rig> {
  const loaded = await loadLibc();
  assert.ok(loaded.ok, 'the kernel driver runs here');
  const clock = new FakeClock();
  const told: FromWorker[] = [];
  const lost: string[] = [];
  const plan = planTallies(
    Object.entries(frontends).map(([name, { backend }]) => ({ name, backend, servers: ['pg1', 'pg2'] })),
    1,
  );
  const thread = new WorkerThread(0, loaded.libc, clock, {
    birth: () => ({
      frontends,
      workers: 1,
      views: [{ version: 0, view: pg1Leads }],
      worker: 0,
      listeners: new Map(),
      plan,
      uring: false,
      clockOffsetMs: offsetOf(clock),
    }),
    told: message => void told.push(message),
    lost: detail => void lost.push(detail),
  });
  t.after(() => thread.end({ kind: 'close' }, 10_000));
  const count = (kind: FromWorker['kind']): number => told.filter(message => message.kind === kind).length;
  return { thread, clock, told, lost, count };
}

test('worker thread: one that leaves a view unapplied for so many looks is ended', async t => {
  const { thread, clock, lost, count } = await create(t);
  await thread.start();
  // No turn of this thread's loop between: its answer can't have come.
  thread.show({ version: 1, view: pg1Leads });
  for (let look = 1; look < STRIKES; look += 1) thread.check(STRIKES);
  assert.equal(lost.length, 0);
  thread.check(STRIKES);
  await until(() => lost.length === 1, 'its end');
  assert.deepEqual(lost, ['it hung']);
  await clock.advance(100);
  await until(() => count('ready') === 2, 'another in its place');
});

test('worker thread: one that applies views, but is always shown another, is left alone', async t => {
  const { thread, lost, count } = await create(t);
  await thread.start();
  for (let version = 1; version < 4 * STRIKES; version += 1) {
    thread.show({ version, view: pg1Leads });
    thread.check(STRIKES);
    await until(() => count('applied') === version, 'the view to be applied');
  }
  for (let look = 0; look < 2 * STRIKES; look += 1) thread.check(STRIKES);
  await thread.end({ kind: 'close' }, 10_000);
  assert.deepEqual(lost, []);
});

test('worker thread: one that is still starting is given its time', async t => {
  const { thread, lost } = await create(t);
  const started = thread.start();
  thread.show({ version: 1, view: pg1Leads });
  for (let look = 0; look < 2 * STRIKES; look += 1) thread.check(STRIKES);
  await started;
  await thread.end({ kind: 'close' }, 10_000);
  assert.deepEqual(lost, []);
});

test('worker thread: the pause before the next doubles, until one has lived long enough', async t => {
  const { thread, clock, lost, count } = await create(t);
  await thread.start();
  const dieAndReturn = async (pauseMs: number): Promise<void> => {
    const deaths = lost.length + 1;
    await thread.terminate();
    await until(() => lost.length === deaths, 'its death');
    if (pauseMs > 0) await clock.advance(pauseMs - 1);
    assert.equal(clock.pending, 1, `the next comes after ${pauseMs} ms`);
    await clock.advance(pauseMs > 0 ? 1 : 0);
    await until(() => count('ready') === deaths + 1, 'the next');
  };
  await dieAndReturn(100);
  await dieAndReturn(200);
  await dieAndReturn(400);
  await clock.advance(10_000);
  await dieAndReturn(0);
  await dieAndReturn(100);
});

test('worker thread: one that dies before it accepts clients fails the start, and says why', async t => {
  const { frontends } = configSchema.parse({
    frontends: { app: { bind: '127.0.0.1:0', backend: 'app' } },
    backends: { app: { protocol: 'postgres', check: { user: 'probe' }, servers: { pg1: '127.0.0.1:1' } } },
  });
  // No listener was opened for it.
  const { thread } = await create(t, frontends);
  await assert.rejects(thread.start(), /the main thread opened a socket for every frontend/);
});

test('worker thread: told to end it ends, and leaves no descriptor', async t => {
  const { thread: first } = await create(t);
  await first.start();
  await first.end({ kind: 'close' }, 10_000);
  const before = openDescriptors();
  const { thread, lost } = await create(t);
  await thread.start();
  assert.ok(openDescriptors() > before);
  await thread.end({ kind: 'drain', deadlineMs: 10, waiting: 'refuse' }, 10_000);
  await until(() => openDescriptors() <= before, `${before} descriptors`);
  assert.deepEqual(lost, []);
});
