// The calls that change something, and the events that tell of it, over HTTP: what is refused, what is done, what is said.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { adminRoutes } from '../../../src/admin/routes.ts';
import { findRoute, type Route } from '../../../src/admin/route.ts';
import { startAdminServer, type AdminServer } from '../../../src/admin/server.ts';
import { permissionOf } from '../../../src/admin/token.ts';
import { silentLogger, type Logger } from '../../../src/core/logger.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { noSessions } from '../../support/joined.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FRESHNESS_MS, pass, passReplica, up } from '../../support/views.ts';
import { until } from '../../support/wait.ts';
import { configOf } from '../config/kit.ts';

const TOKEN = 'a-token-of-the-operator';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** An admin server over a topology of pg1 (primary) and pg2 (replica), and cache with one learned member of two slots. */
async function stage(token: string | null) {
  const clock = new FakeClock();
  const lines: Line[] = [];
  const note =
    (level: string): Logger['info'] =>
    (fields, message) =>
      void lines.push({ level, message, fields });
  const log = { ...silentLogger, info: note('info'), warn: note('warn') };
  const config = configOf(
    `admin: { bind: 127.0.0.1:0${token === null ? '' : ', token: "${TOKEN}"'} }
frontends: { rw: { bind: 127.0.0.1:0, backend: app, hold: 5s } }
backends:
  app: { protocol: postgres, check: { user: probe }, servers: { pg1: 10.0.0.1:5432, pg2: 10.0.0.2:5432 } }
  cache: { protocol: redis, sentinel: { master: main, addresses: [10.0.0.1:26379] } }
`,
    { env: { TOKEN } },
  );
  const common = {
    freshnessMs: FRESHNESS_MS,
    slowStartMs: 0,
    settleMs: 0,
    multipleWriters: 'newest',
  } as const;
  const member = (name: string, last: number) => ({
    name,
    address: { host: `10.0.0.${last}`, port: 5432 },
    weight: 100,
  });
  const topology = new Topology(
    [
      { ...common, name: 'app', protocol: 'postgres', servers: [member('pg1', 1), member('pg2', 2)] },
      { ...common, name: 'cache', protocol: 'redis', servers: [], slots: ['redis-1', 'redis-2'] },
    ],
    clock,
  );
  topology.setMembers('cache', [member('redis-1', 3)]);
  topology.report('app', 'pg1', up, pass());
  topology.report('app', 'pg2', up, passReplica());
  const state = {
    version: '1',
    startedAt: '',
    clock,
    config: () => ({ generation: 1, appliedAt: 0, lastReload: null }),
    views: () => topology.views(),
    frontends: () => [],
    sessionsOf: (_backend: string, server: string, frontend?: string) =>
      server === 'pg1' && frontend === 'rw' ? 4 : 0,
    runbook: () => null,
  };
  const metrics = createMetrics({ version: '1', node: 'v20' });
  const source = {
    config,
    topology,
    log,
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
  };
  const admin = await startAdminServer({ host: '127.0.0.1', port: 0 }, adminRoutes(source), log);
  const url = `http://127.0.0.1:${admin.address.port}`;
  const call = async (path: string, authorization?: string, method = 'POST') => {
    const headers = { connection: 'close', ...(authorization === undefined ? {} : { authorization }) };
    const response = await fetch(`${url}/api/v1/backends/${path}`, { method, headers });
    const body = (await response.json()) as Record<string, unknown>;
    return { status: response.status, body, headers: response.headers };
  };
  return { admin, clock, topology, lines, url, call };
}

