// What clients of each protocol see when there is no server for them: on real sockets, on every engine, and with the
// clients that people use.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import { createConnection } from 'mysql2/promise';
import { type Protocol } from '../../src/config/schema.ts';
import { startedMariadb } from '../support/mariadb.ts';
import { beginPeer, connectPeer, until, type Peer } from '../support/tcp-peers.ts';
import { engines, oneLoop, onDrivers, openStage, type Engine, type Stage } from '../support/tcp-proxy.ts';
import { fail, pass, passTcp } from '../support/views.ts';

const nobody = { pg1: fail(), pg2: fail() };

const open = (
  t: TestContext,
  engine: Engine,
  protocol: Protocol,
  frontend: Readonly<Record<string, unknown>>,
): Promise<Stage> =>
  openStage(t, { engine, frontends: { app: frontend }, initial: [nobody, null], backend: { protocol } });

/** Errno, SQLSTATE and message of an ERR packet. */
function readErrPacket(bytes: Buffer): readonly [errno: number, state: string, message: string] {
  assert.deepEqual([bytes.readUIntLE(0, 3), bytes[3], bytes[4]], [bytes.length - 4, 0, 0xff]);
  return [bytes.readUInt16LE(5), bytes.subarray(7, 13).toString(), bytes.subarray(13).toString()];
}

const ended = (client: Peer): Promise<void> =>
  until(() => client.ended && client.error === null, 'the answer and the end, without a reset');

onDrivers(
  'refusal: a mysql client reads why in place of the greeting, having said nothing',
  async (t, engine) => {
    const stage = await open(t, engine, 'mysql', { hold: '50ms' });
    const client = await connectPeer(stage.at());
    await ended(client);
    const [errno, state, message] = readErrPacket(client.received);
    assert.deepEqual([errno, state], [1040, '#08004']);
    assert.match(message, /^pointsman: no primary in backend app for \d+ m?s$/);
    // What it says too late is read and dropped, and costs it nothing.
    client.socket.write(Buffer.alloc(50_000));
    client.socket.end();
    await until(() => client.closed && stage.gauge().connections === 0, 'the close');
    assert.equal(client.error, null);
    await until(() => stage.diary.count('rejected hold-timeout') === 1, 'the notice');
  },
);

onDrivers(
  'refusal: a mysql client over the limit is told so, one that leaves the hold is noticed',
  async (t, engine) => {
    const stage = await open(t, engine, 'mysql', { max_connections: 1 });
    const held = await connectPeer(stage.at());
    await until(() => stage.gauge().held === 1, 'one in the hold');
    const second = await connectPeer(stage.at());
    await ended(second);
    assert.match(readErrPacket(second.received)[2], /its 1 connections \(max_connections\)$/);
    held.socket.end();
    await until(() => stage.gauge().held === 0, 'it to be noticed');
    await until(() => stage.diary.count('holdEnded left') === 1, 'the notice');
  },
);

for (const [protocol, question, answer] of [
  ['redis', '*1\r\n$4\r\nPING\r\n', /^-LOADING pointsman: no primary in backend app[^\r\n]*\r\n$/],
  ['http', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 503 .*\r\n\r\n\{"error":"no-server",.*\}\n$/s],
] as const) {
  onDrivers(
    `refusal: a ${protocol} client is told when it asks, and not before`,
    async (t, engine) => {
      const stage = await open(t, engine, protocol, { hold: 0 });
      const client = await connectPeer(stage.at());
      await until(() => stage.diary.count('accepted') === 1, 'it to be accepted');
      assert.equal(client.bytes, 0);
      client.socket.write(question);
      await ended(client);
      assert.match(client.received.toString(), answer);
      client.socket.write(question.repeat(100));
      client.socket.end();
      await until(() => client.closed && stage.gauge().connections === 0, 'the close');
      assert.equal(client.error, null);
    },
    oneLoop,
  );

  onDrivers(
    `refusal: a ${protocol} client that asked while it waited is told when its wait ends`,
    async (t, engine) => {
      const stage = await open(t, engine, protocol, { hold: '10m' });
      const asking = await connectPeer(stage.at(), Buffer.from(question));
      const silent = await connectPeer(stage.at());
      // An HTTP client that says nothing isn't routed yet.
      const held = protocol === 'redis' ? 2 : 1;
      await until(() => stage.gauge().held === held && stage.gauge().connections === 2, 'both to be there');
      const drained = stage.proxy.drain(300);
      await ended(asking);
      assert.match(
        asking.received.toString(),
        protocol === 'redis' ? /^-LOADING .*shutting down/ : /"shutdown"/,
      );
      await drained;
      await until(() => silent.closed || silent.ended, 'the silent one to be closed');
      assert.equal(silent.bytes, 0);
    },
    oneLoop,
  );
}

