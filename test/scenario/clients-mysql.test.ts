// mysql2, the `mysql` command line client, mysqldump and sysbench through Pointsman: the same as without it, on each engine;
// and what they see while there is no server for them.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { createConnection, createPool, type RowDataPacket } from 'mysql2/promise';
import {
  as,
  BRIEF_MS,
  cli,
  dump,
  refusalOf,
  SMALL,
  startMysqlStage,
  startSysbench,
  SYSBENCH_ROWS,
  SYSBENCH_TABLES,
  totalsOf,
  withConnection,
  type MysqlStage,
} from '../support/clients-mysql.ts';
import { onEachEngine, type Fleet } from '../support/fleet.ts';
import { pace } from '../support/pace.ts';
import { until } from '../support/wait.ts';

const MIB = 1024 * 1024;
const CROWD = 200;
const THREADS = 8;
const SYSBENCH_SECONDS = 2;
/** Far below the usual hold. */
const SOON_MS = 10_000 * pace;

describe('MySQL clients through Pointsman', () => {
  let stage: MysqlStage;
  const fleet = (): Fleet => stage.fleet;
  before(async () => {
    stage = await startMysqlStage();
  });
  after(() => stage?.dispose());

  onEachEngine(
    'mysql2: prepared statements give back each type of value, as without Pointsman',
    fleet,
    async member => {
      const values = [
        42,
        'Ünïcode ‘quotes’ \\ "',
        null,
        1.5,
        Buffer.from([0, 255, 10]),
        new Date(86_400_000),
      ];
      const sql =
        'select ? + 1 as a, ? as b, ? as c, ? as d, cast(? as binary) as e, cast(? as datetime) as f';
      const ask = async (at: { host: string; port: number }): Promise<unknown> =>
        withConnection(at, async connection => {
          const [first] = await connection.execute<RowDataPacket[]>(sql, values);
          const [again] = await connection.execute<RowDataPacket[]>(sql, values);
          assert.deepEqual(again, first, 'the statement, prepared once, a second time');
          return first[0];
        });
      const through = (await ask(member.at('rw'))) as Record<string, unknown>;
      assert.deepEqual([Number(through['a']), through['b'], through['c']], [43, values[1], null]);
      assert.deepEqual(through, await ask(stage.server));
    },
  );

  onEachEngine(
    'mysql2: an error amid a transaction leaves nothing behind, and the session goes on',
    fleet,
    member =>
      withConnection(member.at('rw'), async connection => {
        await connection.query('create or replace table stations (name varchar(40) unique)');
        await connection.beginTransaction();
        await connection.query("insert into stations values ('a')");
        await assert.rejects(connection.query("insert into stations values ('a')"), {
          code: 'ER_DUP_ENTRY',
          errno: 1062,
        });
        await connection.rollback();
        const [rows] = await connection.query<RowDataPacket[]>('select count(*) as n from stations');
        assert.equal(rows[0]?.['n'], 0);
      }),
  );

  onEachEngine(
    'mysql2: a pool of 10 answers 200 questions at once, each with its own answer',
    fleet,
    async member => {
      const pool = createPool({ ...as('app', member.at('rw')), connectionLimit: 10 });
      try {
        const answers = await Promise.all(
          Array.from({ length: CROWD }, async (_, index) => {
            const [rows] = await pool.execute<RowDataPacket[]>('select ? * 2 as n, connection_id() as id', [
              index,
            ]);
            return rows[0];
          }),
        );
        assert.deepEqual(
          answers.map(answer => Number(answer?.['n'])),
          answers.map((_, index) => index * 2),
        );
        assert.equal(new Set(answers.map(answer => Number(answer?.['id']))).size, 10);
      } finally {
        await pool.end();
      }
    },
  );

  onEachEngine('mysql2: 20 MB of noise go up as a parameter and come down as a row', fleet, member =>
    withConnection(member.at('rw'), async connection => {
      const noise = randomBytes(20 * MIB); // above the 16 MiB that one packet holds
      await connection.query('create or replace table noise (data longblob)');
      await connection.execute('insert into noise values (?)', [noise]);
      const [rows] = await connection.query<RowDataPacket[]>('select md5(data) as md5, data from noise');
      assert.equal(rows[0]?.['md5'], createHash('md5').update(noise).digest('hex'), 'what arrived');
      assert.ok(noise.equals(rows[0]?.['data'] as Buffer), 'what came back');
      await connection.query('drop table noise');
    }),
  );

  onEachEngine(
    'mysql2: 60,000 rows are read piece by piece by a slow reader, in order',
    fleet,
    async member => {
      const { createConnection: createStreaming } = await import('mysql2');
      const connection = createStreaming(as('app', member.at('rw')));
      let next = 1;
      try {
        const rows = connection
          .query('select seq, md5(seq) as text from seq_1_to_60000')
          .stream({ highWaterMark: 50 });
        for await (const row of rows as AsyncIterable<{ seq: number; text: string }>) {
          assert.equal(Number(row.seq), next);
          next += 1;
          if (next % 10_000 === 0) await new Promise(resolve => setImmediate(resolve));
        }
      } finally {
        await new Promise(resolve => connection.end(resolve));
      }
      assert.equal(next, 60_001);
    },
  );

  onEachEngine(
    'LOAD DATA LOCAL: mysql2 and the mysql client send a file that the server asks for',
    fleet,
    async member => {
      const lines = Array.from({ length: 20_000 }, (_, index) => `${index}\tnäme ${index}\n`).join('');
      const file = join(stage.directory, 'lines');
      writeFileSync(file, lines);
      const load = `load data local infile '${file}' into table loaded`;
      const sums = 'select count(*), sum(crc32(concat(id, name))) from loaded';
      await cli(member.at('rw'), 'create or replace table loaded (id int, name varchar(40)) charset utf8mb4');
      await withConnection(
        member.at('rw'),
        async connection =>
          void (await connection.query({
            sql: load,
            infileStreamFactory: () => Readable.from([Buffer.from(lines)]),
          })),
      );
      const first = await cli(member.at('rw'), sums);
      assert.match(first.stdout.toString(), /^20000\t\d+\n$/, first.stderr);
      await cli(member.at('rw'), 'truncate loaded');
      const loaded = await cli(member.at('rw'), load, ['--local-infile=1']);
      assert.equal(loaded.code, 0, loaded.stderr);
      assert.deepEqual((await cli(member.at('rw'), sums)).stdout, first.stdout);
    },
  );

  onEachEngine('TLS: the session is between client and server, certificate and all', fleet, async member => {
    const ca = readFileSync(stage.caFile);
    await withConnection(
      member.at('rw'),
      async connection => {
        const [rows] = await connection.query<RowDataPacket[]>("show status like 'Ssl_cipher'");
        assert.match(String(rows[0]?.['Value']), /^\w/);
        const large = randomBytes(3 * MIB);
        const [back] = await connection.execute<RowDataPacket[]>('select ? as data', [large]);
        assert.ok(large.equals(back[0]?.['data'] as Buffer));
      },
      { ssl: { ca, verifyIdentity: true } },
    );
    const verified = ['--ssl', `--ssl-ca=${stage.caFile}`, '--ssl-verify-server-cert'];
    const { code, stdout, stderr } = await cli(member.at('rw'), "show status like 'Ssl_version'", verified);
    assert.equal(code, 0, stderr);
    assert.match(stdout.toString(), /^Ssl_version\tTLSv1\.[23]\n$/);
  });

  onEachEngine(
    'KILL: a query that runs is ended by another connection, and its session goes on',
    fleet,
    member =>
      withConnection(member.at('rw'), async sleeper => {
        const [rows] = await sleeper.query<RowDataPacket[]>('select connection_id() as id');
        const asleep = assert.rejects(sleeper.query('select sleep(60)'), {
          code: 'ER_QUERY_INTERRUPTED',
        });
        await withConnection(member.at('rw'), async other => {
          await until('the query to run', async () => {
            const [found] = await other.query<RowDataPacket[]>(
              "select 1 from information_schema.processlist where id = ? and command = 'Query'",
              [rows[0]?.['id']],
            );
            return found.length;
          });
          await other.query('kill query ?', [rows[0]?.['id']]);
        });
        await asleep;
        await sleeper.ping();
      }),
  );

  onEachEngine(
    `${CROWD} connections at once: each gets its own session, and none is left over`,
    fleet,
    async member => {
      const connections = await Promise.all(
        Array.from({ length: CROWD }, () => createConnection(as('app', member.at('rw')))),
      );
      try {
        const ids = await Promise.all(
          connections.map(async connection => {
            const [rows] = await connection.query<RowDataPacket[]>('select connection_id() as id');
            return Number(rows[0]?.['id']);
          }),
        );
        assert.equal(new Set(ids).size, CROWD);
        const { frontends } = await member.pointsman.state();
        assert.equal(frontends.find(({ name }) => name === 'rw')?.sessions, CROWD);
      } finally {
        await Promise.all(connections.map(connection => connection.end()));
      }
      await fleet().untilEmpty();
    },
  );

  onEachEngine(
    'mysql: statements are answered in turn; an error names its line, and later ones are not run',
    fleet,
    async member => {
      const script = [
        'create or replace table typed (n int);',
        'delimiter //',
        'create or replace procedure twice(n int) begin select n; select n * 2; end//',
        'delimiter ;',
        'insert into typed values (1), (2);',
        'call twice(21);',
        'select count(*) from typed;',
      ];
      const good = await cli(member.at('rw'), script.join('\n'));
      assert.deepEqual([good.code, good.stdout.toString()], [0, '21\n42\n2\n'], good.stderr);
      const bad = await cli(member.at('rw'), 'select 1;\nselect nonsense;\nselect 3;');
      assert.deepEqual([bad.code, bad.stdout.toString()], [1, '1\n']);
      assert.match(bad.stderr, /^ERROR 1054 \(42S22\) at line 2: Unknown column 'nonsense'/m);
    },
  );

  onEachEngine(
    'mysqldump: the dump is the one that is made without Pointsman, and can be read back',
    fleet,
    async member => {
      await withConnection(member.at('rw'), async connection => {
        await connection.query('create or replace table dumped (id int primary key, data blob, name text)');
        await connection.query(
          "insert into dumped select seq, unhex(sha2(seq, 512)), repeat('ü', seq % 100) from seq_1_to_5000",
        );
      });
      const through = await dump(member.at('rw'));
      const direct = await dump(stage.server);
      assert.equal(through.code, 0, through.stderr);
      assert.ok(through.stdout.length > MIB, `${through.stdout.length} bytes`);
      assert.ok(through.stdout.equals(direct.stdout));
      const restored = await cli(member.at('rw'), through.stdout);
      assert.equal(restored.code, 0, restored.stderr);
      assert.ok((await dump(stage.server)).stdout.equals(direct.stdout));
      await cli(member.at('rw'), 'drop table dumped');
    },
  );

  test(`sysbench: ${THREADS} threads on each engine at once; what it says it did is what the server has`, async () => {
    const [first] = fleet().members;
    assert.ok(first);
    const prepared = await startSysbench(first.at('rw'), 'prepare').ended;
    assert.equal(prepared.code, 0, prepared.stdout.toString() + prepared.stderr);
    const commits = async (): Promise<number> => {
      const [row] = await stage.server.sql<{ Value: string }>("show global status like 'Com_commit'");
      return Number(row?.Value);
    };
    const before = await commits();
    const all = await fleet().each(async ({ at }) =>
      totalsOf(await startSysbench(at('rw'), 'run', { threads: THREADS, seconds: SYSBENCH_SECONDS }).ended),
    );
    for (const totals of all) {
      const { transactions, ignored, reconnects } = totals;
      assert.ok(transactions > 20, `${transactions} transactions`);
      assert.equal(reconnects, 0);
      // 14 reads, 4 writes, BEGIN and COMMIT each, and what was done of the transactions that ended in a deadlock.
      assert.ok(
        totals.read >= 14 * transactions && totals.read <= 14 * (transactions + ignored),
        `${totals.read}`,
      );
      assert.ok(
        totals.write >= 4 * transactions && totals.write <= 4 * (transactions + ignored),
        `${totals.write}`,
      );
      assert.ok(totals.other >= 2 * transactions, `${totals.other}`);
    }
    const sum = all.reduce((total, { transactions }) => total + transactions, 0);
    assert.equal((await commits()) - before, sum);
    const counts = await Promise.all(
      Array.from({ length: SYSBENCH_TABLES }, (_, index) =>
        stage.server.sql<{ n: number }>(`select count(*) as n from app.sbtest${index + 1}`),
      ),
    );
    assert.deepEqual(
      counts.map(([row]) => Number(row?.n)),
      Array(SYSBENCH_TABLES).fill(SYSBENCH_ROWS),
    );
    await fleet().untilEmpty();
  });

  /** Kills the server and waits until everybody knows; it is there again after the test. */
  async function withoutServer(body: () => Promise<void>): Promise<void> {
    await stage.server.kill();
    try {
      await fleet().each(({ pointsman }) =>
        until(
          'the primary to be given up',
          async () => (await pointsman.state()).backends[0]?.primary === null,
        ),
      );
      await body();
    } finally {
      if (!stage.server.running) await stage.server.start();
      await fleet().untilReady();
    }
  }

  test('no primary: a client waits in silence, and gets the greeting of the server that is back', t =>
    withoutServer(async () => {
      const question = 'select @@port as port';
      const waits = fleet().members.map(({ at }) => {
        const socket = connect(at('rw'));
        t.after(() => socket.destroy());
        const chunks: Buffer[] = [];
        socket.on('data', (chunk: Buffer) => chunks.push(chunk));
        const library = withConnection(at('rw'), connection => connection.query<RowDataPacket[]>(question));
        return { heard: () => Buffer.concat(chunks), library, program: cli(at('rw'), question) };
      });
      await fleet().each(({ pointsman }) =>
        until('all three to wait', async () => {
          const { frontends } = await pointsman.state();
          return frontends.find(({ name }) => name === 'rw')?.held === 3;
        }),
      );
      for (const { heard } of waits) assert.equal(heard().length, 0);
      await stage.server.start();
      for (const { heard, library, program } of waits) {
        const [rows] = await library;
        assert.equal(Number(rows[0]?.['port']), stage.server.port);
        const { code, stdout, stderr } = await program;
        assert.deepEqual([code, stdout.toString()], [0, `${stage.server.port}\n`], stderr);
        await until('the greeting', () => heard().includes('MariaDB'));
        assert.equal(heard()[4], 10, 'protocol version of the greeting');
      }
    }));

  test('no primary when the hold is over: each client shows the error, its number and the reason', () =>
    withoutServer(async () => {
      const reason = 'pointsman: no primary in backend app for \\d+ m?s';
      await fleet().each(async ({ at }) => {
        const startedAt = performance.now();
        const { message, ...refusal } = await refusalOf(at('brief'));
        const tookMs = performance.now() - startedAt;
        assert.deepEqual(refusal, { code: 'ER_CON_COUNT_ERROR', errno: 1040, sqlState: '08004' });
        assert.match(message, new RegExp(reason));
        assert.ok(tookMs >= BRIEF_MS && tookMs < SOON_MS, `refused after ${tookMs} ms`);
        const [plain, asTold, dumped, sysbench] = await Promise.all([
          cli(at('brief'), 'select 1', ['--skip-ssl']),
          cli(at('brief'), 'select 1'),
          dump(at('brief')),
          startSysbench(at('brief'), 'run').ended,
        ]);
        assert.equal(plain.code, 1);
        assert.match(plain.stderr, new RegExp(`^ERROR 1040 \\(08004\\): ${reason}`, 'm'));
        // One that would rather have TLS adds, also for what a server itself says here, that it can't tell who said it.
        assert.equal(asTold.code, 1);
        assert.match(asTold.stderr, new RegExp(`1040.*${reason}`));
        assert.equal(dumped.code, 2);
        assert.match(dumped.stderr, new RegExp(`1040.*${reason}`));
        assert.equal(sysbench.code, 1);
        assert.match(sysbench.stdout.toString() + sysbench.stderr, new RegExp(`error 1040: ${reason}`));
      });
    }));

  onEachEngine(
    'max_connections: the one above the limit is told so; when one leaves, the next is served',
    fleet,
    async member => {
      const at = member.at('small');
      const connections = await Promise.all(
        Array.from({ length: SMALL }, () => createConnection(as('app', at))),
      );
      try {
        const reason = /pointsman: frontend small has its 3 connections \(max_connections\)/;
        const { errno, message } = await refusalOf(at);
        assert.equal(errno, 1040);
        assert.match(message, reason);
        const client = await cli(at, 'select 1', ['--skip-ssl']);
        assert.equal(client.code, 1);
        assert.match(client.stderr, new RegExp(`^ERROR 1040 \\(08004\\): ${reason.source}`, 'm'));
        await connections.pop()?.end();
        await until('room for one', async () => (await cli(at, 'select 1')).code === 0);
      } finally {
        await Promise.all(connections.map(connection => connection.end()));
      }
    },
  );
});
