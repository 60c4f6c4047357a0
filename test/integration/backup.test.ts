// Backups on real servers: made by the built program and on a schedule, restored over seeds, proved, refused and kept. With
// PostgreSQL and MariaDB.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { findBackup, type BackupManifest } from '../../src/backup/files.ts';
import { restoreBackup } from '../../src/backup/restore.ts';
import { debianBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { systemClock } from '../../src/core/clock.ts';
import { accounts, MariadbNode } from '../support/mariadb.ts';
import { pointsman, runPointsman } from '../support/pointsman.ts';
import { until } from '../support/wait.ts';

const PASSWORD = 'A-Distinctive-Passw0rd';
let directory: string;
let pg: PostgresNode;
let scratch: PostgresNode;
let maria: MariadbNode;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pointsman-backup-'));
  const create = async (name: string): Promise<PostgresNode> => {
    const node = await PostgresNode.create({ name, binaries: debianBinaries(15), password: PASSWORD });
    await node.start();
    return node;
  };
  [pg, scratch, maria] = await Promise.all([create('active'), create('scratch'), MariadbNode.create()]);
  await maria.start();
  await pg.query('create database coffee');
  psql(pg, coffees('production'));
  await maria.run(
    'create table app.coffee (name varchar(50) primary key, note blob)',
    "insert into app.coffee values ('espresso', x'00ff27'), ('ristretto', null)",
    'create view app.strong as select name from app.coffee',
  );
});
after(async () => {
  await Promise.all([pg?.dispose(), scratch?.dispose(), maria?.dispose()]);
  rmSync(directory, { recursive: true, force: true });
});

const coffees = (kind: string): string =>
  `create table coffee (name text primary key); insert into coffee select '${kind} ' || n from generate_series(1, 100) n`;

