// Safety rule 4 on real servers: reloads by the dozen under busy sessions drop nobody, and the next demotion closes every
// session to the old primary, those of before the first reload too. Two Pointsmen, one for each driver, on the same pair.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type WriterTarget } from '../../src/cli/demo/ledger-writer.ts';
import { embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { BusySessions } from '../support/busy-sessions.ts';
import { startServers, type Servers } from '../support/pair.ts';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { until } from '../support/wait.ts';

const TOKEN = 'the-token-of-this-scenario';
const RELOADS = 40;

/** What the operator changes in turn; the ports of app-rw and app-ro stay. */
function configOf(servers: Servers, driver: string, turn: number): object {
  const { pg1, pg2, password } = servers;
  return {
    admin: { bind: '127.0.0.1:0', token: TOKEN },
    engine: { driver, ...(driver === 'kernel' ? { workers: 2 } : {}) },
    frontends: {
      'app-rw': {
        bind: '127.0.0.1:0',
        backend: 'app',
        hold: `${10 + (turn % 5)}s`,
        max_connections: 1000 + turn,
      },
      'app-any': {
        bind: '127.0.0.1:0',
        backend: 'app',
        route: 'any',
        balance: 'first',
        idle_timeout: `${5 + turn}m`,
      },
      // Its port comes and goes.
      ...(turn % 2 === 1 ? { extra: { bind: '127.0.0.1:0', backend: 'app', route: 'replica' } } : {}),
    },
    backends: {
      app: {
        protocol: 'postgres',
        check: { user: 'postgres', password, interval: turn % 4 === 3 ? '900ms' : '1s', timeout: '10s' },
        servers: {
          pg1: `127.0.0.1:${pg1.port}`,
          pg2: { address: `127.0.0.1:${pg2.port}`, weight: 50 + (turn % 50) },
          ...(turn % 3 === 2 ? { pg3: { address: '127.0.0.1:1', weight: 1 } } : {}),
        },
      },
    },
  };
}

interface Side {
  readonly driver: string;
  readonly pointsman: PointsmanProcess;
  readonly early: BusySessions;
  readonly late: BusySessions;
}

describe('reload: dozens under busy sessions (PostgreSQL 18)', () => {
  let servers: Servers;
  const sides: Side[] = [];

  before(async () => {
    servers = await startServers(embeddedBinaries(), { synchronous: false });
    const start = async (driver: string, sessions: number): Promise<void> => {
      const pointsman = await runPointsman(configOf(servers, driver, 0));
      const target = (name: string): WriterTarget => servers.target(pointsman.frontend(name));
      const early = new BusySessions([target('app-rw'), target('app-any')]);
      sides.push({ driver, pointsman, early, late: new BusySessions([target('app-rw')]) });
      await until('pg1 to be primary', async () => (await pointsman.state()).backends[0]?.primary === 'pg1');
      await early.open(sessions);
    };
    await Promise.all([start('kernel', 200), start('net', 20)]);
  });
  after(async () => {
    for (const { early, late, pointsman } of sides) {
      await Promise.all([early.end(), late.end()]);
      await pointsman.stop();
    }
    await servers.dispose();
  });

  test('reload: none of the sessions is dropped by reloads, nor any newcomer refused', async () => {
    for (let turn = 1; turn <= RELOADS; turn += 1) {
      await Promise.all(
        sides.map(async ({ driver, pointsman, late }) => {
          pointsman.configure(configOf(servers, driver, turn));
          const answer = await pointsman.reload(TOKEN);
          assert.deepEqual(
            [answer.status, answer.body['outcome']],
            [200, 'applied'],
            JSON.stringify(answer.body),
          );
          if (turn % 10 === 0) await late.open(1);
        }),
      );
    }
    for (const { pointsman, early, late } of sides) {
      assert.deepEqual([...early.errors, ...late.errors], []);
      const state = await pointsman.state();
      assert.equal(state.config.generation, RELOADS + 1);
      assert.equal(state.backends[0]?.epoch, 1, 'no reload changed the primary');
      const before = early.answers;
      await until('every session to be answered still', () => early.answers > before + early.count * 2);
    }
  });

  test('reload: a broken file changes nothing, says where, and nobody notices', async () => {
    for (const { driver, pointsman, early } of sides) {
      pointsman.configure({ ...configOf(servers, driver, RELOADS), drain_timeout: 'soon' });
      pointsman.signal('SIGHUP');
      await until('the refusal', () => pointsman.log().find(line => line['outcome'] === 'invalid'));
      const line = pointsman.log().find(entry => entry['path'] === 'drain_timeout');
      assert.match(String(line?.['msg']), /"soon" is not a duration/);
      assert.equal(typeof line?.['line'], 'number');
      assert.equal((await pointsman.state()).config.generation, RELOADS + 1);
      assert.match(await pointsman.metrics(), /pointsman_config_last_reload_successful 0/);
      assert.deepEqual(early.errors, []);
    }
  });

  test('reload: the demotion that follows closes every session, those of before the first reload too', async () => {
    await servers.pg2.query('SELECT pg_promote()');
    for (const { pointsman, early, late } of sides) {
      const all = early.count + late.count;
      await until(
        'every session to the old primary to end',
        () => early.errors.length + late.errors.length === all,
      );
      const metrics = await pointsman.metrics();
      const closed = [
        ...metrics.matchAll(/^pointsman_sessions_closed_total\{.*server="pg1",reason="demotion"\} (\d+)$/gm),
      ];
      assert.equal(
        closed.reduce((sum, [, count]) => sum + Number(count), 0),
        all,
      );
      const next = new BusySessions([servers.target(pointsman.frontend('app-rw'))]);
      await next.open(1);
      assert.equal(await next.port(), servers.pg2.port);
      await next.end();
    }
  });
});
