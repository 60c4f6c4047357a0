import assert from 'node:assert/strict';
import { noSessions } from '../../support/joined.ts';
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { adminRoutes } from '../../../src/admin/routes.ts';
import { startAdminServer, type AdminServer } from '../../../src/admin/server.ts';
import { silentLogger } from '../../../src/core/logger.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { type FrontendGauge } from '../../../src/proxy/events.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { backend, fail, pass, passReplica, passTcp, server } from '../../support/views.ts';
import { AROUND, configOf, VALID } from '../config/kit.ts';

const view = backend(
  [server('pg1', pass()), server('pg2', passReplica({ lagSeconds: 2 })), server('pg3', fail())],
  {
    primary: 'pg1',
    epoch: 4,
    reasons: ['pg1 is the only server that may be written to'],
  },
);

const tcpView = backend([server('c1', passTcp()), server('c2', fail())], {
  name: 'cache',
  protocol: 'tcp',
  reasons: ['no roles'],
});

function frontend(name: string, available: boolean): FrontendGauge {
  return {
    name,
    bind: { host: '::1', port: 6432 },
    backend: 'app',
    route: 'primary',
    connections: 3,
    sessions: 2,
    held: 1,
    available,
    bytesUp: 10,
    bytesDown: 20,
    unused: [],
  };
}

