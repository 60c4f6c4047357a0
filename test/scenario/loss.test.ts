// The loss report on real servers: what it says is missing is what is missing, no more and no less.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { debianBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { masterMasterPair } from '../support/mariadb.ts';
import { startServers } from '../support/pair.ts';
import { runPointsman, type IncidentJson, type PointsmanProcess } from '../support/pointsman.ts';
import { replicatedRedis } from '../support/redis.ts';
import { until } from '../support/wait.ts';

/** Pointsman in front of one backend `app`; ends with the test. */
async function inFrontOf(t: TestContext, backend: object): Promise<PointsmanProcess> {
  const pointsman = await runPointsman({
    frontends: { rw: { bind: '127.0.0.1:0', backend: 'app' } },
    backends: { app: backend },
  });
  t.after(() => pointsman.stop());
  return pointsman;
}

const serverIn = async (pointsman: PointsmanProcess, name: string) => {
  const [backend] = (await pointsman.state()).backends;
  return backend?.servers.find(server => server.name === name) ?? assert.fail(name);
};

const untilPrimary = (pointsman: PointsmanProcess, name: string) =>
  until(`${name} to be the primary`, async () => (await pointsman.state()).backends[0]?.primary === name);

const untilPosition = (pointsman: PointsmanProcess, name: string, position: string) =>
  until(`${name} to be seen at ${position}`, async () => {
    return (await serverIn(pointsman, name)).position === position;
  });

async function lossIn(pointsman: PointsmanProcess): Promise<NonNullable<IncidentJson['loss']>> {
  const [incident] = await pointsman.incidents();
  return incident?.loss ?? assert.fail('the incident has no loss report');
}

const gauge = async (pointsman: PointsmanProcess, name: string): Promise<number> => {
  const line = (await pointsman.metrics()).split('\n').find(text => text.startsWith(`pointsman_${name}{`));
  return Number(line?.split(' ').at(-1));
};

test('loss: an asynchronous PostgreSQL standby that was cut off lacks what is reported, byte by byte', async t => {
  const servers = await startServers(debianBinaries(), { synchronous: false });
  t.after(() => servers.dispose());
  const { pg1, pg2 } = servers;
  // The report needs no right beyond the login.
  await pg1.query(`create role probe login password 'secret of the probe'`);
  const pointsman = await inFrontOf(t, {
    protocol: 'postgres',
    check: { user: 'probe', password: 'secret of the probe', database: 'postgres', interval: '100ms' },
    servers: { pg1: `127.0.0.1:${pg1.port}`, pg2: `127.0.0.1:${pg2.port}` },
  });
  await untilPrimary(pointsman, 'pg1');
  await until('pg2 to have the role', async () => (await serverIn(pointsman, 'pg2')).role === 'replica');

  pg2.configure({ primary_conninfo: 'host=127.0.0.1 port=1' });
  await until('pg2 to be cut off', async () => {
    const rows = await pg1.query('select 1 from pg_stat_replication');
    return rows.length === 0;
  });
  await pg1.query('create table lost as select n, md5(n::text) from generate_series(1, 100) n');
  const lsnOf = async (sql: string): Promise<string> => {
    const [row] = await pg1.query<{ lsn: string }>(`select ${sql}::text as lsn`);
    return row?.lsn ?? assert.fail(sql);
  };
  await untilPosition(pointsman, 'pg1', await lsnOf('pg_current_wal_lsn()'));
  await pg1.kill();
  await pg2.promote();
  await untilPrimary(pointsman, 'pg2');

  const history = await pg2.query<{ text: string }>(`select pg_read_file('pg_wal/00000002.history') as text`);
  const fork = /^1\s+(\S+)/.exec(history[0]?.text ?? '')?.[1] ?? assert.fail('no history file');
  const seen = (await serverIn(pointsman, 'pg1')).position;
  const distance = async (from: string | null, to: string): Promise<number> => {
    const rows = await pg2.query<{ bytes: string }>('select pg_wal_lsn_diff($1, $2) as bytes', [from, to]);
    return Number(rows[0]?.bytes);
  };
  const loss = await lossIn(pointsman);
  assert.equal(loss.kind, 'bytes');
  assert.equal(loss.bytes, await distance(seen, fork), loss.words);
  assert.ok(loss.bytes !== null && loss.bytes > 5000, loss.words);
  assert.match(loss.words, /^pg2 lacks [\d,]+ bytes of WAL that pg1 was seen to have; what pg1 wrote after/);
  assert.equal(await gauge(pointsman, 'failover_lost_bytes'), loss.bytes);
  assert.match(await pointsman.metrics(), /pointsman_failovers_total\{backend="app",loss="seen"\} 1/);
  assert.deepEqual(await pg2.query(`select to_regclass('lost') as t`), [{ t: null }]);

  await pg1.start();
  const revised = await until('the report to be revised', async () => {
    const newest = await lossIn(pointsman);
    return newest.words.startsWith('pg1 was asked since') && newest;
  });
  // Where its crash recovery ended: all that it ever had.
  assert.equal(revised.bytes, await distance(await lsnOf('pg_last_wal_replay_lsn()'), fork), revised.words);
  assert.deepEqual(await pg1.query('select count(*)::int as n from lost'), [{ n: 100 }]);
});

