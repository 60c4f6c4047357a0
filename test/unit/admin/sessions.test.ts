// The sessions calls of the admin API: which filters are understood, what is told, and who may close one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findRoute, type Reply } from '../../../src/admin/route.ts';
import { sessionsRoutes } from '../../../src/admin/sessions.ts';
import { sessionsText } from '../../../src/cli/sessions.ts';
import { silentLogger } from '../../../src/core/logger.ts';
import { type SessionFilter, type SessionInfo } from '../../../src/proxy/sessions.ts';
import { configOf } from '../config/kit.ts';

const config = configOf(`frontends: { rw: { bind: 127.0.0.1:0, backend: app } }
backends: { app: { protocol: postgres, check: { user: probe }, servers: { pg1: 10.0.0.1:5432 } } }
`);

const one: SessionInfo = {
  id: 'w-1',
  frontend: 'rw',
  backend: 'app',
  server: 'pg1',
  client: { host: '2001:db8::1', port: 1001 },
  peer: { host: '10.0.0.9', port: 1002 },
  local: { host: '10.9.0.1', port: 50_001 },
  ageMs: 61_000.4,
  idleMs: 1000,
  bytesUp: 10,
  bytesDown: 20,
};

function stage() {
  const filters: SessionFilter[] = [];
  const routes = sessionsRoutes({
    config,
    token: 'secret',
    log: silentLogger,
    proxy: {
      sessions: filter => {
        filters.push(filter);
        return Promise.resolve({ sessions: [one], matched: 3, silentWorkers: 1 });
      },
      closeSessions: (ids, reason) => Promise.resolve(ids[0] === 'w-1' && reason === 'operator' ? 1 : 0),
    },
  });
  const call = async (method: string, path: string, authorization: string | null = null) => {
    const url = new URL(path, 'http://admin');
    const found = findRoute(routes, method, url.pathname);
    assert.ok(found.kind === 'route');
    const request = { url, params: found.params, authorization, remote: '127.0.0.1:1' };
    const { status, body } = (await found.route.answer(request)) as Reply;
    return { status, body: JSON.parse(body) as Record<string, unknown> };
  };
  return { call, filters };
}

test('sessions API: a filter is read whole, and the answer has addresses as they are written', async () => {
  const { call, filters } = stage();
  const query = 'client=10.0.0.0/8&server_port=50001&frontend=rw&backend=app&server=pg1&limit=5';
  const { status, body } = await call('GET', `/api/v1/sessions?${query}`);
  assert.equal(status, 200);
  assert.deepEqual(filters, [
    { client: '10.0.0.0/8', serverPort: 50_001, frontend: 'rw', backend: 'app', server: 'pg1', limit: 5 },
  ]);
  assert.deepEqual(body, {
    sessions: [
      {
        id: 'w-1',
        frontend: 'rw',
        backend: 'app',
        server: 'pg1',
        client: '[2001:db8::1]:1001',
        peer: '10.0.0.9:1002',
        local: '10.9.0.1:50001',
        age_ms: 61_000,
        idle_ms: 1000,
        bytes_up: 10,
        bytes_down: 20,
      },
    ],
    matched: 3,
    silent_workers: 1,
  });
});

for (const [query, status, error] of [
  ['client=app', 400, /client is no address or network/],
  ['client=10.0.0.0/99', 400, /client is no address/],
  ['server_port=0', 400, /server_port is no port/],
  ['server_port=70000', 400, /server_port is no port/],
  ['limit=10001', 400, /limit is not from 1 to 10000/],
  ['limit=-1', 400, /limit/],
  ['user=me', 400, /no filter "user"; there are client/],
  ['frontend=ro', 404, /no frontend "ro"/],
  ['backend=constructor', 404, /no backend "constructor"/],
] as const) {
  test(`sessions API: ${query} is ${status}`, async () => {
    const { call, filters } = stage();
    const answer = await call('GET', `/api/v1/sessions?${query}`);
    assert.equal(answer.status, status);
    assert.match(String(answer.body['error']), error);
    assert.deepEqual(filters, []);
  });
}

test('sessions API: closing needs the token, and a session that is there', async () => {
  const { call } = stage();
  const close = (id: string, authorization: string | null) =>
    call('POST', `/api/v1/sessions/${id}/close`, authorization);
  assert.equal((await close('w-1', null)).status, 401);
  assert.deepEqual(await close('w-1', 'Bearer secret'), { status: 200, body: { id: 'w-1', closed: true } });
  const gone = await close('w-2', 'Bearer secret');
  assert.deepEqual([gone.status, gone.body['error']], [404, 'there is no session "w-2"']);
});

test('sessions command: a line per session, and what is not shown', async () => {
  const { body } = await stage().call('GET', '/api/v1/sessions');
  const text = sessionsText(body as Parameters<typeof sessionsText>[0]);
  assert.match(
    text,
    /w-1 {2,}\[2001:db8::1\]:1001 {2,}10\.0\.0\.9:1002 {2,}rw {2,}app\/pg1 {2,}10\.9\.0\.1:50001/,
  );
  assert.match(text, /and 2 more: ask for fewer/);
  assert.match(text, /1 worker thread gave no answer/);
  assert.equal(sessionsText({ sessions: [], matched: 0, silent_workers: 0 }), 'no sessions');
});
