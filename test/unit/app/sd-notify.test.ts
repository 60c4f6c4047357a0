// What systemd is told, on a real datagram socket with an abstract name; and when it isn't.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createNotifier, encodeUnixAddress } from '../../../src/app/sd-notify.ts';
import * as linux from '../../../src/proxy/drivers/kernel/libc.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { silentLogger } from '../../../src/core/logger.ts';

async function create(t: TestContext, env: NodeJS.ProcessEnv = {}, isSuccessor = false) {
  const loaded = await linux.loadLibc();
  assert.ok(loaded.ok, 'koffi is there');
  const { libc } = loaded;
  const path = `@pointsman-test-${process.pid}-${performance.now()}`;
  const address = encodeUnixAddress(path);
  const fd = libc.socket(linux.AF_UNIX, linux.SOCK_DGRAM | linux.SOCK_CLOEXEC, 0);
  assert.ok(address !== null && libc.bind(fd, address, address.length) === 0);
  t.after(() => void libc.close(fd));
  const clock = new FakeClock();
  const deps = { pid: 7, isSuccessor, clock, log: silentLogger };
  const notifier = await createNotifier({ env: { NOTIFY_SOCKET: path, ...env }, ...deps });
  const heard = (): string | null => {
    const buffer = Buffer.alloc(1000);
    const size = libc.recv(fd, buffer, buffer.length, linux.MSG_DONTWAIT);
    return size > 0 ? buffer.toString('utf8', 0, size) : null;
  };
  return { notifier, clock, heard };
}

test('notify: a message is one datagram, and a value one line', async t => {
  const { notifier, heard } = await create(t);
  notifier.ready('serving\napp');
  assert.equal(heard(), 'READY=1\nSTATUS=serving app');
  notifier.stopping(30_000);
  assert.match(heard() ?? '', /^STOPPING=1\n.*\nEXTEND_TIMEOUT_USEC=35000000$/);
  notifier.succeeded(8);
  assert.match(heard() ?? '', /^MAINPID=8\n/);
  assert.equal(heard(), null);
});

test('notify: signs of life come at half the interval, while there is life', async t => {
  const { notifier, clock, heard } = await create(t, { WATCHDOG_USEC: '2000000', WATCHDOG_PID: '7' });
  let isAlive = true;
  notifier.watch(() => isAlive);
  assert.equal(heard(), 'WATCHDOG=1');
  await clock.advance(999);
  assert.equal(heard(), null);
  await clock.advance(1);
  assert.equal(heard(), 'WATCHDOG=1');
  isAlive = false;
  await clock.advance(5000);
  assert.equal(heard(), null);
  isAlive = true;
  await clock.advance(1000);
  assert.equal(heard(), 'WATCHDOG=1');
  notifier.end();
  await clock.advance(5000);
  assert.equal(heard(), null);
});

test('notify: a watchdog of another process is none of ours, unless we succeed it', async t => {
  const env = { WATCHDOG_USEC: '2000000', WATCHDOG_PID: '6' };
  const stranger = await create(t, env);
  stranger.notifier.watch(() => true);
  assert.equal(stranger.heard(), null);
  const successor = await create(t, env, true);
  successor.notifier.watch(() => true);
  assert.equal(successor.heard(), 'WATCHDOG=1');
  successor.notifier.end();
});

test('notify: without a socket nothing is told', async () => {
  const deps = { pid: 7, isSuccessor: false, clock: new FakeClock(), log: silentLogger };
  const notifier = await createNotifier({ env: { WATCHDOG_USEC: '1' }, ...deps });
  notifier.ready('');
  notifier.watch(() => assert.fail('nobody asks'));
});

test('notify: an address too long for a socket is none', () => {
  assert.equal(encodeUnixAddress('x'.repeat(108)), null);
  assert.deepEqual([...(encodeUnixAddress('/a') ?? [])], [1, 0, 47, 97, 0]);
  assert.deepEqual([...(encodeUnixAddress('@a') ?? [])], [1, 0, 0, 97]);
});
