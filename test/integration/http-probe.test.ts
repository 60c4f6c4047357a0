// The HTTP prober against real servers: Node.js with and without TLS, nginx, and an application that is killed and frozen.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TLSSocket } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { type CheckConfig } from '../../src/config/schema.ts';
import { systemClock } from '../../src/core/clock.ts';
import { type Address } from '../../src/core/address.ts';
import { createHttpProber } from '../../src/health/probers/http/prober.ts';
import { startHttpBackend } from '../support/http-backend.ts';
import { httpCheck, httpProbe, httpProber } from '../support/http.ts';
import { makeCertificates } from '../support/postgres.ts';
import { until } from '../support/wait.ts';

const SHORT_MS = 300;

interface Serving {
  readonly address: Address;
  readonly server: Server;
  /** Connections so far. */
  connections(): number;
}

/** A server on loopback that ends with the test. */
async function serving(t: TestContext, listener: RequestListener, made = createServer()): Promise<Serving> {
  let connections = 0;
  made.on('request', listener);
  made.on('connection', () => (connections += 1));
  made.listen(0, '127.0.0.1');
  await once(made, 'listening');
  t.after(() => {
    made.close();
    made.closeAllConnections();
  });
  const { port } = made.address() as AddressInfo;
  return { address: { host: '127.0.0.1', port }, server: made, connections: () => connections };
}

const ok: RequestListener = (_request, response) => void response.end('{"status":"ok"}');

test('http probe: many probes over one connection, each a GET with what was configured', async t => {
  const seen: string[] = [];
  const { address, connections } = await serving(t, (request, response) => {
    const { host, authorization, 'user-agent': agent } = request.headers;
    seen.push([request.method, request.url, host, authorization, agent].join(' '));
    response.end('{"status":"ok"}');
  });
  const headers = { Authorization: 'Bearer Hidden-Word' };
  const { prober, lost } = httpProber(t, address, { host: 'app.test', headers, json: { status: 'ok' } });
  for (let i = 0; i < 20; i += 1) {
    const answer = await prober.probe();
    assert.deepEqual([answer.code, answer.detail], ['L7OK', 'GET /health: 200']);
  }
  assert.equal(connections(), 1);
  assert.deepEqual(new Set(seen), new Set(['GET /health app.test Bearer Hidden-Word pointsman']));
  prober.close();
  assert.deepEqual(lost, []);
  assert.equal((await prober.probe()).code, 'L4LOST', 'after its end it asks nobody');
  assert.equal(connections(), 1);
});

test('http probe: status, body and fields decide, in whatever framing the answer comes', async t => {
  let elsewhere = 0;
  const { address } = await serving(t, (request, response) => {
    switch (request.url) {
      case '/busy':
        return response.writeHead(503).end('no');
      case '/moved':
        return response.writeHead(302, { Location: '/elsewhere' }).end();
      case '/elsewhere':
        elsewhere += 1;
        return response.end();
      case '/none':
        return response.writeHead(204).end();
      case '/close':
        return response.writeHead(200, { Connection: 'close' }).end('ready');
      default:
        response.write('{"status":'); // chunked, for there is no length
        return response.end('"degraded"}');
    }
  });
  const ask = async (path: string, given: Partial<CheckConfig<'http'>> = {}): Promise<string> => {
    const { code, detail } = await httpProbe(t, address, { path, ...given });
    return `${code} ${detail}`;
  };
  assert.equal(await ask('/busy'), 'L7HTTP GET /busy: 503, expected 200 or 204');
  assert.equal(await ask('/busy', { status: [503] }), 'L7OK GET /busy: 503');
  assert.equal(await ask('/moved'), 'L7HTTP GET /moved: 302, expected 200 or 204');
  assert.equal(elsewhere, 0, 'redirects are not followed');
  assert.equal(await ask('/none'), 'L7OK GET /none: 204');
  assert.equal(await ask('/close', { body: 'ready' }), 'L7OK GET /close: 200');
  assert.equal(await ask('/x', { body: 'graded' }), 'L7OK GET /x: 200');
  assert.match(
    await ask('/x', { json: { status: 'ok' } }),
    /^L7HTTP .* but status is "degraded", expected "ok"$/,
  );
});