test('loss: a MariaDB that did not replicate any more lacks as many transactions as are reported', async t => {
  const [db1, db2] = await masterMasterPair(t);
  await db1.sql('create table app.t (n int primary key)');
  await db2.untilCaughtUp(db1);
  await db2.sql('set global read_only = 1');
  const pointsman = await inFrontOf(t, {
    protocol: 'mysql',
    check: { user: 'probe', password: 'probe-secret', interval: '100ms' },
    incomplete_writer: 'serve',
    servers: { db1: `127.0.0.1:${db1.port}`, db2: `127.0.0.1:${db2.port}` },
  });
  await untilPrimary(pointsman, 'db1');
  await until('db2 to be a replica', async () => (await serverIn(pointsman, 'db2')).role === 'replica');
  await db2.sql('stop slave');
  for (let n = 1; n <= 7; n += 1) await db1.sql(`insert into app.t values (${n})`);
  const [row] = await db1.sql<{ at: string }>('select @@global.gtid_current_pos as at');
  await untilPosition(pointsman, 'db1', row?.at ?? assert.fail('no position'));
  await db1.kill();
  await db2.sql('set global read_only = 0');
  await untilPrimary(pointsman, 'db2');
  const loss = await lossIn(pointsman);
  assert.deepEqual([loss.kind, loss.transactions], ['transactions', 7], loss.words);
  assert.match(
    loss.words,
    /^db2 lacks 7 transactions \(0-1-\d+\.\.\d+\) that db1 was seen to have; what db1 wrote/,
  );
  assert.equal(await gauge(pointsman, 'failover_lost_transactions'), 7);
  assert.deepEqual(await db2.sql('select * from app.t'), []);

  db1.configure({ 'read-only': 1 });
  await db1.start();
  await db2.sql('start slave');
  const revised = await until('the report to be revised', async () => {
    const newest = await lossIn(pointsman);
    return newest.transactions === 0 && newest;
  });
  assert.match(revised.words, /^db2 took over without 7 transactions \(.*\) of db1, and has them since$/);
  await until('the rows to be there', async () => (await db2.sql('select * from app.t')).length === 7);
});

test('loss: a Redis replica that was cut off lacks what is reported of the stream', async t => {
  const [r1, r2] = await replicatedRedis(t, 1);
  assert.ok(r2);
  const pointsman = await inFrontOf(t, {
    protocol: 'redis',
    check: { interval: '100ms' },
    servers: { r1: `127.0.0.1:${r1.port}`, r2: `127.0.0.1:${r2.port}` },
  });
  await untilPrimary(pointsman, 'r1');
  await until('r2 to be a replica', async () => (await serverIn(pointsman, 'r2')).role === 'replica');
  await r2.command('REPLICAOF', '127.0.0.1', '1');
  for (let n = 0; n < 50; n += 1) await r1.command('SET', `key-${n}`, 'x');
  const offset = (await r1.info()).get('master_repl_offset') ?? assert.fail('no offset');
  await untilPosition(pointsman, 'r1', offset);
  await r1.stop();
  await r2.command('REPLICAOF', 'NO', 'ONE');
  await untilPrimary(pointsman, 'r2');
  const shared = Number((await r2.info()).get('second_repl_offset')) - 1;
  const seen = Number((await serverIn(pointsman, 'r1')).position);
  const loss = await lossIn(pointsman);
  assert.deepEqual([loss.kind, loss.bytes], ['bytes', seen - shared], loss.words);
  assert.ok(seen - shared > 50 * 'SET key-1 x'.length, loss.words);
  assert.equal(await r2.command('EXISTS', 'key-0'), 0);
});