onDrivers(
  'refusal: an http client over the limit is told 503 with the reason',
  async (t, engine) => {
    const stage = await open(t, engine, 'http', { route: 'any', max_connections: 1 });
    await connectPeer(stage.at());
    await until(() => stage.gauge().connections === 1, 'one to be there');
    const { host, port } = stage.at();
    const response = await fetch(`http://${host}:${port}/`, { method: 'POST', body: 'x'.repeat(100_000) });
    assert.equal(response.status, 503);
    assert.deepEqual(await response.json(), {
      error: 'max-connections',
      message: 'pointsman: frontend app has its 1 connections (max_connections)',
    });
  },
  oneLoop,
);

onDrivers(
  'refusal: a client of an unknown protocol is closed without a word',
  async (t, engine) => {
    const stage = await open(t, engine, 'tcp', { hold: 0 });
    const client = beginPeer(stage.at());
    await until(() => client.closed || client.ended, 'the close');
    assert.equal(client.bytes, 0);
  },
  oneLoop,
);

/** What a program prints on both streams. */
const run = (program: string, ...args: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(program, args, { timeout: 30_000 }, (thrown, stdout, stderr) => {
      if (thrown?.code === 'ENOENT') reject(thrown);
      else resolve(stdout + stderr);
    });
  });

test('refusal: mysql, mysql2 and sysbench show it', async t => {
  const stage = await open(t, 'net', 'mysql', { hold: 0 });
  const { host, port } = stage.at();
  const sentence = /pointsman: no primary in backend app for \d+ m?s/;
  const args = [`-h${host}`, `-P${port}`, '-uapp', '-psecret', '-e', 'select 1'];
  const shown = await run('mysql', '--no-defaults', '--skip-ssl', ...args);
  assert.match(shown, /^ERROR 1040 \(08004\): /);
  assert.match(shown, sentence);
  // A client that wants TLS doesn't trust what it hears before that, and says so; it shows it all the same.
  assert.match(await run('mysql', '--no-defaults', ...args), sentence);
  await assert.rejects(createConnection({ host, port, user: 'app', password: 'secret' }), {
    code: 'ER_CON_COUNT_ERROR',
    errno: 1040,
    sqlState: '08004',
    message: sentence,
  });
  const options = [`--mysql-host=${host}`, `--mysql-port=${port}`, '--mysql-user=app', '--time=1'];
  assert.match(
    await run('sysbench', 'oltp_read_only', ...options, 'run'),
    /error 1040: pointsman: no primary/,
  );
});

test('refusal: redis-cli and redis-benchmark show it', async t => {
  const stage = await open(t, 'net', 'redis', { hold: 0 });
  const { host, port } = stage.at();
  const at = ['-h', host, '-p', String(port)];
  assert.match(await run('redis-cli', ...at, 'get', 'x'), /LOADING pointsman: no primary in backend app/);
  assert.match(await run('redis-cli', '-3', ...at, 'get', 'x'), /LOADING pointsman: no primary/);
  assert.match(
    await run('redis-benchmark', ...at, '-n', '1', '-c', '1', '-t', 'get'),
    /LOADING pointsman: no primary/,
  );
});

test('refusal: curl shows it', async t => {
  const stage = await open(t, 'net', 'http', { hold: 0, route: 'any' });
  const { host, port } = stage.at();
  const shown = await run('curl', '-si', `http://${host}:${port}/`);
  assert.match(shown, /^HTTP\/1\.1 503 Service Unavailable\r\n/);
  assert.match(shown, /\r\nRetry-After: 1\r\n/);
  assert.match(
    shown,
    /\r\n\r\n\{"error":"no-server","message":"pointsman: no server in backend app for .*"\}\n$/,
  );
});

