// Restarts of the built program, real servers behind it: successors that take over under new connections, on both drivers; what
// fails and changes nothing; systemd's sockets, and what systemd is told. The sockets alone are integration/proxy-handover's.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Client } from 'pg';
import { type StateJson } from '../../src/admin/api.ts';
import { encodeUnixAddress } from '../../src/app/sd-notify.ts';
import { embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import {
  AF_UNIX,
  loadLibc,
  MSG_DONTWAIT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
} from '../../src/proxy/drivers/kernel/libc.ts';
import { startNginx, type Nginx } from '../support/nginx.ts';
import { pointsman } from '../support/pointsman.ts';
import { Chain } from '../support/succession.ts';
import { sleep, until } from '../support/wait.ts';

const TOKEN = 'the-token-of-this-test';
const RESTARTS = 8;
const CLIENTS = 6;
const engines = [
  { driver: 'net' },
  { driver: 'kernel', workers: 1 },
  { driver: 'kernel', workers: 3 },
  { driver: 'kernel', workers: 2, io: 'epoll' },
];

let nginx: Nginx;
let pg1: PostgresNode;
let ports: { admin: number; web: number; rw: number };

before(async () => {
  nginx = await startNginx(Buffer.from('x'));
  pg1 = await PostgresNode.create({ name: 'pg1', binaries: embeddedBinaries() });
  await pg1.start();
  ports = { admin: await freePort(), web: await freePort(), rw: await freePort() };
});

after(async () => {
  await pg1.dispose();
  await nginx.close();
});

const at = (port: number): string => `127.0.0.1:${port}`;

function config(engine: object, keys: object = {}) {
  return {
    admin: { bind: at(ports.admin), token: TOKEN },
    engine,
    drain_timeout: '30m',
    frontends: {
      web: { bind: at(ports.web), backend: 'web', route: 'any' },
      rw: { bind: at(ports.rw), backend: 'app', route: 'primary' },
    },
    backends: {
      web: {
        protocol: 'tcp',
        check: { interval: '200ms', timeout: '20s' },
        servers: { nginx: at(nginx.address.port) },
      },
      app: {
        protocol: 'postgres',
        check: { user: 'postgres', interval: '200ms', timeout: '20s' },
        servers: { pg1: at(pg1.port) },
      },
    },
    ...keys,
  };
}

/** One request on a connection of its own; what went wrong, or null. */
function ask(port: number): Promise<string | null> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
    let text = '';
    socket.on('data', chunk => (text += String(chunk)));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('close', () => resolve(text.endsWith('hello\n') ? null : `answered ${JSON.stringify(text)}`));
  });
}

/** New connections until it is told to stop. */
function load(port: number) {
  let running = true;
  let served = 0;
  let slowestMs = 0;
  const failures: string[] = [];
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (running) {
      const startedAt = performance.now();
      const failure = await ask(port);
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
      if (failure === null) served += 1;
      else failures.push(failure);
      await sleep(5);
    }
  });
  return {
    served: () => served,
    async stop() {
      running = false;
      await Promise.all(clients);
      return { served, slowestMs, failures };
    },
  };
}

async function state(): Promise<StateJson> {
  const answer = await fetch(`http://${at(ports.admin)}/api/v1/state`, { headers: { connection: 'close' } });
  return (await answer.json()) as StateJson;
}

/** Primary and epoch of the database. */
async function choice() {
  const app = (await state()).backends.find(({ name }) => name === 'app');
  return { primary: app?.primary, epoch: app?.epoch };
}

