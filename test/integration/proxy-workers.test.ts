// Workers of the kernel engine that die or hang in the middle of traffic: their sessions end with a reset, all others go
// on, and the port is served again. Deaths are made from outside, through Node's own handle on the thread.

import assert from 'node:assert/strict';
import { Session } from 'node:inspector';
import { type TestContext } from 'node:test';
import { systemClock, type Clock } from '../../src/core/clock.ts';
import { openDescriptors } from '../support/proc.ts';
import { startupPacket } from '../support/tcp-packets.ts';
import { beginPeer, connectPeer, until, type Peer } from '../support/tcp-peers.ts';
import { onEngines, openStage, type Engine, type Stage } from '../support/tcp-proxy.ts';
import { confuse } from '../support/tcp-workers.ts';
import { pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const pg1Leads = [{ pg1: pass(), pg2: passReplica() }, 'pg1'] as const;

const alone = (engine: Engine): boolean => engine !== 'net' && engine.workers === 1;
const several = (engine: Engine): boolean => engine !== 'net' && engine.workers > 1;

/** Each worker has run for long when it dies, so that the next follows at once. */
const ageing: Clock = { ...systemClock, now: () => systemClock.now() * 10_000 };

async function opened(t: TestContext, engine: Engine): Promise<Stage> {
  const stage = await openStage(t, { engine, clock: ageing, initial: pg1Leads });
  stage.servers['pg1']!.onPeer = ({ socket }) => {
    socket.on('error', () => undefined); // resets are what is tested
    socket.pipe(socket);
  };
  return stage;
}

/** Clients that always have bytes in flight. */
async function traffic(stage: Stage, count: number): Promise<Peer[]> {
  const chunk = Buffer.alloc(4096, 'x');
  const clients = Array.from({ length: count }, () => beginPeer(stage.at()));
  for (const { socket } of clients) {
    socket.write(hello);
    socket.on('data', () => void (socket.destroyed || socket.write(chunk)));
  }
  await until(
    () => clients.every(({ bytes, closed }) => closed || bytes > hello.length),
    'every client to be served',
  );
  return clients;
}

const alive = (clients: readonly Peer[]): Peer[] => clients.filter(({ closed, ended }) => !closed && !ended);

onEngines(
  'workers: the only one dies in traffic: all are reset, who comes meanwhile waits, and is served by the next',
  async (t, engine) => {
    const stage = await opened(t, engine);
    const clients = await traffic(stage, 50);
    void stage.workers.live[0]!.terminate();
    const meanwhile = await connectPeer(stage.at(), hello);
    await until(() => alive(clients).length === 0, 'the resets');
    assert.deepEqual([...new Set(clients.map(({ error }) => error))], ['ECONNRESET']);
    await until(
      () => stage.servers['pg1']!.peers.slice(0, 50).every(({ closed }) => closed),
      'those at the server',
    );
    assert.ok(stage.servers['pg1']!.peers.slice(0, 50).every(({ error }) => error === 'ECONNRESET'));
    await meanwhile.untilBytes(hello.length);
    assert.ok(meanwhile.received.equals(hello));
    assert.deepEqual(
      stage.diary.lines.filter(line => line.startsWith('workerLost')),
      ['workerLost 50 it ended'],
    );
    assert.equal(stage.gauge().sessions, 1);
    assert.equal(stage.gauge().connections, 1);
    assert.equal(stage.proxy.sessionsOf('app', 'pg1'), 1);
  },
  alone,
);

onEngines(
  'workers: one of three throws: its sessions are reset and told of, those of the others go on',
  async (t, engine) => {
    const stage = await opened(t, engine);
    const clients = await traffic(stage, 60);
    confuse(stage.workers.live[1]!);
    // A view wakes it.
    stage.topology.set(...pg1Leads);
    await until(() => stage.diary.count('workerLost') === 1, 'its death');
    const [told = ''] = stage.diary.lines.filter(line => line.startsWith('workerLost'));
    const lost = Number(told.split(' ')[1]);
    assert.ok(lost > 0 && lost < 60, told);
    assert.match(told, /a backend that is not there|reading|undefined/);
    await until(() => alive(clients).length === 60 - lost, `${lost} resets`);
    const others = alive(clients);
    const before = others.map(({ bytes }) => bytes);
    await until(
      () => others.every(({ bytes }, index) => bytes > before[index]! + 64 * 1024),
      'the others to go on',
    );
    assert.equal(stage.gauge().sessions, others.length);
    await until(() => stage.workers.ready === 3, 'a third worker again');
    // Clients whose turn is the dead one's port wait in its queue, which has lived on.
    const newcomers = await traffic(stage, 60);
    assert.equal(alive(newcomers).length, 60);
    assert.equal(alive(others).length, others.length);
    assert.equal(stage.gauge().sessions, 60 + others.length);
    // The new worker follows the primary as the others do.
    stage.topology.set({ pg1: passReplica(), pg2: pass() }, 'pg2');
    await stage.settled();
    assert.equal(stage.proxy.sessionsOf('app', 'pg1'), 0);
    const last = await connectPeer(stage.at(), hello);
    await until(() => stage.proxy.sessionsOf('app', 'pg2') === 1, 'a session on the new primary');
    assert.equal(last.closed, false);
  },
  several,
);

onEngines(
  'workers: death after death leaks no descriptor',
  async (t, engine) => {
    const workers = engine === 'net' ? 0 : engine.workers;
    const deaths = 8;
    const stage = await opened(t, engine);
    await traffic(stage, 10);
    for (const { socket } of await traffic(stage, 10)) socket.destroy();
    await until(() => stage.gauge().connections === 10, 'the first ten');
    const before = openDescriptors();
    for (let death = 0; death < deaths; death += 1) {
      const clients = await traffic(stage, 10);
      const { sessions } = stage.gauge();
      const victim = stage.workers.live[0]!;
      if (death % 2 === 0) void victim.terminate();
      else confuse(victim);
      stage.topology.set(...pg1Leads);
      await until(() => stage.diary.count('workerLost') === death + 1, `death ${death}`);
      const told = stage.diary.lines.filter(line => line.startsWith('workerLost')).at(-1)!;
      const lost = Number(told.split(' ')[1]);
      await until(() => stage.gauge().sessions === sessions - lost, 'the tallies to follow');
      await until(() => stage.workers.ready === workers, 'another in its place');
      for (const { socket } of clients) socket.destroy();
    }
    await until(() => stage.gauge().connections <= 10, 'the last clients to be gone');
    await until(
      () => openDescriptors() <= before,
      `${before} descriptors, as before, not ${openDescriptors()}`,
    );
    assert.equal(stage.workers.started, workers + deaths);
  },
  engine => engine !== 'net',
);

/** Makes a worker loop for ever at its next turn, as a bug of ours would. */
async function hang(stage: Stage): Promise<void> {
  const session = new Session();
  session.connect();
  const post = (method: string, params: object): Promise<unknown> =>
    new Promise((resolve, reject) => {
      session.post(method, params, (error, result) => (error === null ? resolve(result) : reject(error)));
    });
  let id = '';
  session.on('NodeWorker.attachedToWorker', ({ params }) => (id ||= params.sessionId));
  await post('NodeWorker.enable', { waitForDebuggerOnStart: false });
  await until(() => id !== '', 'the inspector to see a worker');
  const message = { id: 1, method: 'Runtime.evaluate', params: { expression: 'for (;;);' } };
  await post('NodeWorker.sendMessageToWorker', { sessionId: id, message: JSON.stringify(message) });
  stage.topology.set(...pg1Leads);
  await until(() => !stage.workers.settled, 'it to hang');
  session.disconnect();
}

onEngines(
  'workers: one that hangs is ended by the watchdog, and its sessions with it',
  async (t, engine) => {
    const stage = await opened(t, engine);
    const clients = await traffic(stage, 10);
    await hang(stage);
    stage.topology.set(...pg1Leads);
    await until(() => stage.diary.count('workerLost') === 1, 'the watchdog');
    assert.equal(stage.diary.count('workerLost 10 it hung'), 1);
    await until(() => alive(clients).length === 0, 'the resets');
    const next = await connectPeer(stage.at(), hello);
    await next.untilBytes(hello.length);
    assert.ok(next.received.equals(hello));
  },
  alone,
);