test('http probe: TLS in every mode, and the name of the server in the handshake', async t => {
  const { caFile, otherCaFile, certificate, key } = makeCertificates(t);
  const names: unknown[] = [];
  const { address } = await serving(
    t,
    (request, response) => {
      names.push((request.socket as TLSSocket).servername);
      response.end();
    },
    createTlsServer({ cert: certificate, key }),
  );
  const ask = (
    mode: CheckConfig<'http'>['tls']['mode'],
    ca: string | null = null,
    serverName: string | null = null,
  ): Promise<string> =>
    httpProbe(t, address, { tls: { mode, caFile: ca, serverName } }).then(({ code }) => code);
  assert.equal(await ask('require'), 'L7OK');
  assert.equal(await ask('verify-ca', caFile), 'L7OK');
  assert.equal(await ask('verify-full', caFile, 'db.test'), 'L7OK');
  assert.deepEqual(names, [false, false, 'db.test']);
  for (const wrong of [
    ask('verify-ca', otherCaFile),
    ask('verify-ca'),
    ask('verify-full', caFile),
    ask('verify-full', caFile, 'other.test'),
    ask('verify-full', '/no/such/file', 'db.test'),
  ]) {
    assert.equal(await wrong, 'L6RSP');
  }
  assert.notEqual(await ask('disable'), 'L7OK');
  const plain = await serving(t, ok);
  const tls = { mode: 'require', caFile: null, serverName: null } as const;
  assert.equal((await httpProbe(t, plain.address, { tls })).code, 'L6RSP');
});

test('http probe: kill -9 is known at once, without a question; then the port refuses, and then answers again', async t => {
  const backend = await startHttpBackend(t, { name: 'b1' });
  const { prober, lost } = httpProber(t, backend.address, { json: { status: 'ok', backend: 'b1' } });
  assert.equal((await prober.probe()).code, 'L7OK');
  const killedAt = performance.now();
  await backend.kill();
  await until('the loss is reported', () => lost.length > 0, { everyMs: 1 });
  assert.ok(performance.now() - killedAt < 1000, 'long before any timeout');
  // As the kernel ends the process it may still take a connection, and reset it.
  assert.match(lost[0] ?? '', /closed the connection.*; and of a new one: .*(ECONNREFUSED|ECONNRESET)/);
  assert.equal((await prober.probe()).code, 'L4CON');
  await backend.start();
  assert.equal((await prober.probe()).code, 'L7OK');
  assert.equal(lost.length, 1);
});

test('http probe: a frozen server is silent, and is fine again when it thaws', async t => {
  const backend = await startHttpBackend(t, { name: 'b1' });
  const { prober, lost } = httpProber(t, backend.address, { timeoutMs: SHORT_MS });
  assert.equal((await prober.probe()).code, 'L7OK');
  backend.freeze();
  for (let i = 0; i < 2; i += 1) {
    const startedAt = performance.now();
    assert.deepEqual(await prober.probe(), { code: 'L7TOUT', detail: `no answer within ${SHORT_MS} ms` });
    assert.ok(performance.now() - startedAt < 2 * SHORT_MS + 1000);
  }
  backend.thaw();
  await until('it answers', async () => (await prober.probe()).code === 'L7OK');
  assert.deepEqual(lost, [], 'connections that we ended are not lost');
});

test('http probe: a server that closes idle connections loses nothing, and costs one connection each time', async t => {
  const { address, server, connections } = await serving(t, ok);
  const { prober, lost } = httpProber(t, address);
  for (let i = 1; i <= 3; i += 1) {
    assert.equal((await prober.probe()).code, 'L7OK');
    server.closeIdleConnections();
    await until('another connection is there before anybody asks', () => connections() === i + 1);
  }
  assert.equal((await prober.probe()).code, 'L7OK');
  assert.deepEqual([connections(), lost], [4, []]);
  server.close();
  server.closeIdleConnections();
  await until('a server that ends in order is known to be gone', () => lost.length > 0);
});

