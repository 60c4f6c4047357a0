// What strangers and a poor machine may do to a listener: garbage, mutated packets, no descriptors left.
// The proxy may refuse; it may not crash, leak, or let down the sessions it has.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { seededRandom, type Random } from '../../src/core/random.ts';
import { connectPeer, until } from '../support/tcp-peers.ts';
import { cancelPacket, directTls, gssRequest, sslRequest, startupPacket } from '../support/tcp-packets.ts';
import { openStage } from '../support/tcp-proxy.ts';
import { fail, pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const STREAMS = 10_000;
const AT_ONCE = 50;

/** Random bytes, or real packets with bytes flipped, cut off, repeated. */
function stream(random: Random): Buffer {
  const below = (n: number): number => Math.floor(random() * n);
  const seeds = [hello, sslRequest, gssRequest, cancelPacket(below(9), below(9)), directTls];
  if (random() < 0.3) return Buffer.from(Array.from({ length: below(200) }, () => below(256)));
  const parts = Array.from({ length: 1 + below(4) }, () => seeds[below(seeds.length)]!);
  const bytes = Buffer.concat(parts);
  for (let flips = below(4); flips > 0; flips -= 1) bytes[below(bytes.length)] = below(256);
  return random() < 0.3 ? bytes.subarray(0, below(bytes.length)) : bytes;
}

/** Sends in one or two pieces, then ends or resets, at once or after a while; resolves when the connection is gone. */
function attack(port: number, bytes: Buffer, random: Random): Promise<void> {
  return new Promise(resolve => {
    const socket: Socket = connect({ port, host: '127.0.0.1' }, () => {
      const cut = Math.floor(random() * bytes.length);
      socket.write(bytes.subarray(0, cut));
      const finish = (): void => {
        if (random() < 0.3) socket.resetAndDestroy();
        else socket.end(bytes.subarray(cut));
      };
      if (random() < 0.5) finish();
      else setTimeout(finish, random() * 40);
    });
    socket.on('error', () => undefined); // refusals and resets are answers here
    socket.on('close', () => resolve());
    socket.resume();
  });
}

test('proxy: after close no socket, timer or listener of it is left', async t => {
  const counts = (): string => {
    const kinds = process.getActiveResourcesInfo().filter(kind => /TCP|Timeout/.test(kind));
    return kinds.sort().join();
  };
  const before = counts();
  const stage = await openStage(t, {
    frontends: { app: {}, reads: { route: 'replica', idle_timeout: '1h' } },
  });
  stage.topology.set({ pg1: pass(), pg2: fail() }, 'pg1');
  const clients = [await connectPeer(stage.at(), hello), await connectPeer(stage.at(), cancelPacket(1, 1))];
  clients.push(await connectPeer(stage.at('reads'), hello), await connectPeer(stage.at()));
  await until(() => stage.gauge().sessions === 1 && stage.gauge('reads').held === 1, 'one joined, one held');
  assert.notEqual(counts(), before);
  await stage.proxy.close();
  for (const { socket } of clients) socket.destroy();
  for (const server of Object.values(stage.servers)) await server.refuse();
  await until(() => counts() === before, `the resources of the beginning (${before}), now ${counts()}`);
});

test(`listener: ${STREAMS} random and mutated byte streams leave it sound and empty`, async t => {
  const stage = await openStage(t, { frontends: { app: { hold: '15ms', max_connections: 8 } } });
  for (const server of Object.values(stage.servers)) {
    server.onPeer = peer => peer.socket.on('data', () => peer.socket.end('bye'));
  }
  stage.topology.set({ pg1: pass(), pg2: passReplica() }, 'pg1');
  const { port } = stage.at();
  const random = seededRandom(20_260_101);
  let left = STREAMS;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      // The primary comes and goes meanwhile, so that every state of a client meets the garbage.
      if (left % 500 === 250) stage.topology.set({ pg1: fail(), pg2: passReplica() }, null);
      if (left % 500 === 0) stage.topology.set({ pg1: pass(), pg2: passReplica() }, 'pg1');
      await attack(port, stream(random), random);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await until(() => stage.gauge().connections === 0, 'the gauges to return to 0');
  const { held, sessions } = stage.gauge();
  assert.deepEqual([held, sessions, stage.proxy.sessionsOf('app', 'pg1')], [0, 0, 0]);
  const { diary } = stage;
  // A client that resets before it was accepted is nobody's: that is up to half of those that reset.
  assert.ok(diary.count('accepted') > STREAMS * 0.7, `${diary.count('accepted')} accepted`);
  const tally = [
    'sessionEnded',
    'rejected bad-first-bytes',
    'rejected max-connections',
    'rejected hold-timeout',
    'held',
  ].map(line => `${line}: ${diary.count(line)}`);
  t.diagnostic(tally.join(', '));
  for (const line of tally) assert.doesNotMatch(line, /: \d$/, 'every kind of end must have been met');
  assert.equal(diary.count('held'), diary.count('holdEnded'));
  assert.equal(diary.count('connected') >= diary.count('sessionEnded'), true);
  // And it still serves.
  const client = await connectPeer(stage.at(), hello);
  await until(() => client.ended, 'the answer of the server');
  assert.equal(client.received.toString(), 'bye');
});

test('listener: without file descriptors newcomers are turned away and sessions go on', async t => {
  const script = fileURLToPath(new URL('../support/tcp-proxy-child.js', import.meta.url));
  const child = spawn('sh', ['-c', 'ulimit -n 200; exec "$0" "$1"', process.execPath, script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let exited = false;
  child.once('exit', () => (exited = true));
  const ports: number[] = [];
  createInterface({ input: child.stdout }).on('line', line => ports.push(Number(line)));
  await until(() => ports.length === 1 || exited, 'the child to listen');
  const address = { host: '127.0.0.1', port: ports[0] ?? 0 };
  const session = await connectPeer(address, hello);
  await session.untilBytes(hello.length);
  t.after(() => session.socket.destroy());
  // Each further session needs three descriptors in the child (it plays the server as well): 200 are soon gone.
  const crowd = await Promise.all(Array.from({ length: 120 }, () => connectPeer(address, hello)));
  await until(
    () => crowd.every(peer => peer.bytes > 0 || peer.closed || peer.ended),
    'every newcomer to be served or not',
  );
  const turnedAway = crowd.filter(({ received }) => !received.equals(hello));
  assert.ok(turnedAway.length > 40, `only ${turnedAway.length} of 120 were turned away`);
  session.socket.write('still here?');
  await session.untilBytes(hello.length + 11);
  assert.equal(session.received.subarray(hello.length).toString(), 'still here?');
  for (const { socket } of crowd) socket.destroy();
  let answered = false;
  while (!answered && !exited) {
    const again = await connectPeer(address, hello);
    await until(() => again.bytes > 0 || again.closed || again.ended, 'an answer');
    answered = again.received.equals(hello);
    again.socket.destroy();
  }
  assert.equal(exited, false, 'the child must not have died');
});
