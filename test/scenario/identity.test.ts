// Who the client is, on real servers: PROXY headers between HAProxy and Pointsman both ways and to nginx, MariaDB's process
// list, and from a connection that PostgreSQL shows back to its client.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import pg from 'pg';
import { embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { accounts, MariadbNode } from '../support/mariadb.ts';
import { startNginx } from '../support/nginx.ts';
import { MAIN, runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { connectPeer } from '../support/tcp-peers.ts';
import { until } from '../support/wait.ts';

const HAPROXY = '/usr/sbin/haproxy';
const engines = ['net', 'kernel'] as const;

/** A real HAProxy with these sections; gone with the test. */
async function startHaproxy(t: TestContext, port: number, sections: string): Promise<void> {
  assert.ok(existsSync(HAPROXY), `${HAPROXY} is missing; run: apt-get install haproxy`);
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-haproxy-'));
  const file = join(directory, 'haproxy.cfg');
  const defaults = 'defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n';
  writeFileSync(file, `${defaults}${sections}\n`);
  const child = spawn('/usr/bin/setpriv', ['--pdeathsig', 'KILL', HAPROXY, '-db', '-f', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    rmSync(directory, { recursive: true, force: true });
  });
  await until('HAProxy to listen', async () => {
    assert.equal(child.exitCode, null, `haproxy ended: ${said}`);
    const peer = await connectPeer({ host: '127.0.0.1', port }).catch(() => null);
    peer?.socket.destroy();
    return peer !== null && peer.error === null;
  });
}

async function pointsman(t: TestContext, config: object): Promise<PointsmanProcess> {
  const running = await runPointsman(config);
  t.after(() => running.stop());
  return running;
}

/** What a connection from `from` gets for `words`: a line, or with `whole` all until its end. */
async function ask(
  from: string,
  port: number,
  words: string,
  whole = false,
): Promise<{ port: number; text: string }> {
  const socket = connect({ host: '127.0.0.1', port, localAddress: from });
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  socket.on('error', () => undefined); // the text tells
  await once(socket, 'connect');
  const own = socket.localPort ?? 0;
  socket.write(words);
  let ended = false;
  socket.on('close', () => (ended = true)).on('end', () => (ended = true));
  await until('an answer', () => ended || (!whole && text.includes('\n')));
  socket.destroy();
  return { port: own, text };
}

const sessionsOf = async (running: PointsmanProcess, query: string): Promise<Record<string, string>[]> => {
  const response = await fetch(`${running.admin}/api/v1/sessions?${query}`);
  return ((await response.json()) as { sessions: Record<string, string>[] }).sessions;
};

for (const engine of engines) {
  test(`${engine}: HAProxy announces its clients to Pointsman, by either version`, async t => {
    const echo = createServer(socket => {
      socket.on('data', () => socket.write('hello\n'));
      socket.on('error', () => undefined); // a client that leaves without a goodbye
    });
    await new Promise<void>(resolve => echo.listen(0, '127.0.0.1', resolve));
    t.after(() => echo.close());
    const bound = echo.address();
    assert.ok(bound !== null && typeof bound === 'object');
    const running = await pointsman(t, {
      engine: { driver: engine },
      frontends: {
        app: {
          bind: '127.0.0.1:0',
          backend: 'app',
          route: 'any',
          accept_proxy: { from: ['127.0.0.1'] },
          deny: ['127.0.0.66'],
          // HAProxy’s own checks name nobody: they come from itself.
          allow: ['127.0.0.0/16'],
        },
      },
      backends: { app: { protocol: 'tcp', servers: { echo: `127.0.0.1:${bound.port}` } } },
    });
    const { port } = running.frontend('app');
    const [v1, v2] = [await freePort(), await freePort()];
    await startHaproxy(
      t,
      v1,
      `listen one\n  bind 127.0.0.1:${v1}\n  server pointsman 127.0.0.1:${port} send-proxy check\nlisten two\n  bind 127.0.0.1:${v2}\n  server pointsman 127.0.0.1:${port} send-proxy-v2 check proxy-v2-options crc32c,unique-id\n`,
    );
    for (const at of [v1, v2]) {
      const { text: heard, port: own } = await ask('127.0.0.7', at, 'hi');
      assert.equal(heard, 'hello\n');
      await until('the log line of its end', () =>
        running.log().some(line => line['client'] === `127.0.0.7:${own}` && line['reason'] !== undefined),
      );
      const { text } = await ask('127.0.0.66', at, 'hi');
      assert.equal(text, '');
    }
    const refused = await until('both refusals in the log', () => {
      const lines = running.log().filter(line => line['reason'] === 'denied');
      return lines.length === 2 && lines;
    });
    assert.ok(refused.every(line => String(line['client']).startsWith('127.0.0.66:')));
    // HAProxy’s checks were welcome: nothing else was refused.
    assert.deepEqual(
      running
        .log()
        .filter(line => String(line['msg']).startsWith('client refused') && line['reason'] !== 'denied'),
      [],
    );
  });

  test(`${engine}: HAProxy and nginx hear of the client from Pointsman, by either version, and so do probes`, async t => {
    const nginx = await startNginx(Buffer.from('x'));
    t.after(() => nginx.close());
    const accepting = await freePort();
    await startHaproxy(
      t,
      accepting,
      `frontend hears\n  mode http\n  bind 127.0.0.1:${accepting} accept-proxy\n  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port]\\n"\n`,
    );
    const web = (port: number, version: string) => ({
      protocol: 'http',
      send_proxy: version,
      check: { path: '/', interval: '100ms' },
      servers: { web: `127.0.0.1:${port}` },
    });
    const frontend = (backend: string) => ({ bind: '127.0.0.1:0', backend, route: 'any' });
    const running = await pointsman(t, {
      engine: { driver: engine },
      frontends: { h1: frontend('h1'), h2: frontend('h2'), n1: frontend('n1'), n2: frontend('n2') },
      backends: {
        h1: web(accepting, 'v1'),
        h2: web(accepting, 'v2-crc32c'),
        n1: web(nginx.announced.port, 'v1'),
        n2: web(nginx.announced.port, 'v2'),
      },
    });
    for (const name of ['h1', 'h2', 'n1', 'n2']) {
      const { port, text } = await ask(
        '127.0.0.8',
        running.frontend(name).port,
        'GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
        true,
      );
      assert.match(text, /^HTTP\/1\.1 200/, name);
      assert.ok(text.includes(`127.0.0.8 ${port}`), `${name}: ${text}`);
    }
    const state = await running.state();
    assert.deepEqual(
      state.backends.map(({ servers }) => servers[0]?.health),
      ['up', 'up', 'up', 'up'],
    );
  });

  test(`${engine}: MariaDB shows the real client in its process list`, async t => {
    const node = await MariadbNode.create({ options: { proxy_protocol_networks: '127.0.0.1' } });
    t.after(() => node.dispose());
    await node.start();
    const running = await pointsman(t, {
      engine: { driver: engine },
      frontends: { app: { bind: '127.0.0.1:0', backend: 'app' } },
      backends: {
        app: {
          protocol: 'mysql',
          send_proxy: 'v2',
          check: { ...accounts.probe, interval: '100ms' },
          servers: { db: `127.0.0.1:${node.port}` },
        },
      },
    });
    const { port } = running.frontend('app');
    const stream = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.9' });
    const client = await createConnection({ ...accounts.root, stream });
    t.after(() => client.destroy());
    const [rows] = await client.query<RowDataPacket[]>(
      'select host from information_schema.processlist where id = connection_id()',
    );
    assert.equal(rows[0]?.['host'], `127.0.0.9:${stream.localPort}`);
    const [session] = await sessionsOf(running, 'client=127.0.0.9');
    assert.equal(session?.['client'], `127.0.0.9:${stream.localPort}`);
  });

  test(`${engine}: from a connection that PostgreSQL shows to its client, which is then closed`, async t => {
    const node = await PostgresNode.create({ name: 'pg1', binaries: embeddedBinaries() });
    t.after(() => node.dispose());
    await node.start();
    const running = await pointsman(t, {
      engine: { driver: engine },
      admin: { bind: '127.0.0.1:0', token: 'a-token-of-the-operator' },
      frontends: { app: { bind: '127.0.0.1:0', backend: 'app' } },
      backends: {
        app: {
          protocol: 'postgres',
          check: { user: 'postgres' },
          servers: { pg1: `127.0.0.1:${node.port}` },
        },
      },
    });
    const { port } = running.frontend('app');
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
    let lost = false;
    client.on('error', () => (lost = true));
    await client.connect();
    const dba = new pg.Client({ host: '127.0.0.1', port: node.port, user: 'postgres', database: 'postgres' });
    dba.on('error', () => undefined); // its server ends before it does
    await dba.connect();
    t.after(() => dba.end().catch(() => undefined)); // it may be gone with its server
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const seen = await dba.query<{ client_port: number }>(
      'select client_port from pg_stat_activity where pid = $1',
      [rows[0]?.pid],
    );
    const seenPort = String(seen.rows[0]?.client_port);
    const cli = (...args: readonly string[]) =>
      spawnSync(process.execPath, [MAIN, ...args, '--url', running.admin], {
        encoding: 'utf8',
        env: { ...process.env, POINTSMAN_TOKEN: 'a-token-of-the-operator' },
      });
    const shown = cli('sessions', '--server-port', seenPort);
    assert.equal(shown.status, 0, shown.stderr);
    const [, line = ''] = shown.stdout.split('\n');
    assert.match(line, new RegExp(`app/pg1 +127\\.0\\.0\\.1:${seenPort} `));
    const [id = '', shownClient = ''] = line.split(/ +/);
    const stream = (client as unknown as { connection: { stream: { localPort: number } } }).connection.stream;
    assert.equal(shownClient, `127.0.0.1:${stream.localPort}`);
    const closed = cli('close', id);
    assert.deepEqual([closed.status, closed.stdout], [0, `${id}: closed\n`], closed.stderr);
    await until('the client to see its end', () => lost);
    assert.equal(cli('sessions', '--server-port', seenPort).stdout, 'no sessions\n');
  });
}