test('http probe: a connection is renewed now and then, so that one that serves no others is found out', async t => {
  let open = true;
  const { address, connections } = await serving(t, (_request, response) => {
    if (open || connections() === 1) response.end();
  });
  let elapsedMs = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + elapsedMs };
  const check = httpCheck({ timeoutMs: SHORT_MS });
  const prober = createHttpProber({ address, check, clock })(() => assert.fail('nothing is lost'));
  t.after(() => prober.close());
  assert.equal((await prober.probe()).code, 'L7OK');
  elapsedMs += 9_000;
  assert.equal((await prober.probe()).code, 'L7OK');
  assert.equal(connections(), 1);
  open = false;
  elapsedMs += 1_000;
  assert.equal((await prober.probe()).code, 'L7TOUT');
  assert.equal((await prober.probe()).code, 'L7TOUT', 'and stays found out, so that fall is reached');
  assert.equal(connections(), 3);
  open = true;
  assert.equal((await prober.probe()).code, 'L7OK');
});

test('http probe: a stall of our own event loop is not the server’s silence', async t => {
  const backend = await startHttpBackend(t, { name: 'b1' });
  const { prober } = httpProber(t, backend.address, { timeoutMs: SHORT_MS });
  assert.equal((await prober.probe()).code, 'L7OK');
  const probing = prober.probe();
  const stalledUntil = performance.now() + 2 * SHORT_MS;
  while (performance.now() < stalledUntil);
  assert.equal((await probing).code, 'L7OK');
});

const nginxConfig = (port: number): string => `
daemon off;
pid nginx.pid;
error_log error.log info;
events { worker_connections 64; }
http {
  log_format probe '$connection $request $status';
  access_log access.log probe;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_requests 5;
  server {
    listen 127.0.0.1:${port};
    location /health { default_type application/json; return 200 '{"status":"ok"}'; }
  }
}`;

test('http probe: nginx keeps the connection as long as it likes, logs requests only, and is missed when it quits', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-nginx-'));
  const port = await freePort();
  writeFileSync(join(directory, 'nginx.conf'), nginxConfig(port));
  const child = spawn('/usr/sbin/nginx', ['-p', directory, '-c', 'nginx.conf', '-e', 'error.log'], {
    stdio: 'ignore',
  });
  const exited = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGTERM');
    await exited;
    rmSync(directory, { recursive: true, force: true });
  });
  const address = { host: '127.0.0.1', port };
  const { prober, lost } = httpProber(t, address, { json: { status: 'ok' } });
  await until('nginx to answer', async () => (await prober.probe()).code === 'L7OK');
  for (let i = 0; i < 14; i += 1) assert.equal((await prober.probe()).code, 'L7OK');
  const requests = (): string[] => readFileSync(join(directory, 'access.log'), 'utf8').trim().split('\n');
  await until('all to be logged', () => requests().length === 15);
  const [first = '', ...others] = requests();
  assert.match(first, /^\d+ GET \/health HTTP\/1\.1 200$/);
  const connections = new Set([first, ...others].map(line => line.split(' ')[0]));
  assert.equal(connections.size, 3, 'five requests to a connection, as nginx has it');
  assert.deepEqual(lost, []);
  assert.equal((await prober.probe()).code, 'L7OK');
  child.kill('SIGQUIT');
  await until('its end is known', () => lost.length > 0);
  await exited;
  assert.equal((await prober.probe()).code, 'L4CON');
  assert.doesNotMatch(
    readFileSync(join(directory, 'error.log'), 'utf8'),
    /\[(warn|error|crit|alert|emerg)\]|reset|prematurely/,
  );
});