onDrivers(
  'mysql: a server’s greeting reaches the client as it is, and lets the next in the hold go',
  async (t, engine) => {
    const greeting = Buffer.from('not even a real one');
    const stage = await open(t, engine, 'mysql', { hold: '10m' });
    stage.servers['pg1']!.onPeer = ({ socket }) => {
      socket.on('error', () => undefined); // clients leave as they like
      socket.write(greeting);
    };
    const clients = await Promise.all(Array.from({ length: 40 }, () => connectPeer(stage.at())));
    await until(() => stage.gauge().held === 40, 'all in the hold');
    stage.topology.set({ pg1: pass(), pg2: fail() }, 'pg1');
    await Promise.all(clients.map(client => client.untilBytes(greeting.length)));
    assert.ok(clients.every(({ received }) => received.equals(greeting)));
  },
);

onDrivers(
  'mysql: while a server greets nobody, held clients go to it a few at a time',
  async (t, engine) => {
    const stage = await open(t, engine, 'mysql', { hold: '10m' });
    await Promise.all(Array.from({ length: 100 }, () => connectPeer(stage.at())));
    await until(() => stage.gauge().held === 100, 'all in the hold');
    const began = performance.now();
    stage.topology.set({ pg1: pass(), pg2: fail() }, 'pg1');
    await until(() => stage.gauge().sessions === 100, 'all to be joined');
    // 4 at once, then 2 every 10 ms, and 4 more whenever 100 ms are over.
    assert.ok(performance.now() - began > 200, `${performance.now() - began} ms`);
  },
  oneLoop,
);

test('http: held requests go at once, however slowly a server answers', async t => {
  const slow = createServer(socket => socket.on('error', () => undefined)); // never says a word
  await new Promise<void>(resolve => slow.listen(0, '127.0.0.1', resolve));
  t.after(() => slow.close());
  const stage = await openStage(t, {
    frontends: { app: { route: 'any' } },
    initial: [nobody, null],
    backend: { protocol: 'http' },
    addresses: { pg1: { host: '127.0.0.1', port: (slow.address() as { port: number }).port } },
  });
  await Promise.all(
    Array.from({ length: 100 }, () => connectPeer(stage.at(), Buffer.from('GET / HTTP/1.1\r\n\r\n'))),
  );
  await until(() => stage.gauge().held === 100, 'all in the hold');
  stage.topology.set({ pg1: passTcp(), pg2: fail() }, null);
  await until(() => stage.gauge().sessions === 100, 'all to be joined');
});

test('mysql: greeting and login of a real server pass through as they are, before and after a wait', async t => {
  const node = await startedMariadb(t);
  const address = { host: node.host, port: node.port };
  for (const [name, engine] of engines.filter(([, one]) => oneLoop(one))) {
    const stage = await openStage(t, {
      engine,
      frontends: { app: { hold: '10m' } },
      initial: [nobody, null],
      backend: { protocol: 'mysql' },
      addresses: { pg1: address },
    });
    const { host, port } = stage.at();
    const login = (): Promise<string> =>
      node.connect({ host, port }).then(async connection => {
        const [rows] = await connection.query('select repeat("x", 1000000) as x, current_user() as who');
        const [{ x, who } = { x: '', who: '' }] = rows as { x: string; who: string }[];
        await connection.end();
        return `${who} ${x.length}`;
      });
    const held = Promise.all(Array.from({ length: 20 }, login));
    await until(() => stage.gauge().held === 20, 'all in the hold');
    stage.topology.set({ pg1: pass(), pg2: fail() }, 'pg1');
    assert.deepEqual([...new Set(await held)], ['app@% 1000000'], name);
    const [direct, relayed] = [await connectPeer(address), await connectPeer(stage.at())];
    await Promise.all([direct.untilBytes(90), relayed.untilBytes(90)]);
    assert.equal(withoutChance(relayed.received), withoutChance(direct.received), name);
    direct.socket.destroy();
    relayed.socket.destroy();
  }
});

/** A greeting (protocol version 10) without the thread's number and the two halves of the scramble. */
function withoutChance(greeting: Buffer): string {
  const thread = greeting.indexOf(0, 5) + 1;
  const second = thread + 4 + 8 + 1 + 18;
  return greeting
    .fill(0, thread, thread + 12)
    .fill(0, second, second + 12)
    .toString('hex');
}
