// node-postgres through Pointsman: values, large ones, notifications, failed transactions; many clients, slow clients
// and clients that stop talking first.

import assert from 'node:assert/strict';
import { randomBytes, createHash } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { Client, type Notification } from 'pg';
import { type Address } from '../../src/core/address.ts';
import {
  clientOptions,
  directly,
  psql,
  residentMiB,
  runBefore,
  sha256,
  startPsql,
  startStage,
  untilEmpty,
  type Stage,
} from '../support/clients.ts';
import { type PointsmanProcess } from '../support/pointsman.ts';
import { sleep, until } from '../support/wait.ts';

const MIB = 1024 * 1024;
const CROWD = 300;
const WAVE = 100;
const STALLED_RSS_MAX_MIB = 200;
/** No byte for this long means that the way is full. */
const STALLED_MS = 500;

describe('node-postgres through Pointsman', () => {
  let stage: Stage;
  let pointsman: PointsmanProcess;
  let rw: Address;
  before(async () => {
    stage = await startStage();
    pointsman = await runBefore(stage);
    rw = pointsman.frontend('app-rw');
  });
  after(async () => {
    await pointsman?.stop();
    await stage?.dispose();
  });

  /** A connected client that is closed after `use`, whatever happens. */
  async function withClient<T>(use: (client: Client) => Promise<T>, at = rw): Promise<T> {
    const client = new Client(clientOptions(at));
    await client.connect();
    try {
      return await use(client);
    } finally {
      await client.end();
    }
  }

  test('parameters: values of each type come back as they went, as without Pointsman', async () => {
    const values = [
      42,
      'Ünïcode ‘quotes’ \\ "',
      null,
      true,
      [1, 2, 3],
      { nested: ['json'] },
      Buffer.from([0, 255, 10]),
    ];
    const sql = 'select $1::int a, $2::text b, $3::text c, $4::bool d, $5::int[] e, $6::jsonb f, $7::bytea g';
    const ask = async (client: Client): Promise<unknown> => (await client.query(sql, values)).rows[0];
    const through = await withClient(ask);
    assert.deepEqual(through, {
      a: 42,
      b: values[1],
      c: null,
      d: true,
      e: values[4],
      f: values[5],
      g: values[6],
    });
    assert.deepEqual(through, await withClient(ask, directly(stage.pg1)));
  });

  test('bytea: 20 MB of noise go up and come down unchanged', async () => {
    const noise = randomBytes(20 * MIB);
    await withClient(async client => {
      await client.query('create table noise (data bytea)');
      const { rows } = await client.query<{ md5: string }>(
        'insert into noise values ($1) returning md5(data)',
        [noise],
      );
      assert.equal(rows[0]?.md5, createHash('md5').update(noise).digest('hex'), 'what arrived');
    });
    const back = await withClient(client => client.query<{ data: Buffer }>('select data from noise'));
    assert.ok(back.rows[0]?.data.equals(noise), 'what came back');
  });

  test('LISTEN and NOTIFY: a notification reaches an idle session of another connection', async () => {
    await withClient(async listener => {
      await listener.query('listen news');
      const heard = once(listener, 'notification') as Promise<[Notification]>;
      await withClient(notifier => notifier.query("select pg_notify('news', 'the 9:15 is late')"));
      const [{ channel, payload }] = await heard;
      assert.deepEqual([channel, payload], ['news', 'the 9:15 is late']);
    });
  });

  test('transactions: an error leaves nothing behind, and the session goes on', async () => {
    await withClient(async client => {
      await client.query('create table stations (name text unique)');
      await client.query("begin; insert into stations values ('a')");
      await assert.rejects(client.query("insert into stations values ('a')"), { code: '23505' });
      await assert.rejects(client.query('select 1'), { code: '25P02' });
      await client.query('rollback');
      const { rows } = await client.query<{ n: number }>('select count(*)::int as n from stations');
      assert.equal(rows[0]?.n, 0);
    });
  });

  test(`a crowd: ${CROWD} clients at once ask three questions each, all are answered, none is left over`, async () => {
    const clients: Client[] = [];
    try {
      while (clients.length < CROWD) {
        const wave = Array.from({ length: WAVE }, () => new Client(clientOptions(rw)));
        clients.push(...wave);
        await Promise.all(wave.map(client => client.connect()));
      }
      const [frontend] = (await pointsman.state()).frontends;
      assert.deepEqual([frontend?.name, frontend?.sessions], ['app-rw', CROWD]);
      const answers = await Promise.all(
        clients.map(async (client, index) => {
          const sum: number[] = [];
          for (const term of [1, 2, 3]) {
            const { rows } = await client.query<{ n: number }>('select $1::int + $2::int as n', [
              index,
              term,
            ]);
            sum.push(rows[0]?.n ?? NaN);
          }
          return sum;
        }),
      );
      assert.deepEqual(
        answers,
        clients.map((_, index) => [index + 1, index + 2, index + 3]),
      );
    } finally {
      await Promise.all(clients.map(client => client.end()));
    }
    await untilEmpty(pointsman);
    const [server] = (await pointsman.state()).backends[0]?.servers ?? [];
    assert.equal(server?.sessions, 0);
  });

  const bytesDown = async (): Promise<number> => {
    const line = /^pointsman_frontend_bytes_total\{frontend="app-rw",direction="out"\} (\S+)$/m;
    const bytes = Number(line.exec(await pointsman.metrics())?.[1]);
    assert.ok(Number.isFinite(bytes), 'the counter is there');
    return bytes;
  };

  test('a stalled reader: 200 MB stay in the database until it reads on; then it gets all of it', async t => {
    const sql = `copy (select i, repeat(md5(i::text), 32) from generate_series(1, 210000) i) to stdout`;
    const bytesBefore = await bytesDown();
    const { child, ended } = startPsql(rw, sql, { unread: true });
    t.after(() => child.kill('SIGKILL'));
    let movedAt = performance.now();
    let lastBytes = bytesBefore;
    await until('the way to be full', async () => {
      const bytes = await bytesDown();
      if (bytes !== lastBytes) movedAt = performance.now();
      lastBytes = bytes;
      return bytes > bytesBefore && performance.now() - movedAt > STALLED_MS;
    });
    assert.ok(lastBytes - bytesBefore < 50 * MIB, `${lastBytes - bytesBefore} bytes are on their way`);
    const resident = residentMiB(pointsman.pid);
    assert.ok(resident < STALLED_RSS_MAX_MIB, `${resident} MiB while the reader stalls`);

    const chunks: Buffer[] = [];
    for await (const chunk of child.stdout ?? []) chunks.push(chunk as Buffer);
    const { code, stderr } = await ended;
    assert.equal(code, 0, stderr);
    const received = Buffer.concat(chunks);
    assert.ok(received.length > 200 * MIB, `${received.length} bytes`);
    assert.equal(sha256(received), sha256((await psql(directly(stage.pg1), sql)).stdout));
    const afterwards = residentMiB(pointsman.pid);
    assert.ok(afterwards < STALLED_RSS_MAX_MIB, `${afterwards} MiB afterwards`);
  });

  test('a slow reader: it takes a large result piece by piece and misses nothing', async () => {
    const client = new Client(clientOptions(rw));
    await client.connect();
    const { stream } = client.connection;
    let pieces = 0;
    const slow = (): void => {
      if (++pieces % 10 !== 0) return;
      stream.pause();
      void sleep(2).then(() => stream.resume());
    };
    stream.on('data', slow);
    const { rows } = await client.query<{ text: string }>(
      'select repeat(i::text, 200) as text from generate_series(10001, 40000) i',
    );
    stream.off('data', slow);
    await client.end();
    assert.ok(pieces > 100, `${pieces} pieces`);
    assert.equal(rows.length, 30_000);
    assert.ok(rows.every(({ text }, index) => text === String(10_001 + index).repeat(200)));
  });

  test('half-close: a client that asks and at once ends its half still gets the whole answer', async () => {
    const client = new Client(clientOptions(rw));
    const ends: string[] = [];
    client.on('error', error => ends.push(error.message)); // the server closes after its answer, as asked
    await client.connect();
    const answer = client.query<{ i: number }>('select i from generate_series(1, 300000) i');
    client.connection.stream.end();
    const { rows } = await answer;
    assert.deepEqual([rows.length, rows.at(-1)?.i], [300_000, 300_000]);
    await untilEmpty(pointsman);
    const ended = pointsman.log().findLast(({ reason }) => reason !== undefined);
    assert.equal(ended?.['reason'], 'client');
    assert.ok(ends.length <= 1, ends.join('; '));
  });
});