describe('operate', () => {
  let admin: AdminServer;
  let on: Awaited<ReturnType<typeof stage>>;
  const bearer = `Bearer ${TOKEN}`;
  before(async () => {
    on = await stage(TOKEN);
    ({ admin } = on);
  });
  after(() => admin.close());

  test('operate: maintenance of the primary takes it out, is said in one log line with who asked, and the answer tells what came of it', async () => {
    on.lines.length = 0;
    const { status, body } = await on.call('app/servers/pg1/maintenance', bearer);
    assert.equal(status, 200);
    assert.deepEqual(
      [body['admin'], body['changed'], body['primary'], body['reasons']],
      ['maintenance', true, null, ['pg1 is in maintenance']],
    );
    assert.equal(on.topology.view('app').servers[0]?.admin, 'maintenance');
    const said = on.lines.filter(({ level }) => level === 'info');
    assert.deepEqual(
      said.map(({ message }) => message),
      ['operator: pg1 of app is set maintenance'],
    );
    assert.match(String(said[0]?.fields['remote']), /^127\.0\.0\.1:\d+$/);
    const again = await on.call('app/servers/pg1/maintenance', bearer);
    assert.deepEqual([again.status, again.body['changed']], [200, false]);
    const ready = await on.call('app/servers/pg1/ready', bearer);
    assert.deepEqual([ready.body['admin'], ready.body['primary']], ['ready', 'pg1']);
  });

  for (const [what, path, authorization, status, error] of [
    ['no token', 'app/servers/pg1/drain', undefined, 401, /a token is needed/],
    ['a wrong token', 'app/servers/pg1/drain', 'Bearer nobody-told-me', 401, /not the one/],
    [
      'the beginning of the token',
      'app/servers/pg1/drain',
      `Bearer ${TOKEN.slice(0, -1)}`,
      401,
      /not the one/,
    ],
    ['the token as a password', 'app/servers/pg1/drain', `Basic ${TOKEN}`, 401, /a token is needed/],
    ['no token for a server that isn’t there', 'app/servers/pg9/drain', undefined, 401, /a token is needed/],
    ['an unknown server', 'app/servers/pg9/drain', bearer, 404, /no server "pg9" in app/],
    ['an unknown backend', 'ap/servers/pg1/drain', bearer, 404, /no backend "ap"/],
    ['a prototype’s name', 'constructor/servers/pg1/drain', bearer, 404, /no backend "constructor"/],
    ['a state that is none', 'app/servers/pg1/asleep', bearer, 404, /no such path/],
    [
      'a name that is nobody’s now',
      'cache/servers/redis-2/drain',
      bearer,
      409,
      /redis-2 is no member of cache now/,
    ],
  ] as const) {
    test(`operate: ${what} is ${status}, and nothing changes`, async () => {
      const before = on.topology.views();
      const answer = await on.call(path, authorization);
      assert.equal(answer.status, status);
      assert.match(String(answer.body['error']), error);
      assert.equal(answer.headers.get('www-authenticate') !== null, status === 401);
      assert.deepEqual(on.topology.views(), before);
    });
  }

  test('operate: GET is 405, whatever token it shows', async () => {
    const { status, headers } = await on.call('app/servers/pg1/drain', bearer, 'GET');
    assert.deepEqual([status, headers.get('allow')], [405, 'POST']);
    assert.equal(on.topology.view('app').servers[0]?.admin, 'ready');
  });

  test('operate: a body is not read, however large', async () => {
    const response = await fetch(`${on.url}/api/v1/backends/app/servers/pg2/ready`, {
      method: 'POST',
      headers: { authorization: bearer, connection: 'close' },
      body: Buffer.alloc(4 * 1024 * 1024),
    });
    assert.equal(response.status, 200);
  });

  test('operate: the token is in no log line and no answer', async () => {
    const answers = [
      await on.call('app/servers/pg1/ready', bearer),
      await on.call('app/servers/pg9/ready', bearer),
      await on.call('app/servers/pg1/ready', `Bearer x${TOKEN}`),
    ];
    assert.ok(!JSON.stringify([answers, on.lines]).includes(TOKEN));
  });

  test('explain: is answered without a token, with sessions of each frontend, and changes nothing', async () => {
    const before = on.topology.view('app');
    const { status, body } = await on.call('app/explain?if=pg1=down&if=pg2=promoted', undefined, 'GET');
    assert.equal(status, 200);
    assert.equal(body['primary'], 'pg2');
    const [rw] = body['frontends'] as Record<string, unknown>[];
    assert.deepEqual(
      [rw?.['name'], rw?.['served_by'], rw?.['hold_ms'], rw?.['closed']],
      ['rw', ['pg2'], 5000, [{ server: 'pg1', reason: 'server-down', sessions: 4 }]],
    );
    assert.equal(on.topology.view('app'), before);
  });

  for (const [what, query, status, error] of [
    ['an assumption that is none', 'if=pg1', 400, /"pg1" is not SERVER=STATE; a state is one of down, busy/],
    ['a state that is none', 'if=pg1=asleep', 400, /one of down, busy, read-only, writable, promoted/],
    ['a server that isn’t there', 'if=pg9=down', 404, /no server "pg9" in app; there are pg1, pg2/],
    ['more than can be meant', Array(33).fill('if=pg1=down').join('&'), 400, /more than 32/],
  ] as const) {
    test(`explain: ${what} is ${status}`, async () => {
      const answer = await on.call(`app/explain?${query}`, undefined, 'GET');
      assert.equal(answer.status, status);
      assert.match(String(answer.body['error']), error);
    });
  }

  test('events: each change comes as it happens, in sentences; a reader that leaves is forgotten, and too many are turned away', async () => {
    const open = async (): Promise<{ text: () => string; leave: () => void; status: number }> => {
      const control = new AbortController();
      const response = await fetch(`${on.url}/api/v1/events`, { signal: control.signal });
      let text = '';
      const read = async (): Promise<void> => {
        const decoder = new TextDecoder();
        for await (const chunk of response.body ?? []) text += decoder.decode(chunk as Uint8Array);
      };
      read().catch(() => undefined); // left by this test itself
      return { text: () => text, leave: () => control.abort(), status: response.status };
    };
    const readers = await Promise.all(Array.from({ length: 16 }, open));
    await until('everybody to listen', () => readers.every(reader => reader.text().startsWith(': ')));
    assert.equal((await open()).status, 503);
    const timers = on.clock.pending;
    on.topology.report('app', 'pg1', up, pass());
    on.topology.setAdmin('app', 'pg2', 'drain');
    const [first] = readers;
    assert.ok(first);
    await until('the event', () => first.text().includes('event: change'));
    const data = /^data: (.*)$/m.exec(first.text())?.[1] ?? '';
    const event = JSON.parse(data) as Record<string, unknown>;
    assert.deepEqual(
      [event['backend'], event['primary'], event['sentences']],
      ['app', 'pg1', ['pg2 is in drain (operator)']],
    );
    await on.clock.advance(15_000);
    await until('a sign of life', () => first.text().includes(': still here'));
    for (const reader of readers) reader.leave();
    await until('everybody to be forgotten', () => on.clock.pending === timers - readers.length);
    on.topology.setAdmin('app', 'pg2', 'ready');
    const next = await open();
    assert.equal(next.status, 200);
    next.leave();
  });
});

