// A worker thread's whole program: the proxy on the kernel driver, fed with views by the main thread.
// No decisions of its own. Started by pool.ts; ends when told to, or by a failure, which the pool sees.

import { parentPort, workerData } from 'node:worker_threads';
import { systemClock, type MonotonicMs } from '../../../core/clock.ts';
import { invariant, PointsmanError } from '../../../core/errors.ts';
import { systemRandom } from '../../../core/random.ts';
import { Topic } from '../../../core/topic.ts';
import { type BackendChange, type BackendView } from '../../../topology/model.ts';
import { createProxy } from '../../proxy.ts';
import { createKernelDriver } from './driver.ts';
import { Kernel } from './kernel.ts';
import { loadLibc } from './libc.ts';
import { KeyPeers } from './key-peers.ts';
import { Loop } from './loop.ts';
import {
  type Answer,
  type FromWorker,
  type Question,
  type Reconfiguration,
  type ToWorker,
  type VersionedView,
  type WorkerStart,
} from './messages.ts';
import { createGatherer } from './notices.ts';
import { SharedTallies } from './shared.ts';
import { openUring } from './uring.ts';
import { clockAt } from '../../../core/thread-clock.ts';

invariant(parentPort !== null, 'a worker has a main thread');
const port = parentPort;
const start = workerData as WorkerStart;
const send = (message: FromWorker): void => port.postMessage(message);

const loaded = await loadLibc();
invariant(loaded.ok, 'what the main thread could load, a worker can');
const now: () => MonotonicMs = clockAt(start.clockOffsetMs);
const loop = new Loop(loaded.libc, start.wake, now);
const mappings = new Float64Array(start.mappings);
let mapped = 0;
const ring = start.uring
  ? openUring(loaded.libc, ({ address, bytes }) => mappings.set([address, bytes], 2 * mapped++))
  : null;
const uring = ring !== null && ring.ok ? ring.uring : null;
const kernel = new Kernel(loaded.libc, loop, uring, new Uint8Array(start.open));
const gatherer = createGatherer(loop.clock, batch => send({ kind: 'notices', batch }));

const views = new Map(start.views.map(({ view }) => [view.name, view]));
const changes = new Topic<BackendChange>();
const removals = new Topic<BackendView>();
const view = (backend: string): BackendView => {
  const found = views.get(backend);
  if (found === undefined) throw new PointsmanError('INTERNAL', `no backend ${backend}`);
  return found;
};

const listeners = new Map(start.listeners);
const tallies = new SharedTallies(start.plan, start.worker);
const peers = new KeyPeers(
  question => send({ kind: 'whose-key', ...question }),
  start.workers - 1,
  loop.clock,
);
const proxy = createProxy({
  frontends: start.frontends,
  topology: { view, changes, removals },
  driver: createKernelDriver(kernel, listeners),
  tallies,
  workers: start.workers,
  clock: loop.clock,
  random: systemRandom,
  observer: gatherer.observer,
  ...(start.workers > 1 ? { peers } : {}),
});

function apply({ version, view: after }: VersionedView): void {
  const before = view(after.name);
  views.set(after.name, after);
  changes.publish({ before, after, at: now() });
  // What was closed is told before it is said to be done.
  gatherer.flush();
  send({ kind: 'applied', version });
}

function remove(backend: string): void {
  removals.publish(view(backend));
  views.delete(backend);
  gatherer.flush();
}

/** Its promises settle before Node's loop goes on, and ours: the sockets are open already. */
async function reconfigure({ version, frontends, plan, ...change }: Reconfiguration): Promise<void> {
  for (const { view: added } of change.views) views.set(added.name, added);
  for (const [name, opened] of change.listeners) listeners.set(name, opened);
  tallies.follow(plan);
  const prepared = await proxy.prepare(frontends);
  await prepared.apply();
  gatherer.flush();
  send({ kind: 'reconfigured', version });
}

/** `work` waits for promises, so Node's loop gets a turn after each round of ours. */
function end(work: Promise<void>): void {
  isEnding = true;
  loop.yielding = true;
  void work.then(() => {
    gatherer.flush();
    send({ kind: 'closed' });
    ended = true;
    kernel.close(loop.fd);
    port.close();
  });
}

async function answerTo(question: Question): Promise<Answer> {
  if (question.kind === 'sessions') return proxy.sessions(question.filter);
  if (question.kind === 'pause-sessions') {
    return { sessions: [], matched: await proxy.pauseSessions(question.ids, question.forMs) };
  }
  const { ids, reason, rested } = question;
  // It may wait for input, and for promises.
  closings += 1;
  loop.yielding = true;
  const matched = await proxy.closeSessions(ids, reason, rested);
  closings -= 1;
  loop.yielding = isEnding || closings > 0;
  return { sessions: [], matched };
}

let isEnding = false;
let ended = false;
/** Questions to close sessions that are not answered yet. */
let closings = 0;
port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'view':
      apply(message);
      return;
    case 'removed':
      remove(message.backend);
      return;
    case 'reconfigure':
      void reconfigure(message);
      return;
    case 'drain':
      end(proxy.drain(message.deadlineMs, message.waiting));
      send({ kind: 'released' });
      return;
    case 'close':
      end(proxy.close());
      return;
    case 'ask':
      // What it closes is told in good time: the one who asked may look at the counters.
      void answerTo(message.question).then(answer => {
        gatherer.flush();
        send({ kind: 'answer', request: message.request, answer });
      });
      return;
    case 'whose-key': {
      const server = proxy.serverOfKey(message.backend, message.key);
      send({ kind: 'key-owner', to: message.from, request: message.request, server });
      return;
    }
    case 'key-owner':
      peers.answered(message.request, message.server);
  }
});

function turn(): void {
  if (ended) return;
  loop.run();
  systemClock.afterInput(turn);
}

await proxy.listen();
send({ kind: 'ready', without: ring !== null && !ring.ok ? ring.reason : null });
systemClock.afterInput(turn);