/** What psql prints of one statement, asked over the local socket. */
function psql(node: PostgresNode, statement: string, database = 'coffee'): string {
  const args = ['-h', node.directory, '-p', `${node.port}`, '-U', 'postgres', '-Atc', statement, database];
  const { status, stdout, stderr } = spawnSync('psql', args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

const at = (node: { port: number }) => ({ host: '127.0.0.1', port: node.port });

/** A place of its own, and a configuration file with one backup. */
function configured(
  name: string,
  protocol: 'postgres' | 'mysql',
  backup: object,
): { file: string; kept: string } {
  const kept = join(directory, name);
  mkdirSync(kept);
  const file = join(kept, 'pointsman.yaml');
  writeFileSync(file, stringify(config(protocol, { directory: kept, ...backup })));
  return { file, kept };
}

function config(protocol: 'postgres' | 'mysql', backup: object): object {
  const [check, node] =
    protocol === 'postgres'
      ? [{ user: 'postgres', password: PASSWORD, tls: { mode: 'disable' } }, pg]
      : [accounts.probe, maria];
  const [user, database, password] =
    protocol === 'postgres' ? ['postgres', 'coffee', PASSWORD] : ['root', 'app', accounts.root.password];
  return {
    frontends: { app: { bind: '127.0.0.1:0', backend: 'app' } },
    backends: { app: { protocol, check, servers: { one: `127.0.0.1:${node.port}` } } },
    backups: { hourly: { backend: 'app', database, user, password, ...backup } },
  };
}

const filesIn = (kept: string): readonly string[] =>
  readdirSync(kept)
    .filter(name => name !== 'pointsman.yaml')
    .toSorted();

function manifestOf(path: string): BackupManifest {
  return JSON.parse(readFileSync(`${path}.json`, 'utf8')) as BackupManifest;
}

const newest = (kept: string) =>
  findBackup(join(kept, 'hourly-*'), { protocol: null, maxAgeMs: 60_000, checksum: 'required' }, Date.now());

const tools = { clock: systemClock, env: process.env, timeoutMs: 60_000, programs: null };

describe('pointsman backup', () => {
  test('PostgreSQL: one whole file with its checksum and its story, proved on a scratch server that is clean afterwards', async () => {
    const verify = {
      address: `127.0.0.1:${scratch.port}`,
      user: 'postgres',
      password: PASSWORD,
      min_rows: 100,
    };
    const { file, kept } = configured('pg', 'postgres', { verify });
    const { code, stdout, stderr } = await pointsman(['backup', '-c', file]);
    assert.equal(code, 0, stdout + stderr);
    assert.match(
      stdout,
      /^hourly: backup of app from one: .*\.dump, \d+ bytes, restored for proof: 1 table, 100 rows/,
    );
    assert.ok(!(stdout + stderr).replaceAll(/a password in clear/g, '').includes(PASSWORD));
    const [dump = '', manifest] = filesIn(kept);
    assert.match(dump, /^hourly-\d{8}T\d{9}Z\.dump$/);
    assert.equal(manifest, `${dump}.json`);
    const path = join(kept, dump);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const told = manifestOf(path);
    assert.equal(spawnSync('sha256sum', [path]).stdout.toString().split(' ')[0], told.sha256);
    assert.deepEqual([told.backend, told.server, told.database], ['app', 'one', 'coffee']);
    assert.match(told.position ?? '', /^[0-9A-F]+\/[0-9A-F]+$/);
    assert.deepEqual([told.verified?.tables, told.verified?.rows], [1, 100]);
    assert.deepEqual(
      (await scratch.query("select datname from pg_database where datname like 'pointsman%'")).length,
      0,
    );
    const again = await pointsman(['backup', 'hourly', '--verify', '-c', file]);
    assert.equal(again.code, 0, again.stdout);
    assert.match(again.stdout, /old; restored for proof: 1 table, 100 rows/);
    assert.equal(filesIn(kept).length, 2, 'no other was made');
  });

  test('PostgreSQL: pointsman restore over seeds: nothing of them is left but what is put aside, and a second time is as good as once', async () => {
    await scratch.query('create database coffee');
    psql(scratch, coffees('seed'));
    for (const format of ['custom', 'plain']) {
      const { file, kept } = configured(`over-${format}`, 'postgres', { format });
      assert.equal((await pointsman(['backup', '-c', file])).code, 0);
      const { backup } = await newest(kept);
      assert.ok(backup !== null);
      assert.equal(backup.isCompressed, format === 'plain');
      for (let time = 1; time <= 2; time += 1) {
        const to = `postgres://postgres@127.0.0.1:${scratch.port}/coffee`;
        const restored = await pointsman(
          [
            'restore',
            join(kept, 'hourly-*'),
            '--to',
            to,
            '--max-age',
            '1h',
            '--keep-former',
            `former_${format}`,
          ],
          { PGPASSWORD: PASSWORD },
        );
        assert.match(restored.stdout, /^restored .*hourly-.*, \d+ m?s old/, restored.stderr);
        const counts = "select count(*), count(*) filter (where name like 'production%') from coffee";
        assert.equal(psql(scratch, counts), '100|100');
      }
    }
    const former = psql(scratch, 'select min(name) from coffee', 'former_custom');
    assert.equal(former, 'seed 1', 'what was there before the first is kept');
  });

  test('MariaDB: the same, compressed SQL with bytes and views as they were', async () => {
    const verify = { address: `127.0.0.1:${maria.port}`, ...accounts.root };
    const { file, kept } = configured('maria', 'mysql', { verify });
    const { code, stdout } = await pointsman(['backup', '-c', file]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /\.sql\.gz, \d+ bytes, restored for proof: 1 table, 2 rows/);
    const { backup } = await newest(kept);
    assert.equal(backup?.kind, 'mysql');
    await maria.run('create database restored', 'create table restored.seed (i int)');
    const login = { address: at(maria), ...accounts.root };
    await restoreBackup(
      backup,
      { protocol: 'mysql', login, database: 'restored', keepsOwners: true, keepFormer: null },
      tools,
    );
    const rows = await maria.sql('select hex(note) as note from restored.coffee order by name');
    assert.deepEqual(rows, [{ note: '00FF27' }, { note: null }]);
    assert.deepEqual(await maria.sql('select name from restored.strong order by name limit 1'), [
      { name: 'espresso' },
    ]);
    assert.deepEqual(await maria.sql("show tables in restored like 'seed'"), []);
    assert.deepEqual(await maria.sql("show databases like 'pointsman%'"), []);
  });

  test('a dump that fails leaves nothing behind, and its last words are told', async () => {
    const { file, kept } = configured('wrong', 'postgres', { database: 'no-such-database' });
    const { code, stdout } = await pointsman(['backup', '-c', file]);
    assert.equal(code, 1);
    assert.match(stdout, /no backup: .*pg_dump ended with 1.*database "no-such-database" does not exist/);
    assert.deepEqual(filesIn(kept), []);
    const missing = configured('missing', 'postgres', { programs: kept });
    const without = await pointsman(['backup', '-c', missing.file]);
    assert.match(without.stdout, /pg_dump there is no such program/);
    assert.deepEqual(filesIn(missing.kept), []);
  });

  test('an empty database makes no backup to rely on: it is kept, called a failure, and not chosen', async () => {
    const verify = { address: `127.0.0.1:${scratch.port}`, user: 'postgres', password: PASSWORD };
    const { file, kept } = configured('empty', 'postgres', { verify, database: 'postgres' });
    const { code, stdout } = await pointsman(['backup', '-c', file]);
    assert.equal(code, 1);
    assert.match(stdout, /which could not be restored: the restored backup holds no table/);
    const { backup, words } = await newest(kept);
    assert.equal(backup, null);
    assert.match(words, /could not be restored before: the restored backup holds no table/);
  });

  test('no proven server, no backup; an unknown name is a matter of usage', async () => {
    const { file, kept } = configured('replica', 'postgres', { server: 'replica' });
    const { code, stdout } = await pointsman(['backup', '-c', file]);
    assert.equal(code, 1);
    assert.match(stdout, /no backup: app has no replica within 1 min of its primary now/);
    assert.deepEqual(filesIn(kept), []);
    assert.equal((await pointsman(['backup', 'daily', '-c', file])).code, 2);
  });
});

test('a running Pointsman: makes them on its schedule, keeps as many as told, and the metrics say how old and how large', async () => {
  const kept = join(directory, 'scheduled');
  mkdirSync(kept);
  writeFileSync(join(kept, 'hourly-20200101T000000Z.dump'), 'PGDMP of another day');
  const process = await runPointsman(
    config('postgres', { directory: kept, every: '1s', keep: { count: 2 } }),
  );
  try {
    const done = async (): Promise<number> =>
      Number(
        /backup_runs_total\{backup="hourly",outcome="done"\} (\d+)/.exec(await process.metrics())?.[1] ?? 0,
      );
    await until('three backups', async () => (await done()) >= 3, { deadlineMs: 60_000 });
    const metrics = await process.metrics();
    assert.match(metrics, /pointsman_backup_age_seconds\{backup="hourly"\} \d/);
    assert.match(metrics, /pointsman_backup_size_bytes\{backup="hourly"\} [1-9]\d{2,}/);
    assert.match(metrics, /pointsman_backup_duration_seconds\{backup="hourly"\} \d/);
    assert.match(metrics, /outcome="failed"\} 0/);
  } finally {
    await process.stop();
  }
  const dumps = filesIn(kept).filter(name => name.endsWith('.dump'));
  assert.equal(dumps.length, 2, dumps.join());
  assert.ok(!dumps.includes('hourly-20200101T000000Z.dump'), 'the old one went');
  assert.ok(filesIn(kept).every(name => !name.endsWith('.tmp')));
});
