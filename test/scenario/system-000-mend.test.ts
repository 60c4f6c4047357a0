// System 000's broken replication, on real servers: each fault is made on purpose, seen in the state and the metrics, mended
// with the very statements that are shown, and then no row is missing on either server.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { pace } from '../support/pace.ts';
import { type PointsmanProcess } from '../support/pointsman.ts';
import {
  assertSameRows,
  backendOf,
  faultsOf,
  mendAll,
  pointsmanFor,
  runMend,
  startMasterPair,
  type FaultJson,
  type MasterPair,
} from '../support/system-000.ts';
import { until } from '../support/wait.ts';

const INTERVAL_MS = 500;
const JITTER = 1.1;
/** From the moment that the server itself shows the fault; generous, for the machine has other work. */
const GENEROUS_SLACK_MS = 700 * pace;

describe('broken replication of a pair', () => {
  let pair: MasterPair;
  let pointsman: PointsmanProcess;

  before(async () => {
    pair = await startMasterPair();
    pointsman = await pointsmanFor(pair, { interval: `${INTERVAL_MS}ms` });
    await pair.db1.run(
      'create table app.t (id int auto_increment primary key, v varchar(20), mail varchar(50) unique)',
      'create table app.c (a int, b varchar(20), v varchar(20), primary key (a, b))',
    );
    await pair.db2.untilCaughtUp(pair.db1);
  });
  after(async () => {
    await pointsman?.stop();
    await pair?.dispose();
  });
  beforeEach(async () => {
    await until('nothing to be wrong', async () => (await faultsOf(pointsman)).length === 0, {
      deadlineMs: 5000,
    });
  });

  const nodes = () => [pair.db1, pair.db2];

  /** Both write while neither hears of the other. */
  async function apart(first: readonly string[], second: readonly string[]): Promise<void> {
    await Promise.all(nodes().map(node => node.sql('stop slave')));
    await pair.db1.run('use app', ...first);
    await pair.db2.run('use app', ...second);
    await Promise.all(nodes().map(node => node.sql('start slave')));
  }

  async function seen(code: string, serversShowIt: () => Promise<boolean>, what = /./): Promise<FaultJson> {
    await until('the servers to show it', serversShowIt);
    const at = performance.now();
    const fault = await until(code, async () =>
      (await faultsOf(pointsman)).find(found => found.code === code && what.test(found.what)),
    );
    const took = performance.now() - at;
    assert.ok(took < 2 * INTERVAL_MS * JITTER + GENEROUS_SLACK_MS, `${code} was seen after ${took} ms`);
    assert.match(await pointsman.metrics(), new RegExp(`server_replication_fault{.*code="${code}"} 1`));
    return fault;
  }

  const errnoOf = async (index: 0 | 1, column: string): Promise<number> =>
    Number((await nodes()[index]?.slaveStatus())?.[0]?.[column] ?? 0);

  async function clear(code: string): Promise<void> {
    await until(
      `${code} to clear`,
      async () => !(await faultsOf(pointsman)).some(found => found.code === code),
    );
    assert.doesNotMatch(await pointsman.metrics(), new RegExp(`server_replication_fault{.*code="${code}"}`));
  }

  test('GTIDs out of order: seen within two intervals; the statements shown bring all rows to both', async () => {
    await apart(
      ["insert into t (id, v) values (1, 'a1')", "insert into t (id, v) values (3, 'a2')"],
      [
        "insert into t (id, v) values (2, 'b1')",
        "insert into t (id, v) values (4, 'b2')",
        "insert into t (id, v) values (6, 'b3')",
      ],
    );
    const both = async (): Promise<boolean> =>
      (await errnoOf(0, 'Last_SQL_Errno')) === 1950 && (await errnoOf(1, 'Last_SQL_Errno')) === 1950;
    const fault = await seen('gtid-order', both, /^db1 .* lacks 3 transactions .* db2 lacks 2 transactions/);
    await runMend(pair, fault.mend);
    await clear('gtid-order');
    await assertSameRows(pair);
    assert.equal((await pair.db1.sql('select id from app.t')).length, 5);
    const strict = await Promise.all(
      nodes().map(node => node.sql('select @@global.gtid_strict_mode as strict')),
    );
    assert.deepEqual(strict, [[{ strict: 1 }], [{ strict: 1 }]]);
    await pair.db2.run("insert into app.t (v) values ('after')");
    await assertSameRows(pair);
  });

  test('current_pos after writes on both: neither receives; mended in the same way', async () => {
    await Promise.all(
      nodes().map(node => node.run('stop slave', 'change master to master_use_gtid = current_pos')),
    );
    await apart(["insert into t (id, v) values (101, 'a3')"], ["insert into t (id, v) values (102, 'b4')"]);
    const fault = await seen('diverged', async () => (await errnoOf(0, 'Last_IO_Errno')) === 1236);
    await runMend(pair, fault.mend);
    await clear('diverged');
    await mendAll(pair, pointsman);
    await assertSameRows(pair);
  });

  const keyed = [
    { table: 't', format: 'row', columns: 'id', key: (n: number) => String(500 + n), entry: '500' },
    { table: 'c', format: 'mixed', columns: 'a, b', key: (n: number) => `7, 'x-${n}'`, entry: '7-x-0' },
  ];
  for (const { table, format, columns, key, entry } of keyed) {
    test(`two rows under one key (${table}, ${format}): both are kept, and the primary's stays where it was`, async () => {
      const log = `set session binlog_format = ${format}`;
      const insert = (n: number, v: string): string =>
        `insert into ${table} (${columns}, v) values (${key(n)}, '${v}')`;
      await Promise.all(nodes().map(node => node.sql('set global gtid_strict_mode = 0')));
      await apart(
        [log, insert(0, 'ours'), `update ${table} set v = 'ours, changed' where (${columns}) = (${key(0)})`],
        [log, 'begin', insert(1, 'beside'), insert(0, 'theirs'), 'commit'],
      );
      const both = async (): Promise<boolean> =>
        (await errnoOf(0, 'Last_SQL_Errno')) === 1062 && (await errnoOf(1, 'Last_SQL_Errno')) === 1062;
      const fault = await seen(
        'duplicate-key',
        both,
        new RegExp(`^db1 .*PRIMARY ${entry} in app\\.${table}`),
      );
      await mendAll(pair, pointsman);
      await clear('duplicate-key');
      // Statements that somebody runs once more, when all is well, do no harm.
      await runMend(pair, fault.mend);
      await assertSameRowsIn(`app.${table}`);
      const rows = await pair.db2.sql<{ v: string }>(
        `select v from app.${table} where (${columns}) in ((${key(0)}), (${key(1)})) order by ${columns}`,
      );
      assert.deepEqual(rows, [{ v: 'ours, changed' }, { v: 'beside' }]);
      await assertSameRowsIn(`app.${table}_kept_on_db1`);
      const kept = await pair.db2.sql(`select kept_from, v from app.${table}_kept_on_db1`);
      assert.deepEqual(kept, [{ kept_from: 'db2', v: 'theirs' }]);
      await Promise.all(nodes().map(node => node.sql('set global gtid_strict_mode = 1')));
    });
  }

  async function assertSameRowsIn(table: string): Promise<void> {
    await pair.db2.untilCaughtUp(pair.db1);
    await pair.db1.untilCaughtUp(pair.db2);
    const [first, second] = await Promise.all(
      nodes().map(node => node.sql(`select * from ${table} order by 1`)),
    );
    assert.deepEqual(first, second);
  }

  test('a stopped thread: named with the one statement that starts it', async () => {
    await pair.db2.sql('stop slave sql_thread');
    const fault = await seen('apply-stopped', async () => true);
    assert.deepEqual(fault.mend, [{ server: 'db2', statement: 'START SLAVE SQL_THREAD' }]);
    await runMend(pair, fault.mend);
    await clear('apply-stopped');
  });

  test('a server that lacks rows is not taken when the primary dies; mended, or with the primary back, all goes on', async () => {
    await pair.db2.sql('stop slave sql_thread');
    await seen('apply-stopped', async () => true);
    await pair.db1.run("insert into app.t (id, v) values (901, 'only on db1')");
    await until(
      'Pointsman to know',
      async () => (await backendOf(pointsman)).servers[1]?.missing_transactions === 1,
    );
    await pair.db1.kill();
    const refusal = await until('db2 to be refused', async () => {
      const { primary, reasons } = await backendOf(pointsman);
      return primary === null && reasons.find(reason => reason.startsWith('db2 is refused'));
    });
    assert.match(refusal, /lacks 1 transaction \(.*\) that db1 has, and its replication is broken/);
    await mendAll(pair, pointsman);
    await until('db2 to be the primary', async () => (await backendOf(pointsman)).primary === 'db2');
    assert.equal((await pair.db2.sql('select 1 from app.t where id = 901')).length, 1);
    await pair.db1.start();
    await until(
      'db1 to be in step',
      async () => (await backendOf(pointsman)).servers[0]?.missing_transactions === 0,
    );
    assert.equal((await backendOf(pointsman)).primary, 'db2');
    await assertSameRowsIn('app.t');
  });

  test('purged binary logs: a fresh copy is the only way, and no statement pretends otherwise', async () => {
    await pair.db1.sql('stop slave');
    const [{ file } = { file: '' }] = await pair.db2.sql<{ file: string }>(
      'select @@global.gtid_binlog_pos as file',
    );
    assert.notEqual(file, '');
    await pair.db2.run(
      "insert into app.t (id, v) values (903, 'gone')",
      'flush logs',
      "insert into app.t (id, v) values (905, 'gone too')",
      'flush logs',
    );
    // A log that is still being sent isn't purged.
    await until('the logs to be purged', async () => {
      const [status] = await pair.db2.sql<{ File: string }>('show master status');
      await pair.db2.sql(`purge binary logs to '${status?.File ?? ''}'`);
      return (await pair.db2.sql('show binary logs')).length === 1;
    });
    await pair.db1.sql('start slave');
    const fault = await seen('binlog-gone', async () => (await errnoOf(0, 'Last_IO_Errno')) === 1236);
    assert.match(fault.what, /^db1 gets nothing from db2: .* only a fresh copy of db2 helps/);
    assert.deepEqual(fault.mend, []);
  });
});