test('operate: without a configured token every changing call is refused, and says so', async t => {
  const off = await stage(null);
  t.after(() => off.admin.close());
  for (const authorization of [undefined, 'Bearer null', 'Bearer ', `Bearer ${TOKEN}`]) {
    const { status, body } = await off.call('app/servers/pg1/maintenance', authorization);
    assert.equal(status, 403);
    assert.match(String(body['error']), /no admin\.token is configured/);
  }
  assert.equal(off.topology.view('app').primary, 'pg1');
});

test('token: is granted whole, in the form of RFC 6750, and in no other', () => {
  const kind = (authorization: string | null, token: string | null = TOKEN) =>
    permissionOf(authorization, token).kind;
  assert.deepEqual(
    [
      `Bearer ${TOKEN}`,
      `bearer  ${TOKEN} `,
      TOKEN,
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN} x`,
      'Bearer',
      '',
      null,
    ].map(text => kind(text)),
    ['granted', 'granted', 'missing', 'wrong', 'missing', 'missing', 'missing', 'missing'],
  );
  assert.equal(kind(`Bearer ${TOKEN}`, null), 'disabled');
});

test('routes: are found by whole paths, with their named parts decoded', () => {
  const route = (method: Route['method'], path: string): Route => ({
    method,
    path,
    answer: () => assert.fail(),
  });
  const routes = [route('GET', '/a'), route('GET', '/a/{b}/c'), route('POST', '/a/{b}/c')];
  const found = (method: string, path: string): unknown => {
    const answer = findRoute(routes, method, path);
    return answer.kind === 'route' ? [answer.route.method, answer.params] : answer.kind;
  };
  assert.deepEqual(found('GET', '/a'), ['GET', {}]);
  assert.deepEqual(found('POST', '/a/x%2Fy%20z/c'), ['POST', { b: 'x/y z' }]);
  assert.equal(found('DELETE', '/a/x/c'), 'other-method');
  assert.equal(found('GET', '/a/x/c/'), 'none');
  assert.equal(found('GET', '/a//c'), 'none');
  assert.equal(found('GET', '/a/%zz/c'), 'malformed');
});
