// Pointsman leaves no trace in a database's log at its default settings: not while it probes and reconnects hundreds of
// times, and not when it goes. (HAProxy's checks fill that log with "incomplete startup packet".)

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { runBefore, startStage } from '../support/clients.ts';
import { type PointsmanProcess } from '../support/pointsman.ts';
import { until } from '../support/wait.ts';

const PROBES = 200;
const RECONNECTS = 12;

async function probesOf(pointsman: PointsmanProcess, { name }: PostgresNode): Promise<number> {
  const line = new RegExp(`^pointsman_server_check_seconds_count\\{.*server="${name}".*\\} (\\d+)$`, 'm');
  return Number(line.exec(await pointsman.metrics())?.[1] ?? 0);
}

/** Sessions ever begun, this question's own left out: it is asked once more each time. */
async function sessionsOf(node: PostgresNode, ownQuestions: number): Promise<number> {
  const [row] = await node.query<{ sessions: string }>(
    "select sessions from pg_stat_database where datname = 'postgres'",
  );
  return Number(row?.sessions) - ownQuestions;
}

async function settings(node: PostgresNode): Promise<readonly string[]> {
  const rows = await node.query<{ name: string }>(
    "select name from pg_settings where category like 'Reporting and Logging%' and setting <> boot_val and name <> 'log_timezone' and source not in ('default', 'override')",
  );
  return rows.map(({ name }) => name);
}

for (const ssl of [false, true]) {
  test(`the database log: not a line from hundreds of probes, a dozen reconnects and the goodbye (ssl=${ssl ? 'on' : 'off'})`, async t => {
    const stage = await startStage({ ssl });
    t.after(() => stage.dispose());
    const nodes = [stage.pg1, stage.pg2];
    await until(
      'the replica to stream',
      async () => (await stage.pg1.query('select from pg_stat_replication')).length,
    );
    for (const node of nodes) {
      assert.deepEqual(await settings(node), [], 'logging is at its defaults');
    }
    const before = nodes.map(node => node.logText());
    assert.ok(
      before.every(text => text.includes('ready to accept')),
      'this is the log that is written to',
    );
    const written = (): string[] => nodes.map((node, index) => node.logText().slice(before[index]?.length));
    const sessionsBefore = await Promise.all(nodes.map(node => sessionsOf(node, 0)));

    const pointsman = await runBefore(stage, {
      // Whoever is given up leaves a trace.
      check: { interval: '20ms', fast_interval: '20ms', reconnect_interval: '200ms', timeout: '20s' },
    });
    t.after(() => pointsman.stop());
    for (const [index, node] of nodes.entries()) {
      await until(`${node.name} to be probed`, async () => (await probesOf(pointsman, node)) >= PROBES, {
        everyMs: 200,
      });
      let asked = 0;
      const reconnects = async (): Promise<number> =>
        (await sessionsOf(node, ++asked)) - (sessionsBefore[index] ?? 0);
      await until(`${node.name} to be connected to anew`, async () => (await reconnects()) >= RECONNECTS, {
        everyMs: 300,
      });
    }
    const encrypted = await stage.pg1.query(
      "select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'pointsman'",
    );
    assert.deepEqual(encrypted, [{ ssl }]);
    assert.deepEqual(written(), ['', ''], 'while it probes');

    // Amid a login nobody can leave without a trace, and this one is amid one most of the time.
    await pointsman.stop();
    const usual = await runBefore(stage, { check: { timeout: '20s' } });
    t.after(() => usual.stop());
    for (const node of nodes) {
      await until(`one quiet session at ${node.name}`, async () => {
        const rows = await node.query<{ old: boolean }>(
          "select backend_start < now() - interval '1 s' as old from pg_stat_activity where application_name = 'pointsman'",
        );
        return rows.length === 1 && rows[0]?.old;
      });
    }
    const traces = written();
    usual.signal('SIGTERM');
    assert.equal(await usual.exited, 0);
    for (const node of nodes) {
      await until('its sessions to be gone', async () => {
        const rows = await node.query("select from pg_stat_activity where application_name = 'pointsman'");
        return rows.length === 0;
      });
    }
    assert.deepEqual(written(), traces, 'after it has gone');
  });
}
