// Listening sockets that go from one proxy to the next, of the same and of other engines, under new connections: nobody is
// refused or reset, and what the first one has goes on. Processes, signals and the state are scenario/restart's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Address } from '../../src/core/address.ts';
import { connectPeer, until, type Peer } from '../support/tcp-peers.ts';
import { startupPacket } from '../support/tcp-packets.ts';
import { loadLibc } from '../../src/proxy/drivers/kernel/libc.ts';
import { type Inherited } from '../../src/proxy/driver.ts';
import { oneLoop, onEngines, openStage, type Engine, type Stage } from '../support/tcp-proxy.ts';
import { fail, pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const F_DUPFD = 0;

/** As another process gets them: descriptors of its own for the same sockets. */
async function handOver(stage: Stage): Promise<Inherited> {
  const loaded = await loadLibc();
  assert.ok(loaded.ok, 'koffi is there');
  const sockets = stage.proxy
    .listening()
    .map(({ name, fd }) => ({ name, fd: loaded.libc.fcntl(fd, F_DUPFD, 3) }));
  assert.ok(sockets.every(({ fd }) => fd > 2));
  return frontend => sockets.filter(({ name }) => name === frontend).map(({ fd }) => ({ fd, isKept: false }));
}

const listOf = (engine: Engine): number => (engine === 'net' ? 1 : engine.workers);

/** New connections, as many at once as given, until it is told to stop; those that were refused or reset. */
function load(stage: Stage, atOnce: number): { stop(): Promise<{ served: number; failed: string[] }> } {
  let running = true;
  let served = 0;
  const failed: string[] = [];
  const address = stage.at();
  const clients = Array.from({ length: atOnce }, async () => {
    while (running) {
      const peer = await connectPeer(address, hello);
      await until(() => peer.received.length > 0 || peer.error !== null || peer.closed, 'an answer');
      if (peer.received.length > 0) served += 1;
      else failed.push(peer.error ?? 'closed');
      peer.socket.destroy();
    }
  });
  return {
    async stop() {
      running = false;
      await Promise.all(clients);
      return { served, failed };
    },
  };
}

/** The servers of both: they greet from the first moment on. */
const addressesOf = ({ servers }: Stage): Readonly<Record<string, Address>> =>
  Object.fromEntries(Object.entries(servers).map(([name, { address }]) => [name, address]));

function greet(stage: Stage): void {
  for (const server of Object.values(stage.servers)) {
    server.onPeer = ({ socket }) => {
      socket.on('end', () => socket.end());
      socket.write('hello');
    };
  }
}

const leads = [{ pg1: pass(), pg2: passReplica() }, 'pg1'] as const;

const one: Engine = { workers: 1, io: 'io_uring' };
const three: Engine = { workers: 3, io: 'io_uring' };
const changes: readonly (readonly [string, Engine, Engine])[] = [
  ['from one socket to three workers, which share it', 'net', three],
  ['from three workers to one that accepts from all three sockets', three, { workers: 1, io: 'epoll' }],
  ['from three workers to node:net', three, 'net'],
  ['from one worker to another', one, one],
];

for (const [title, engine, next] of changes) {
  test(`handover: ${title}, nobody is refused or reset`, async t => {
    const first = await openStage(t, { engine, initial: leads });
    greet(first);
    const old = await connectPeer(first.at(), hello);
    await until(() => old.received.length > 0, 'a session with the first');
    const clients = load(first, 8);
    await until(() => first.diary.count('connected') > 30, 'traffic');
    assert.equal(first.proxy.listening().length, listOf(engine));
    const second = await openStage(t, {
      engine: next,
      initial: leads,
      inherited: await handOver(first),
      addresses: addressesOf(first),
    });
    assert.deepEqual(second.at(), first.at());
    assert.equal(second.proxy.listening().length, listOf(engine));
    const drained = first.proxy.drain(20_000, 'serve');
    const before = second.diary.count('connected');
    await until(() => second.diary.count('connected') > before + 100, 'traffic of the second');
    const { served, failed } = await clients.stop();
    assert.deepEqual(failed, []);
    assert.ok(served > 130, `${served}`);
    const server = await first.servers['pg1']!.peer(0);
    server.socket.write(' and on');
    await until(() => old.received.toString().endsWith(' and on'), 'the session to go on');
    old.socket.end();
    server.socket.end();
    await drained;
  });
}

onEngines(
  'handover: who waits for a server is served by the first when there is one again',
  async (t, engine) => {
    const first = await openStage(t, { engine, initial: [{ pg1: fail(), pg2: fail() }, null] });
    greet(first);
    const held: Peer = await connectPeer(first.at(), hello);
    await until(() => first.gauge().held === 1, 'one in the hold');
    const second = await openStage(t, {
      engine,
      initial: leads,
      inherited: await handOver(first),
      addresses: addressesOf(first),
    });
    const drained = first.proxy.drain(20_000, 'serve');
    await until(() => first.proxy.listening().length === 0, 'the first to let go');
    const late = await connectPeer(second.at(), hello);
    await until(() => late.received.length > 0, 'the second to serve');
    assert.equal(held.received.length, 0);
    first.topology.set({ pg1: pass(), pg2: passReplica() }, 'pg1');
    await until(() => held.received.length > 0, 'the held one to be served');
    held.socket.destroy();
    await drained;
    assert.equal(first.diary.count('rejected'), 0);
  },
  oneLoop,
);