describe('admin', () => {
  let admin: AdminServer;
  let frontends: FrontendGauge[] = [];
  let broken = false;
  let url = '';
  before(async () => {
    const state = {
      version: '1.2.3',
      startedAt: '2026-01-01T00:00:00.000Z',
      clock: new FakeClock(),
      config: () => ({ generation: 1, appliedAt: 0, lastReload: null }),
      views: () => (broken ? assert.fail('broken on purpose') : [view, tcpView]),
      frontends: () => frontends,
      sessionsOf: (_backend: string, name: string) => (name === 'pg1' ? 2 : 0),
      runbook: () => null,
    };
    const metrics = createMetrics({ version: '1.2.3', node: 'v20' });
    const routes = adminRoutes({
      config: configOf(VALID, AROUND),
      topology: new Topology([], state.clock),
      log: silentLogger,
      proxy: noSessions,
      state,
      metrics,
      refreshMetrics: () => undefined,
      incidents: () => [],
      reload: () => assert.fail('nobody asks for it'),
      runbooks: {
        begin: () => ({ ok: true as const, run: 1 }),
        resume: () => ({ ok: true as const, run: 1 }),
        abort: () => ({ ok: true as const, run: 1 }),
        hasBackend: () => true,
      },
      restart: () => assert.fail('nobody asks for it'),
    });
    admin = await startAdminServer({ host: '127.0.0.1', port: 0 }, routes, silentLogger);
    url = `http://127.0.0.1:${admin.address.port}`;
  });
  after(() => admin.close());

  test('livez: 200 while the process runs', async () => {
    const response = await fetch(`${url}/livez`);
    assert.deepEqual([response.status, await response.text()], [200, 'ok\n']);
  });

  test('readyz: 503 names the frontends that have no server to give, and only those', async () => {
    frontends = [frontend('app-rw', false), frontend('app-ro', true)];
    const response = await fetch(`${url}/readyz`);
    const text = await response.text();
    assert.equal(response.status, 503);
    assert.match(text, /no server: app-rw/);
    assert.doesNotMatch(text, /app-ro/);
    assert.match(await (await fetch(`${url}/readyz?verbose`)).text(), /ok: app-ro/);
    frontends = [frontend('app-rw', true)];
    assert.equal((await fetch(`${url}/readyz`)).status, 200);
  });

  test('state: has the names of the contract', async () => {
    frontends = [frontend('app-rw', true)];
    const state = (await (await fetch(`${url}/api/v1/state`)).json()) as Record<string, unknown[]>;
    const [app] = state['backends'] as Record<string, unknown>[];
    const servers = app?.['servers'] as Record<string, unknown>[];
    assert.deepEqual(
      [app?.['name'], app?.['protocol'], app?.['primary'], app?.['epoch'], app?.['split_brain']],
      ['app', 'postgres', 'pg1', 4, false],
    );
    const keys = [
      'name',
      'address',
      'health',
      'role',
      'writable',
      'admin',
      'lag_seconds',
      'position',
      'timeline',
    ];
    for (const key of [...keys, 'last_check', 'sessions']) assert.ok(key in (servers[0] ?? {}), key);
    assert.deepEqual(
      servers.map(s => [s['name'], s['health'], s['role'], s['writable'], s['lag_seconds'], s['sessions']]),
      [
        ['pg1', 'up', 'primary', true, null, 2],
        ['pg2', 'up', 'replica', false, 2, 0],
        ['pg3', 'down', 'unknown', false, null, 0],
      ],
    );
    const [first] = state['frontends'] as Record<string, unknown>[];
    assert.deepEqual([first?.['bind'], first?.['sessions'], first?.['held']], ['[::1]:6432', 2, 1]);
  });

  test('state: servers without roles are up or down, and nobody is missed', async () => {
    const state = (await (await fetch(`${url}/api/v1/state`)).json()) as Record<string, unknown[]>;
    const [, cache] = state['backends'] as Record<string, unknown>[];
    assert.deepEqual([cache?.['protocol'], cache?.['primary'], cache?.['split_brain']], ['tcp', null, false]);
    const servers = cache?.['servers'] as Record<string, unknown>[];
    assert.deepEqual(
      servers.map(s => [s['health'], s['role'], s['writable'], s['lag_seconds'], s['version']]),
      [
        ['up', 'unknown', false, null, null],
        ['down', 'unknown', false, null, null],
      ],
    );
    assert.equal((servers[0]?.['last_check'] as Record<string, unknown>)['code'], 'L4OK');
  });

  test('metrics: prometheus text with our prefix', async () => {
    const response = await fetch(`${url}/metrics`);
    assert.match(response.headers.get('content-type') ?? '', /^text\/plain/);
    assert.match(await response.text(), /^pointsman_build_info\{version="1.2.3",node="v20"\} 1$/m);
  });

  test('unknown paths are 404 with the known ones, other methods 405, prototype names are no routes', async () => {
    const unknown = await fetch(`${url}/nope`);
    assert.equal(unknown.status, 404);
    assert.match(await unknown.text(), /\/api\/v1\/state/);
    const other = await fetch(`${url}/livez`, { method: 'POST', body: 'x' });
    assert.deepEqual([other.status, other.headers.get('allow')], [405, 'GET, HEAD']);
    assert.equal((await fetch(`${url}/constructor`)).status, 404);
  });

  test('a malformed URL is 400 and a handler that fails is 500 without details', async () => {
    const status = await new Promise(resolve => {
      request({ port: admin.address.port, path: '//[' }, response => resolve(response.statusCode)).end();
    });
    assert.equal(status, 400);
    broken = true;
    const response = await fetch(`${url}/api/v1/state`);
    broken = false;
    assert.equal(response.status, 500);
    assert.doesNotMatch(await response.text(), /on purpose/);
  });

  test('console: a page that may run its own script and ask its own server, and nothing else', async () => {
    const response = await fetch(`${url}/`);
    assert.match(response.headers.get('content-type') ?? '', /^text\/html/);
    const policy = response.headers.get('content-security-policy') ?? '';
    const [script = ''] = /(?<=<script>)[^]*(?=<\/script>)/.exec(await response.text()) ?? [];
    assert.ok(script.includes('/api/v1/'));
    const hash = createHash('sha256').update(script).digest('base64');
    assert.ok(policy.includes(`script-src 'sha256-${hash}'`), 'the browser would refuse the script');
    assert.ok(policy.startsWith(`default-src 'none'`));
    assert.doesNotMatch(
      script,
      /innerHTML|insertAdjacentHTML|document\.write/,
      'what servers say is only text',
    );
  });

  test('HEAD has headers and no body', async () => {
    const response = await fetch(`${url}/livez`, { method: 'HEAD' });
    assert.deepEqual([response.headers.get('content-length'), await response.text()], ['3', '']);
  });
});

test('admin: a port that is taken is a BIND_FAILED that names address and remedy', async () => {
  const holder = createServer();
  await new Promise<void>(resolve => holder.listen(0, '127.0.0.1', resolve));
  const bound = holder.address();
  assert.ok(typeof bound === 'object' && bound !== null);
  await assert.rejects(startAdminServer({ host: '127.0.0.1', port: bound.port }, [], silentLogger), {
    code: 'BIND_FAILED',
    message: new RegExp(`127.0.0.1:${bound.port}: EADDRINUSE; choose another`),
  });
  await new Promise(resolve => holder.close(resolve));
});
