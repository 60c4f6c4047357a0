// What strangers and a poor machine may do to a listener: garbage, mutated packets, no descriptors left.
// The proxy may refuse; it may not crash, leak, or let down the sessions it has.

import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { type Address } from '../../src/core/address.ts';
import { seededRandom, type Random } from '../../src/core/random.ts';
import { connectPeer, ScriptServer, until, untilSteady } from '../support/tcp-peers.ts';
import { cancelPacket, directTls, gssRequest, sslRequest, startupPacket } from '../support/tcp-packets.ts';
import { startProxyChild } from '../support/tcp-child.ts';
import { oneLoop, onEngines, openStage } from '../support/tcp-proxy.ts';
import { fail, pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const STREAMS = { net: 10_000, kernel: 3_000 };
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
function attack({ host, port }: Address, bytes: Buffer, random: Random): Promise<void> {
  return new Promise(resolve => {
    const socket: Socket = connect({ port, host }, () => {
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

onEngines(
  'listener: random and mutated byte streams by the thousand leave it sound and empty',
  async (t, engine) => {
    const streams = engine === 'net' ? STREAMS.net : STREAMS.kernel;
    const stage = await openStage(t, { engine, frontends: { app: { hold: '15ms', max_connections: 8 } } });
    for (const server of Object.values(stage.servers)) {
      server.onPeer = peer => peer.socket.on('data', () => peer.socket.end('bye'));
    }
    stage.topology.set({ pg1: pass(), pg2: passReplica() }, 'pg1');
    const address = stage.at();
    const random = seededRandom(20_260_101);
    let left = streams;
    const worker = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        // The primary comes and goes meanwhile, so that every state of a client meets the garbage.
        if (left % 500 === 250) stage.topology.set({ pg1: fail(), pg2: passReplica() }, null);
        if (left % 500 === 0) stage.topology.set({ pg1: pass(), pg2: passReplica() }, 'pg1');
        await attack(address, stream(random), random);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    await until(() => stage.gauge().connections === 0, 'the gauges to return to 0');
    await stage.settled();
    const { held, sessions } = stage.gauge();
    assert.deepEqual([held, sessions, stage.proxy.sessionsOf('app', 'pg1')], [0, 0, 0]);
    const { diary } = stage;
    // A client that resets before it was accepted is nobody's: that is up to half of those that reset.
    assert.ok(diary.count('accepted') > streams * 0.7, `${diary.count('accepted')} accepted`);
    const tally = [
      'sessionEnded',
      'rejected bad-first-bytes',
      'rejected max-connections',
      'rejected hold-timeout',
      'held',
    ].map(line => `${line}: ${diary.count(line)}`);
    t.diagnostic(tally.join(', '));
    for (const line of tally) assert.doesNotMatch(line, /: 0$/, 'every kind of end must have been met');
    await until(() => diary.count('held') === diary.count('holdEnded'), 'as many ends of waits as waits');
    assert.equal(diary.count('connected') >= diary.count('sessionEnded'), true);
    assert.equal(diary.count('workerLost'), 0);
    // And it still serves.
    const client = await connectPeer(stage.at(), hello);
    await until(() => client.ended, 'the answer of the server');
    assert.equal(client.received.toString(), 'bye');
  },
);

onEngines(
  'listener: without file descriptors newcomers are turned away and sessions go on',
  async (t, engine) => {
    const server = await new ScriptServer().listen(0, '127.0.0.1');
    t.after(() => server.refuse());
    server.onPeer = ({ socket }) => {
      socket.on('error', () => socket.destroy());
      socket.pipe(socket);
    };
    // Each session needs two descriptors: 120 are soon gone.
    const child = await startProxyChild(t, { engine, descriptors: 120, server: server.address.port });
    const session = await connectPeer(child.address, hello);
    await session.untilBytes(hello.length);
    const crowd = await Promise.all(Array.from({ length: 120 }, () => connectPeer(child.address, hello)));
    await until(
      () => crowd.every(peer => peer.bytes > 0 || peer.closed || peer.ended),
      'every newcomer to be served or not',
    );
    const turnedAway = crowd.filter(({ received }) => !received.equals(hello));
    assert.ok(turnedAway.length > 40, `only ${turnedAway.length} of 120 were turned away`);
    session.socket.write('still here?');
    await session.untilBytes(hello.length + 11);
    assert.equal(session.received.subarray(hello.length).toString(), 'still here?');
    // libuv closes such clients without a word; the kernel driver sees and tells it, or the dial that fails does.
    if (engine !== 'net') {
      const told = async (): Promise<boolean> => {
        const { counts } = await child.report();
        return 'acceptError EMFILE' in counts || 'rejected descriptors' in counts;
      };
      while (!(await told())) assert.ok(child.alive());
    }
    for (const { socket } of crowd) socket.destroy();
    let answered = false;
    while (!answered && child.alive()) {
      const again = await connectPeer(child.address, hello);
      await until(() => again.bytes > 0 || again.closed || again.ended, 'an answer');
      answered = again.received.equals(hello);
      again.socket.destroy();
    }
    assert.ok(child.alive(), 'the child must not have died');
    session.socket.destroy();
    const gauge = async (): Promise<number> => (await child.report()).connections;
    for (let left = await gauge(); left > 0; left = await gauge()) assert.ok(child.alive());
    assert.doesNotMatch(Object.keys((await child.report()).counts).join(), /workerLost/);
  },
  oneLoop,
);

onEngines(
  'listener: clients beyond the last descriptor are counted and closed, and all is well again after',
  async (t, engine) => {
    const child = await startProxyChild(t, { engine, descriptors: 120, server: null });
    const crowd = await Promise.all(Array.from({ length: 200 }, () => connectPeer(child.address, hello)));
    await until(() => crowd.some(peer => peer.closed || peer.ended), 'one to be turned away');
    await untilSteady(() => crowd.filter(peer => peer.closed || peer.ended).length);
    const held = crowd.filter(peer => !peer.closed && !peer.ended).length;
    assert.ok(held > 40 && held < 120, `${held} are held`);
    assert.equal((await child.report()).held, held);
    const told = async (): Promise<number> => (await child.report()).counts['acceptError EMFILE'] ?? 0;
    while ((await told()) === 0) assert.ok(child.alive());
    assert.equal(await told(), 1);
    for (const { socket } of crowd) socket.destroy();
    while ((await child.report()).connections > 0) assert.ok(child.alive());
    const late = await connectPeer(child.address, hello);
    while ((await child.report()).held !== 1) assert.ok(child.alive());
    assert.equal(late.ended || late.closed, false);
  },
  engine => engine !== 'net' && engine.workers === 1,
);
