// Who the primary is by the operator's own SQL, and by a REST API that must agree, beside a real PostgreSQL.
// The API is a real HTTP server that answers as Patroni documents: 200 where the server is what the path asks for, else 503.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, type Socket } from 'node:net';
import { after, before, test, type TestContext } from 'node:test';
import { debianBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { type CheckConfig } from '../../src/config/schema.ts';
import { type ProbeAnswer } from '../../src/health/prober.ts';
import { factsIn, probeOnce, proberFor } from '../support/postgres.ts';
import { until } from '../support/wait.ts';

const SHORT_MS = 500;
let primary: PostgresNode;
let standby: PostgresNode;

before(async () => {
  primary = await PostgresNode.create({ name: 'primary', binaries: debianBinaries(15) });
  await primary.start();
  await primary.query(
    "create table node_config (mode text); insert into node_config values ('PRIMARY'); create role probe login; grant select on node_config to probe",
  );
  standby = await PostgresNode.cloneAsStandby(primary, { name: 'standby' });
  await standby.start();
  await until(
    'the standby streams',
    async () => (await primary.query('select from pg_stat_replication')).length === 1,
  );
});
after(async () => {
  await standby.dispose();
  await primary.dispose();
});

const asProbe = (writable: string | null): Partial<CheckConfig<'postgres'>> => ({ user: 'probe', writable });

/** `code role writable`. */
function said(answer: ProbeAnswer): string {
  return answer.code === 'L7OK' ? `L7OK ${answer.facts.role} ${answer.facts.writable}` : answer.code;
}

const askOnce = async (t: TestContext, sql: string): Promise<ProbeAnswer> =>
  probeOnce(t, primary, asProbe(sql));

test('own SQL: its first value decides which of those that take writes is the primary', async t => {
  const yes = 'L7OK primary true';
  const no = 'L7OK replica false';
  for (const [sql, expected] of [
    ['select mode from node_config', yes],
    ["select mode = 'PRIMARY' from node_config", yes],
    ["select 'Writable', 0", yes],
    ['select 1', yes],
    ['values (true), (false)', yes],
    ['select 1; select 0', yes],
    ["set application_name = 'x'; select true", yes],
    ['-- nothing but\nselect true;', yes],
    ['select false', no],
    ["select 'ACTIVE'", no],
    ['select null', no],
    ['select 0, 1', no],
    ['select true where false', no],
    ['select', no],
    ["set application_name = 'x'", no],
    [';', no],
    ["do $$ begin raise notice 'hm'; raise warning 'hm'; end $$; select true", yes],
  ] as const) {
    const answer = await askOnce(t, sql);
    assert.equal(said(answer), expected, `${sql}: ${answer.detail}`);
  }
  assert.match((await askOnce(t, 'select 0')).detail, /check\.writable says no/);
});

test('own SQL: an answer that changes is followed over the same session', async t => {
  const { prober } = proberFor(t, primary, asProbe('select mode from node_config'));
  assert.equal(said(await prober.probe()), 'L7OK primary true');
  await primary.query("update node_config set mode = 'VICE'");
  assert.equal(said(await prober.probe()), 'L7OK replica false');
  await primary.query("update node_config set mode = 'PRIMARY'");
  assert.equal(said(await prober.probe()), 'L7OK primary true');
  const sessions = await primary.query(
    "select from pg_stat_activity where application_name = 'pointsman' and state = 'idle'",
  );
  assert.equal(sessions.length, 1);
});

test('own SQL: an error in it is told in the server’s words, never writable, and the session goes on', async t => {
  for (const [sql, words] of [
    [
      'select mode from no_such_table',
      /check\.writable: ERROR 42P01: relation "no_such_table" does not exist/,
    ],
    ['select true; select 1/0', /22012: division by zero/],
    ['selec true', /42601/],
    ["do $$ begin raise exception 'busy' using errcode = '53300'; end $$", /53300: busy/],
    [
      "do $$ begin raise exception 'stopped' using errcode = '57P01'; end $$",
      /check\.writable: stopped|57P01/,
    ],
    ['begin; select 1/0', /22012/],
    ['copy (select 1) to stdout', /check\.writable: /],
    ["select repeat('x', 1000000)", /check\.writable: .*1000\d+ bytes/],
  ] as const) {
    const { prober } = proberFor(t, primary, asProbe(sql));
    for (let i = 0; i < 2; i += 1) {
      const answer = await prober.probe();
      assert.equal(answer.code, 'L7STS', `${sql}: ${answer.detail}`);
      assert.match(answer.detail, words, sql);
    }
    prober.close();
  }
});

test('own SQL: a transaction that it leaves open is rolled back, so that later answers are of their own time', async t => {
  const { prober, lost } = proberFor(
    t,
    primary,
    asProbe('begin isolation level serializable; select mode from node_config'),
  );
  assert.equal(said(await prober.probe()), 'L7OK primary true');
  await primary.query("update node_config set mode = 'VICE'");
  assert.equal(said(await prober.probe()), 'L7OK replica false');
  await primary.query("update node_config set mode = 'PRIMARY'");
  assert.equal(said(await prober.probe()), 'L7OK primary true');
  const open = await primary.query("select from pg_stat_activity where state like 'idle in transaction%'");
  assert.deepEqual([open.length, lost.length], [0, 0]);
});

test('own SQL: a server that is read-only or in recovery is never writable by it', async t => {
  assert.equal(said(await probeOnce(t, standby, { writable: 'select true' })), 'L7OK replica false');
  assert.equal(
    said(await probeOnce(t, standby, { writable: 'select no_such_column' })),
    'L7OK replica false',
  );
  const { prober } = proberFor(t, primary, asProbe('select true'));
  primary.configure({ default_transaction_read_only: 'on' });
  await until('it is read-only', async () => said(await prober.probe()) === 'L7OK primary false');
  primary.configure({ default_transaction_read_only: 'off' });
  await until('it is writable', async () => said(await prober.probe()) === 'L7OK primary true');
});

test('own SQL: a server that answers everything else is not dead when that waits for a lock', async t => {
  const { prober } = proberFor(t, primary, {
    ...asProbe('select mode from node_config'),
    timeoutMs: SHORT_MS,
  });
  assert.equal(said(await prober.probe()), 'L7OK primary true');
  const lock = primary.query(
    `begin; lock table node_config; select pg_sleep(${(3 * SHORT_MS) / 1000}); commit`,
  );
  await until('it waits', async () => (await prober.probe()).code === 'L7STS');
  await lock;
  await until('it answers', async () => said(await prober.probe()) === 'L7OK primary true');
  primary.freeze();
  assert.equal(
    (await prober.probe()).code,
    'L7TOUT',
    'a frozen server does not answer the built-in question either',
  );
  primary.thaw();
  await until('it answers', async () => said(await prober.probe()) === 'L7OK primary true');
});

interface Patroni {
  readonly rest: NonNullable<CheckConfig<'postgres'>['rest']>;
  readonly server: Server;
  /** What the server is to it; `silent`: it takes the request and says nothing. */
  role: 'primary' | 'replica' | 'neither' | 'silent';
  readonly asked: string[];
  connections: number;
  /** Connections that were reset, or closed amid an answer. */
  broken: number;
}

async function patroni(t: TestContext, role: Patroni['role']): Promise<Patroni> {
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    state.asked.push(`${request.method} ${request.url}`);
    response.on(
      'close',
      () => (state.broken += response.writableFinished || state.role === 'silent' ? 0 : 1),
    );
    if (state.role === 'silent') return;
    const status = request.url === `/${state.role}` ? 200 : 503;
    const body = JSON.stringify({ state: 'running', role: state.role, server_version: 150_000 });
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(body);
  });
  server.on('connection', socket => {
    state.connections += 1;
    sockets.add(socket);
    socket.on('error', () => (state.broken += 1));
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  const state: Patroni = {
    rest: {
      port,
      primary: '/primary',
      replica: '/replica',
      tls: { mode: 'disable', caFile: null, serverName: null },
    },
    server,
    role,
    asked: [],
    connections: 0,
    broken: 0,
  };
  return state;
}

test('rest: where Patroni and PostgreSQL agree, the server has its role; one connection, read to the end', async t => {
  const upper = await patroni(t, 'primary');
  const { prober } = proberFor(t, primary, { rest: upper.rest });
  for (let i = 0; i < 5; i += 1) {
    const answer = await prober.probe();
    assert.equal(said(answer), 'L7OK primary true');
    assert.match(answer.detail, /; GET \/primary agrees$/);
  }
  assert.deepEqual(
    upper.asked,
    Array.from({ length: 5 }, () => 'GET /primary'),
  );
  assert.equal(upper.connections, 1);
  prober.close();

  const lower = await patroni(t, 'replica');
  const { prober: other } = proberFor(t, standby, { rest: lower.rest, fastIntervalMs: 60_000 });
  for (let i = 0; i < 5; i += 1) {
    const facts = factsIn(await other.probe());
    assert.deepEqual([facts.role, facts.replicating], ['replica', true]);
  }
  assert.deepEqual(
    lower.asked,
    ['GET /replica'],
    'a replica is not asked about more often than every fast_interval',
  );
  other.close();
  assert.deepEqual([upper.broken, lower.broken], [0, 0]);
});

test('rest: where they disagree there is neither a primary nor a replica, and both words are told', async t => {
  const upper = await patroni(t, 'neither');
  const { prober } = proberFor(t, primary, { rest: upper.rest });
  const demoted = await prober.probe();
  assert.equal(said(demoted), 'L7OK unknown false');
  assert.equal(demoted.detail, 'PostgreSQL takes writes, but GET /primary answers 503');
  assert.match(factsIn(demoted).position ?? '', /\//, 'what PostgreSQL told is kept as evidence');
  upper.role = 'primary';
  assert.equal(said(await prober.probe()), 'L7OK primary true');
  upper.role = 'replica';
  const denied = await prober.probe();
  assert.equal(denied.code, 'L7REST', 'a Patroni that restarts denies for a moment');
  assert.equal(denied.detail, 'PostgreSQL takes writes, but GET /primary answers 503');
  await until('it is denied for good', async () => said(await prober.probe()) === 'L7OK unknown false');

  const lower = await patroni(t, 'primary');
  const answer = await probeOnce(t, standby, { rest: lower.rest });
  assert.equal(said(answer), 'L7OK unknown false');
  assert.equal(answer.detail, 'PostgreSQL is a replica, but GET /replica answers 503');
});

test('rest: own SQL comes first, and what it decides is what must be confirmed', async t => {
  const api = await patroni(t, 'replica');
  const { prober } = proberFor(t, primary, { rest: api.rest, writable: 'select false' });
  assert.equal(said(await prober.probe()), 'L7OK replica false');
  assert.deepEqual(api.asked, ['GET /replica']);
});

test('rest: an API that is away or silent leaves the server in doubt, within the time of one probe', async t => {
  const api = await patroni(t, 'primary');
  const { prober, lost } = proberFor(t, primary, { rest: api.rest, timeoutMs: SHORT_MS });
  assert.equal(said(await prober.probe()), 'L7OK primary true');
  api.role = 'silent';
  const startedAt = performance.now();
  const silent = await prober.probe();
  assert.equal(silent.code, 'L7REST');
  assert.match(
    silent.detail,
    /^PostgreSQL takes writes, but GET \/primary got no answer: no answer within \d+/,
  );
  const tookMs = performance.now() - startedAt;
  assert.ok(tookMs >= SHORT_MS - 50 && tookMs < SHORT_MS + 2000, `took ${tookMs} ms`);
  api.role = 'primary';
  assert.equal(said(await prober.probe()), 'L7OK primary true');
  api.server.close();
  api.server.closeAllConnections();
  await until('it refuses', async () => (await prober.probe()).code === 'L7REST');
  assert.match((await prober.probe()).detail, /ECONNREFUSED/);
  assert.deepEqual(lost, [], 'the end of the API is not the end of the server');
});

test('rest: a server that is gone is not asked about', async t => {
  const api = await patroni(t, 'primary');
  assert.equal((await probeOnce(t, { port: 1 }, { rest: api.rest })).code, 'L4CON');
  assert.deepEqual(api.asked, []);
});
