// psql and pgbench work through Pointsman exactly as without it: the same bytes, errors, TLS modes and protocols.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Address } from '../../src/core/address.ts';
import {
  directly,
  psql,
  runBefore,
  sha256,
  startProgram,
  startStage,
  untilEmpty,
  type Stage,
} from '../support/clients.ts';
import { type PointsmanProcess } from '../support/pointsman.ts';
import { type Ended, type ProgramOptions } from '../support/program.ts';

const MIB = 1024 * 1024;
const ROWS_OF_50_MIB = 200_000;
/** Over two hundred bytes a row, each different. */
const LARGE_RESULT = `select i, repeat(md5(i::text), 8) from generate_series(1, ${ROWS_OF_50_MIB}) i`;

describe('PostgreSQL 15 programs through Pointsman', () => {
  let stage: Stage;
  let pointsman: PointsmanProcess;
  let rw: Address;
  let direct: Address;
  before(async () => {
    stage = await startStage();
    pointsman = await runBefore(stage);
    rw = pointsman.frontend('app-rw');
    direct = directly(stage.pg1);
  });
  after(async () => {
    await pointsman?.stop();
    await stage?.dispose();
  });

  /** Runs the same thing without and with Pointsman; returns both. */
  async function both(sql: string, options: ProgramOptions = {}): Promise<readonly [Ended, Ended]> {
    return [await psql(direct, sql, options), await psql(rw, sql, options)];
  }

  for (const PGSSLMODE of ['disable', 'require']) {
    test(`psql: a result of 50 MB is the same byte for byte (sslmode=${PGSSLMODE})`, async () => {
      const [without, through] = await both(LARGE_RESULT, { env: { PGSSLMODE } });
      assert.equal(through.code, 0, through.stderr);
      assert.ok(through.stdout.length > 50 * MIB, `${through.stdout.length} bytes`);
      assert.equal(sha256(through.stdout), sha256(without.stdout));
    });

    test(`psql: COPY in and out keep every byte of 10 MB (sslmode=${PGSSLMODE})`, async () => {
      const env = { PGSSLMODE };
      const lines = Array.from(
        { length: 10_000 },
        (_, i) => `${i}\t${String(i).padStart(8, 'ä').repeat(128)}\n`,
      );
      const input = Buffer.from(lines.join(''));
      assert.ok(input.length > 10 * MIB, `${input.length} bytes`);
      const created = await psql(rw, 'drop table if exists copied; create table copied (id int, text text)');
      assert.equal(created.code, 0, created.stderr);
      const copied = await psql(rw, 'copy copied from stdin', { env, input });
      assert.equal(copied.code, 0, copied.stderr);
      const [without, through] = await both('copy (select * from copied order by id) to stdout', { env });
      assert.equal(sha256(without.stdout), sha256(input), 'what arrived is what was sent');
      assert.equal(sha256(through.stdout), sha256(input), 'what comes back is what was sent');
    });
  }

  test('psql: an error of the server passes unchanged, and the exit code too', async () => {
    for (const sql of [
      'select 1/0',
      'select from nowhere',
      'selekt',
      `do $$ begin raise warning 'w'; end $$`,
    ]) {
      const [without, through] = await both(sql);
      assert.deepEqual([through.code, through.stderr], [without.code, without.stderr], sql);
      assert.notEqual(through.stderr, '');
    }
    const wrong = await psql(rw, 'select 1', { env: { PGPASSWORD: 'not this' } });
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /password authentication failed for user "postgres"/);
  });

  test('psql: every sslmode ends at the server itself, encrypted or not as asked', async () => {
    const question = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()';
    const modes = [
      [{ PGSSLMODE: 'disable' }, 'f'],
      [{ PGSSLMODE: 'allow' }, 'f'],
      [{ PGSSLMODE: 'prefer' }, 't'],
      [{ PGSSLMODE: 'require' }, 't'],
      [{ PGSSLMODE: 'verify-ca', PGSSLROOTCERT: stage.caFile }, 't'],
      [{ PGSSLMODE: 'verify-full', PGSSLROOTCERT: stage.caFile }, 't'],
      [
        { PGSSLMODE: 'verify-full', PGSSLROOTCERT: stage.caFile, PGHOST: 'localhost', PGHOSTADDR: rw.host },
        't',
      ],
    ] as const;
    for (const [env, encrypted] of modes) {
      const { code, stdout, stderr } = await psql(rw, question, { env });
      assert.deepEqual([code, stdout.toString().trim()], [0, encrypted], `${JSON.stringify(env)}: ${stderr}`);
    }
    const otherName = {
      PGSSLMODE: 'verify-full',
      PGSSLROOTCERT: stage.caFile,
      PGHOST: 'other',
      PGHOSTADDR: rw.host,
    };
    const refused = await psql(rw, question, { env: otherName });
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /does not match host name "other"/);
  });

  test('psql: the replica port reads from the replica and refuses a write as the replica does', async () => {
    const ro = pointsman.frontend('app-ro');
    const asked = await psql(ro, 'select inet_server_port(), pg_is_in_recovery()');
    assert.equal(asked.stdout.toString().trim(), `${stage.pg2.port}|t`);
    const wrote = await psql(ro, 'create table never (id int)');
    assert.equal(wrote.code, 1);
    assert.match(wrote.stderr, /25006/);
  });

  async function historyRows(): Promise<number> {
    const [row] = await stage.pg1.query('select count(*)::int as n from pgbench_history');
    return Number(row?.['n']);
  }

  /** Runs pgbench through Pointsman; every transaction it reports must be in the database, once. */
  async function bench(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
    const rowsBefore = await historyRows();
    const { code, stdout, stderr } = await startProgram(
      'pgbench',
      rw,
      ['-n', '-c', '16', '-j', '2', ...args],
      { env },
    ).ended;
    const report = stdout.toString();
    assert.equal(code, 0, report + stderr);
    assert.match(report, /number of failed transactions: 0 /);
    const processed = Number(/transactions actually processed: (\d+)/.exec(report)?.[1]);
    assert.equal((await historyRows()) - rowsBefore, processed, 'as many rows as transactions');
    return processed;
  }

  test('pgbench: initialization, then each protocol with 16 clients, 0 failed and none counted twice', async () => {
    const made = await startProgram('pgbench', rw, ['-i', '-s', '2', '-q']).ended;
    assert.equal(made.code, 0, made.stderr);
    for (const protocol of ['simple', 'extended', 'prepared']) {
      const processed = await bench(['-M', protocol, '-T', '3']);
      assert.ok(processed > 100, `${protocol}: ${processed} transactions`);
    }
    await untilEmpty(pointsman);
  });

  test('pgbench: a connection per transaction, plain and over TLS, 0 failed', async () => {
    assert.equal(await bench(['-C', '-t', '25']), 400);
    assert.equal(await bench(['-C', '-t', '10'], { PGSSLMODE: 'require' }), 160);
    await untilEmpty(pointsman);
  });
});
