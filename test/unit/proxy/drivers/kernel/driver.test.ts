// The kernel driver (without a ring) on this thread's own loop, with system calls that fail when the test says so.

import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test, type TestContext } from 'node:test';
import { configSchema } from '../../../../../src/config/schema.ts';
import { systemClock } from '../../../../../src/core/clock.ts';
import { seededRandom } from '../../../../../src/core/random.ts';
import { createKernelDriver } from '../../../../../src/proxy/drivers/kernel/driver.ts';
import { Kernel } from '../../../../../src/proxy/drivers/kernel/kernel.ts';
import { loadLibc, type Libc } from '../../../../../src/proxy/drivers/kernel/libc.ts';
import { openListeners } from '../../../../../src/proxy/drivers/kernel/listener.ts';
import { Loop } from '../../../../../src/proxy/drivers/kernel/loop.ts';
import { createProxy, type Proxy } from '../../../../../src/proxy/proxy.ts';
import { startupPacket } from '../../../../support/tcp-packets.ts';
import { connectPeer, ScriptServer, until } from '../../../../support/tcp-peers.ts';
import { createDiary, FakeTopology, type Diary } from '../../../../support/tcp-proxy.ts';
import { pass } from '../../../../support/views.ts';

const hello = startupPacket();

/** Fails the next calls of a name with an errno. */
interface Faults {
  fail(call: 'send' | 'recv' | 'accept4' | 'socket', errno: number, times?: number): void;
}

function faulty(libc: Libc): Faults & { readonly libc: Libc } {
  const coming = new Map<string, { readonly errno: number; times: number }>();
  let forced: number | null = null;
  const through =
    <A extends unknown[]>(name: string, call: (...values: A) => number): ((...values: A) => number) =>
    (...values) => {
      const fault = coming.get(name);
      forced = null;
      if (fault === undefined || fault.times === 0) return call(...values);
      fault.times -= 1;
      forced = fault.errno;
      return -1;
    };
  return {
    fail: (call, errno, times = 1) => void coming.set(call, { errno, times }),
    libc: {
      ...libc,
      send: through('send', libc.send),
      recv: through('recv', libc.recv),
      accept4: through('accept4', libc.accept4),
      socket: through('socket', libc.socket),
      // This thread has other things to do than to wait.
      epoll_wait: (epoll, events, max) => libc.epoll_wait(epoll, events, max, 0),
      errno: () => forced ?? libc.errno(),
    },
  };
}

interface Rig extends Faults {
  readonly proxy: Proxy;
  readonly diary: Diary;
  readonly server: ScriptServer;
  readonly port: number;
}

async function open(t: TestContext): Promise<Rig> {
  const loaded = await loadLibc();
  assert.ok(loaded.ok, 'the kernel driver runs here');
  const { libc, fail } = faulty(loaded.libc);
  const server = await new ScriptServer().listen();
  const topology = new FakeTopology({ pg1: server.address });
  topology.set({ pg1: pass() }, 'pg1');
  const { frontends } = configSchema.parse({
    frontends: { app: { bind: '127.0.0.1:0', backend: 'app', hold: '100ms' } },
    backends: { app: { protocol: 'postgres', check: { user: 'probe' }, servers: { pg1: '127.0.0.1:1' } } },
  });
  const { bind, tcp } = frontends['app']!;
  const [listener] = openListeners(libc, { frontend: 'app', bind, tcp, inherited: [] }, 1);
  const wake = libc.eventfd(0, 0);
  const loop = new Loop(libc, wake, () => systemClock.now());
  loop.yielding = true;
  const kernel = new Kernel(libc, loop, null, new Uint8Array(64 * 1024));
  const diary = createDiary();
  const proxy = createProxy({
    frontends,
    topology,
    driver: createKernelDriver(kernel, new Map([['app', [listener!]]])),
    clock: loop.clock,
    random: seededRandom(1),
    observer: diary,
  });
  let over = false;
  const turn = (): void => {
    if (over) return;
    loop.run();
    setImmediate(turn);
  };
  await proxy.listen();
  setImmediate(turn);
  t.after(async () => {
    await proxy.close();
    over = true;
    for (const fd of [loop.fd, wake, listener!.fd]) libc.close(fd);
    await server.refuse();
  });
  return { proxy, diary, server, fail, port: listener!.address.port };
}

test('driver: a server that resets before it was sent the first bytes ends its session, and nothing waits for it', async t => {
  const { proxy, diary, fail, port } = await open(t);
  fail('send', constants.errno.ECONNRESET);
  const client = await connectPeer({ host: '127.0.0.1', port }, hello);
  await until(() => client.closed || client.ended, 'the client to hear of it');
  assert.equal(client.error, 'ECONNRESET');
  assert.equal(diary.count('sessionEnded pg1 server-reset'), 1);
  await proxy.drain(20_000);
  assert.equal(proxy.sessionsOf('app', 'pg1'), 0);
});

test('driver: a read that fails is a reset of that side', async t => {
  const { diary, server, fail, port } = await open(t);
  const client = await connectPeer({ host: '127.0.0.1', port }, hello);
  const peer = await server.peer(0);
  await peer.untilBytes(hello.length);
  fail('recv', constants.errno.ETIMEDOUT);
  peer.socket.write('x');
  await until(() => client.closed, 'the client to hear of it');
  await until(() => peer.closed, 'the server to hear of it');
  assert.equal(client.error, 'ECONNRESET');
  assert.equal(diary.count('sessionEnded pg1 server-reset'), 1);
});

test('driver: bytes that the kernel takes none of at first arrive all the same', async t => {
  const { server, fail, port } = await open(t);
  fail('send', constants.errno.EAGAIN);
  const client = await connectPeer({ host: '127.0.0.1', port }, hello);
  const peer = await server.peer(0);
  // The event that the socket takes bytes comes with the next that are acknowledged, or with the peer's own.
  peer.socket.write('anything');
  await client.untilBytes(8);
  await peer.untilBytes(hello.length);
  assert.ok(peer.received.equals(hello));
});

test('driver: a dial that gets no socket turns the client away, and the next is served', async t => {
  const { diary, fail, port } = await open(t);
  fail('socket', constants.errno.EMFILE);
  const client = await connectPeer({ host: '127.0.0.1', port }, hello);
  await until(() => client.ended, 'the answer');
  assert.deepEqual(diary.lines, ['accepted', 'connectFailed pg1 local', 'rejected descriptors']);
  await connectPeer({ host: '127.0.0.1', port }, hello);
  await until(() => diary.count('connected') === 1, 'the next');
});

test('driver: clients that are gone before they are accepted stop nobody, and errors are told with their count', async t => {
  const { diary, fail, port } = await open(t);
  fail('accept4', constants.errno.ECONNABORTED, 3);
  await connectPeer({ host: '127.0.0.1', port }, hello);
  await until(() => diary.count('connected') === 1, 'the client behind them');
  assert.equal(diary.count('acceptError'), 0);
  // Twice at once, since it gives up its spare descriptor for the client; then again after a rest.
  fail('accept4', constants.errno.ENFILE, 4);
  await connectPeer({ host: '127.0.0.1', port }, hello);
  await until(() => diary.count('connected') === 2, 'the client after the lack');
  assert.equal(diary.count('acceptError ENFILE'), 1);
});
