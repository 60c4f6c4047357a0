// What clients see when Pointsman can't or won't serve them: no primary, too many clients, shutting down.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client } from 'pg';
import { type Address } from '../../src/core/address.ts';
import {
  clientOptions,
  psql,
  runBefore,
  startPsql,
  startStage,
  untilEmpty,
  type Stage,
} from '../support/clients.ts';
import { pace } from '../support/pace.ts';
import { type PointsmanProcess } from '../support/pointsman.ts';
import { until } from '../support/wait.ts';

const HOLD_MS = 500;
const LIMIT = 3;
/** Far below the hold of app-patient and the drain timeout. */
const SOON_MS = 10_000 * pace;

/** SQLSTATE and text of a refused connection attempt by node-postgres. */
async function refusalOf(at: Address): Promise<{ code: string | undefined; message: string }> {
  const client = new Client(clientOptions(at));
  client.on('error', () => undefined); // the end of the connection after the refusal
  try {
    await client.connect();
  } catch (thrown) {
    const { code, message } = thrown as Error & { code?: string };
    return { code, message };
  }
  await client.end();
  return assert.fail('the client was served');
}

async function asleep(stage: Stage, name: string): Promise<void> {
  await until(`${name} to sleep`, async () => {
    const rows = await stage.pg1.query(
      "select from pg_stat_activity where application_name = $1 and wait_event = 'PgSleep'",
      [name],
    );
    return rows.length > 0;
  });
}

describe('refusals and waits', () => {
  let stage: Stage;
  before(async () => {
    stage = await startStage();
  });
  after(() => stage?.dispose());

  async function using(
    frontends: Record<string, object>,
    use: (pointsman: PointsmanProcess) => Promise<void>,
  ): Promise<void> {
    const pointsman = await runBefore(stage, { frontends });
    try {
      await use(pointsman);
    } finally {
      await pointsman.stop();
    }
  }

  test('no primary: clients are told so after hold, in each sslmode; those that may wait longer are served', () =>
    using(
      { 'app-rw': { hold: `${HOLD_MS}ms` }, 'app-now': { hold: 0 }, 'app-patient': {} },
      async pointsman => {
        await stage.pg1.stop();
        await until(
          'the primary to be given up',
          async () => (await pointsman.state()).backends[0]?.primary === null,
        );
        for (const PGSSLMODE of ['prefer', 'disable']) {
          const startedAt = performance.now();
          const { code, stderr } = await psql(pointsman.frontend('app-rw'), 'select 1', {
            env: { PGSSLMODE },
          });
          const tookMs = performance.now() - startedAt;
          assert.equal(code, 2);
          assert.match(stderr, /FATAL:  pointsman: no primary in backend app for \d+ (m?s)/, PGSSLMODE);
          assert.ok(tookMs >= HOLD_MS && tookMs < SOON_MS, `refused after ${tookMs} ms`);
        }
        const encrypted = await psql(pointsman.frontend('app-rw'), 'select 1', {
          env: { PGSSLMODE: 'require' },
        });
        assert.equal(encrypted.code, 2);
        assert.match(encrypted.stderr, /server does not support SSL, but SSL was required/);
        assert.equal((await refusalOf(pointsman.frontend('app-rw'))).code, '57P03');
        const atOnce = await refusalOf(pointsman.frontend('app-now'));
        assert.equal(atOnce.code, '57P03');
        assert.match(atOnce.message, /no primary in backend app/);

        const waiting = ['prefer', 'require'].map(PGSSLMODE =>
          psql(pointsman.frontend('app-patient'), 'select inet_server_port()', { env: { PGSSLMODE } }),
        );
        await until(
          'both to wait',
          async () => (await pointsman.state()).frontends[2]?.held === waiting.length,
        );
        await stage.pg1.start();
        for (const { code, stdout, stderr } of await Promise.all(waiting)) {
          assert.deepEqual([code, stdout.toString().trim()], [0, String(stage.pg1.port)], stderr);
        }
        await untilEmpty(pointsman);
      },
    ));

  test('max_connections: the client above the limit gets FATAL 53300; when one leaves, the next is served', () =>
    using({ 'app-rw': { max_connections: LIMIT } }, async pointsman => {
      const at = pointsman.frontend('app-rw');
      const clients = Array.from({ length: LIMIT }, () => new Client(clientOptions(at)));
      await Promise.all(clients.map(client => client.connect()));
      const { code, message } = await refusalOf(at);
      assert.equal(code, '53300');
      assert.match(message, /frontend app-rw has its 3 connections \(max_connections\)/);
      const { stderr } = await psql(at, 'select 1', { env: { PGSSLMODE: 'prefer' } });
      assert.match(stderr, /FATAL:  pointsman: frontend app-rw has its 3 connections/);
      const bothCounted = /^pointsman_frontend_connections_rejected_total\{.*max-connections.*\} 2$/m;
      await until('both to be counted', async () => bothCounted.test(await pointsman.metrics()));
      await clients.pop()?.end();
      await until(
        'room to be made',
        async () => (await pointsman.state()).frontends[0]?.sessions === LIMIT - 1,
      );
      const next = await psql(at, 'select 1');
      assert.equal(next.code, 0, next.stderr);
      await Promise.all(clients.map(client => client.end()));
      await untilEmpty(pointsman);
    }));

  test('SIGTERM: a running query finishes, newcomers are turned away, and the exit code is 0', () =>
    using({ 'app-rw': {} }, async pointsman => {
      const at = pointsman.frontend('app-rw');
      const sql = `select pg_sleep(2); select 'finished'`;
      const running = startPsql(at, sql, { env: { PGAPPNAME: 'drained' } });
      await asleep(stage, 'drained');
      pointsman.signal('SIGTERM');
      await until('draining', () => pointsman.log().some(({ msg }) => String(msg).startsWith('draining')));
      const late = await psql(at, 'select 1');
      assert.equal(late.code, 2);
      assert.match(late.stderr, /Connection refused/);
      const { code, stdout, stderr } = await running.ended;
      assert.deepEqual([code, stdout.toString().trim()], [0, 'finished'], stderr);
      assert.equal(await pointsman.exited, 0);
      assert.equal(pointsman.log().at(-1)?.['msg'], 'pointsman ends');
    }));

  test('SIGTERM twice: the second ends at once, whatever runs', () =>
    using({ 'app-rw': {} }, async pointsman => {
      const running = startPsql(pointsman.frontend('app-rw'), 'select pg_sleep(60)', {
        env: { PGAPPNAME: 'cut' },
      });
      await asleep(stage, 'cut');
      pointsman.signal('SIGTERM');
      await until('draining', () => pointsman.log().some(({ msg }) => String(msg).startsWith('draining')));
      const signalledAt = performance.now();
      pointsman.signal('SIGTERM');
      assert.equal(await pointsman.exited, 0);
      assert.ok(performance.now() - signalledAt < SOON_MS);
      const { code, stderr } = await running.ended;
      assert.equal(code, 2, stderr);
      assert.match(stderr, /server closed the connection unexpectedly|terminat/);
    }));
});