test(`restart: ${RESTARTS} successors, of every engine, refuse nobody; sessions and state go on`, async t => {
  const chain = new Chain(t);
  chain.configure(config(engines[1]!));
  await chain.start();
  const session = new Client({ host: '127.0.0.1', port: ports.rw, user: 'postgres', database: 'postgres' });
  session.on('error', () => undefined); // it ends with the processes, after the test
  await session.connect();
  const before = await choice();
  assert.deepEqual(before, { primary: 'pg1', epoch: 1 });
  const first = chain.pid;
  const clients = load(ports.web);
  const startedAt = performance.now();
  for (let count = 1; count <= RESTARTS; count += 1) {
    chain.configure(config(engines[count % engines.length]!));
    chain.signal('SIGUSR2');
    await until(`successor ${count}`, () => chain.count('has taken over') >= count, { deadlineMs: 120_000 });
    const served = clients.served();
    await until('the successor to serve', () => clients.served() > served + 2 * CLIENTS);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const { served, failures, slowestMs } = await clients.stop();
  t.diagnostic(`${served} connections in ${seconds.toFixed(1)} s, the slowest ${slowestMs.toFixed(0)} ms`);
  assert.deepEqual(failures, []);
  assert.notEqual(chain.pid, first);
  assert.deepEqual(await choice(), before);
  const held = (await state()).frontends.find(({ name }) => name === 'web')?.held;
  assert.equal(held, 0);
  // Through the process that was the first, twenty restarts ago.
  assert.deepEqual(chain.lines('session ended'), []);
  assert.equal((await session.query('SELECT 1 AS one')).rows[0].one, 1);
  assert.equal(chain.count('pointsman ends'), RESTARTS - 1);
  await session.end();
});

test('restart: a successor that fails changes nothing, and the API says why', async t => {
  const chain = new Chain(t);
  chain.configure(config(engines[1]!));
  await chain.start();
  const { pid } = chain;
  const restart = () =>
    pointsman(['restart', '--url', `http://${at(ports.admin)}`], { POINTSMAN_TOKEN: TOKEN });
  chain.configure({ ...config(engines[1]!), frontends: { web: { bind: at(ports.web), backend: 'nobody' } } });
  const invalid = await restart();
  assert.equal(invalid.code, 1);
  assert.match(invalid.stderr, /goes on: its configuration is invalid: .*pointsman\.yaml:\d+:\d+ .*nobody/);
  // One that has the state file already when it fails.
  const blocker = createServer().listen(0, '127.0.0.1');
  t.after(() => blocker.close());
  await once(blocker, 'listening');
  const { port } = blocker.address() as AddressInfo;
  const more = { taken: { bind: at(port), backend: 'web', route: 'any' } };
  const { frontends } = config({});
  chain.configure({ ...config(engines[0]!), frontends: { ...frontends, ...more } });
  const blocked = await restart();
  assert.equal(blocked.code, 1);
  assert.match(blocked.stderr, /goes on: frontend taken: cannot listen on .*EADDRINUSE/);
  await until('the state file to be its own again', () => chain.pid === pid);
  assert.equal(await ask(ports.web), null);
  assert.equal(chain.count('restart failed, this process goes on'), 2);
  chain.configure(config(engines[0]!));
  const good = await restart();
  assert.equal(good.code, 0, good.stderr);
  assert.notEqual(chain.pid, pid);
  assert.match(good.stdout, new RegExp(`process ${chain.pid} has taken over`));
});

test('restart: sessions of the one before end at drain_timeout', async t => {
  const chain = new Chain(t);
  chain.configure(config(engines[1]!, { drain_timeout: '700ms' }));
  await chain.start();
  const session = new Client({ host: '127.0.0.1', port: ports.rw, user: 'postgres', database: 'postgres' });
  let ended = false;
  session.on('error', () => undefined).on('end', () => (ended = true));
  await session.connect();
  chain.signal('SIGUSR2');
  await until('the successor', () => chain.count('has taken over') === 1, { deadlineMs: 120_000 });
  await until('the end of the session', () => ended);
  await until('its line in the log', () => chain.lines('session ended')[0]?.['reason'] === 'shutdown');
  await until('the end of the process', () => chain.count('pointsman ends') === 1);
  assert.deepEqual(await choice(), { primary: 'pg1', epoch: 1 });
});

for (const engine of [engines[0]!, engines[2]!]) {
  test(`systemd: behind its socket, stops and starts refuse nobody (${engine.driver})`, async t => {
    const chain = new Chain(t);
    chain.configure(config(engine));
    // The shell holds the socket as systemd does, and starts the program again when it has ended.
    const again = `while [ ! -e ${chain.directory}/enough ]; do sh -c 'LISTEN_PID=$$ exec ${chain.program.join(' ')}'; done`;
    const mark = Object.entries(process.env).flatMap(([key, value]) =>
      key.startsWith('POINTSMAN_') ? [`-E${key}=${value}`] : [],
    );
    const activate = [
      'systemd-socket-activate',
      '-l',
      at(ports.web),
      '--fdname',
      'web',
      ...mark,
      '/bin/sh',
      '-c',
      again,
    ];
    await chain.start({}, activate);
    // It starts the program for the first client.
    assert.equal(await until('an answer', async () => (await ask(ports.web)) === null), true);
    await chain.runs(1);
    const clients = load(ports.web);
    for (let stops = 1; stops <= 2; stops += 1) {
      chain.signal('SIGTERM');
      await until('the end', () => chain.count('pointsman ends') === stops);
      await chain.runs(stops + 1);
      const served = clients.served();
      await until('the next to serve', () => clients.served() > served + 2 * CLIENTS);
    }
    const { served, failures, slowestMs } = await clients.stop();
    t.diagnostic(`${served} connections, the slowest waited ${slowestMs.toFixed(0)} ms`);
    assert.deepEqual(failures, []);
    assert.equal(chain.count('closed'), 0);
    // The loop of the shell has to end with the program.
    writeFileSync(join(chain.directory, 'enough'), '');
  });
}

test('systemd: it is told of the start, a reload, the successor, and that we live', async t => {
  const chain = new Chain(t);
  const path = join(chain.directory, 'notify');
  const heard = await listen(path, t);
  chain.configure(config(engines[2]!));
  await chain.start({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '300000' });
  await until('READY', () => heard().some(text => /^READY=1\nSTATUS=serving web, rw$/.test(text)));
  await until('signs of life', () => heard().filter(text => text === 'WATCHDOG=1').length >= 3);
  chain.signal('SIGHUP');
  await until('RELOADING', () => heard().some(text => /^RELOADING=1\nMONOTONIC_USEC=\d+$/.test(text)));
  await until('READY again', () => heard().filter(text => text.startsWith('READY=1')).length === 2);
  chain.signal('SIGUSR2');
  const isThere = (): boolean => heard().filter(text => text.startsWith('READY=1')).length === 3;
  await until('the successor', isThere, { deadlineMs: 120_000 });
  const texts = heard();
  const named = texts.findIndex(text => text.startsWith(`MAINPID=${chain.pid}\n`));
  assert.ok(named >= 0 && named < texts.findLastIndex(text => text.startsWith('READY=1')), texts.join(' | '));
  const lives = heard().length;
  await until(
    'its signs of life',
    () =>
      heard()
        .slice(lives)
        .filter(text => text === 'WATCHDOG=1').length >= 3,
  );
  chain.signal('SIGTERM');
  await until('STOPPING', () =>
    heard().some(text => /^STOPPING=1\n.*\nEXTEND_TIMEOUT_USEC=1805000000$/.test(text)),
  );
  assert.equal(
    JSON.parse(readFileSync(join(chain.directory, 'state.json'), 'utf8')).backends.app.primary,
    'pg1',
  );
});

/** A datagram socket as systemd's; what has come so far. */
async function listen(path: string, t: { after(task: () => void): void }): Promise<() => readonly string[]> {
  const loaded = await loadLibc();
  assert.ok(loaded.ok, 'koffi is there');
  const { libc } = loaded;
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const address = encodeUnixAddress(path);
  assert.ok(fd !== -1 && address !== null && libc.bind(fd, address, address.length) === 0);
  const heard: string[] = [];
  const buffer = Buffer.alloc(4096);
  // All the time: its queue takes ten (net.unix.max_dgram_qlen), and what comes then is lost.
  const timer = setInterval(() => {
    for (let size = 1; size > 0;) {
      size = libc.recv(fd, buffer, buffer.length, MSG_DONTWAIT);
      if (size > 0) heard.push(buffer.toString('utf8', 0, size));
    }
  }, 10);
  t.after(() => {
    clearInterval(timer);
    libc.close(fd);
  });
  return () => heard;
}
