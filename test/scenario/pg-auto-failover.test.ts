// The client of pg_auto_failover's monitor on a real one: what it is told, how soon, and with which rights.

import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { PgafClient, type PgafClientOptions } from '../../src/health/probers/pg-auto-failover/client.ts';
import { type PgafAnswer } from '../../src/health/result.ts';
import { pgafCounsel } from '../../src/topology/sources/pg-auto-failover.ts';
import { MONITOR_DATABASE, PgafCluster, WATCHER } from '../support/pgaf-cluster.ts';
import { until } from '../support/wait.ts';

/** So long that whatever is heard sooner was told by the monitor itself. */
const NEVER_MS = 600_000;

let cluster: PgafCluster;

interface Heard {
  readonly answer: PgafAnswer | null;
  readonly detail: string;
}

/** A client that ends with the test, and all that it told. */
function clientOf(
  t: TestContext,
  monitor: Partial<PgafClientOptions['monitor']> = {},
  intervals: Partial<Pick<PgafClientOptions, 'intervalMs' | 'fastIntervalMs' | 'timeoutMs'>> = {},
): { client: PgafClient; heard: Heard[]; last: () => Heard | undefined } {
  const heard: Heard[] = [];
  const client = new PgafClient(
    {
      monitor: {
        monitor: cluster.monitor.address,
        ...WATCHER,
        database: MONITOR_DATABASE,
        formation: 'default',
        group: 0,
        tls: { mode: 'disable', caFile: null, serverName: null },
        ...monitor,
      },
      intervalMs: 1000,
      fastIntervalMs: 50,
      timeoutMs: 2000,
      clock: systemClock,
      ...intervals,
    },
    (answer, detail) => heard.push({ answer, detail }),
  );
  t.after(() => client.stop());
  client.start();
  return { client, heard, last: () => heard.at(-1) };
}

const primaryIn = ({ answer, detail }: Heard): string | null =>
  pgafCounsel({ monitor: 'monitor', answer, detail }, 0).opinion?.primary?.name ?? null;

describe('the monitor of pg_auto_failover', () => {
  before(async () => {
    cluster = await PgafCluster.start({ nodes: 2 });
  });
  after(() => cluster.dispose());

  test('monitor client: a role that may only read two tables hears of every node, over SCRAM', async t => {
    const { last } = clientOf(t);
    const { answer } = await until('an answer', last);
    assert.deepEqual(
      answer?.nodes.map(({ name, address, reported, goal }) => ({ name, address, reported, goal })),
      cluster.nodes.map(({ name, address }, index) => {
        const state = index === 0 ? 'primary' : 'secondary';
        return { name, address, reported: state, goal: state };
      }),
    );
    assert.deepEqual([answer.nodes[0]?.health, answer.nodes[0]?.timeline], ['good', 1]);
    assert.match(answer.nodes[0]?.position ?? '', /^[0-9A-F]+\/[0-9A-F]+$/);
  });

  test('monitor client: what is wrong is told in words', async t => {
    const wrong = [
      [{ formation: 'billing' }, /^it has no formation billing, but default$/],
      [{ group: 7 }, /^its formation default has no group 7, but 0$/],
      [{ password: 'wrong' }, /password authentication failed for user "watcher"/],
      [{ database: 'postgres' }, /schema "pgautofailover" does not exist/],
      [{ monitor: { host: '127.0.0.1', port: 1 } }, /ECONNREFUSED/],
    ] as const;
    for (const [monitor, expected] of wrong) {
      const { last, client } = clientOf(t, monitor);
      const { answer, detail } = await until('the refusal', last);
      client.stop();
      assert.equal(answer, null);
      assert.match(detail, expected);
    }
  });

  test('monitor client: a switchover is told as it happens, each step, without being asked for', async t => {
    const { heard, last } = clientOf(t, {}, { intervalMs: NEVER_MS, fastIntervalMs: NEVER_MS });
    await until('an answer', last);
    await cluster.switchover();
    await until('the new primary to be named', () => heard.some(said => primaryIn(said) === 'node_2'));
    await cluster.settled(2, { old: cluster.node('node_1') });
    const story = heard.map(primaryIn);
    assert.equal(story[0], 'node_1');
    assert.ok(story.includes(null), 'nobody is named in between');
    assert.ok(story.lastIndexOf('node_1') < story.indexOf('node_2'), 'and the old one never again');
  });

  test('monitor client: it asks at once when it is told to', async t => {
    const { client, heard, last } = clientOf(t, {}, { intervalMs: NEVER_MS, fastIntervalMs: NEVER_MS });
    await until('an answer', last);
    const before = heard.length;
    client.askNow();
    await until('another answer', () => heard.length > before);
  });

  test('monitor client: a frozen monitor is silent once the time for a question is up, and heard again when it thaws', async t => {
    const { heard, last } = clientOf(t, {}, { intervalMs: 100, timeoutMs: 500 });
    await until('an answer', last);
    cluster.monitor.freeze();
    try {
      const { detail } = await until('its silence', () => heard.find(({ answer }) => answer === null));
      assert.match(detail, /^no answer within 500 ms/);
    } finally {
      cluster.monitor.thaw();
    }
    await until('it to be heard again', () => (last()?.answer ?? null) !== null);
  });

  // The last: it ends the monitor for a while.
  test('monitor client: a monitor that died is silent at once, and heard again when it is back', async t => {
    const { heard, last } = clientOf(t, {}, { intervalMs: NEVER_MS });
    await until('an answer', last);
    await cluster.monitor.kill();
    const { detail } = await until('its silence', () => heard.find(({ answer }) => answer === null));
    assert.match(detail, /ECONNREFUSED|closed|ECONNRESET|terminat|shut/);
    cluster.monitor.start();
    await until('it to be heard again', () => (last()?.answer ?? null) !== null);
  });
});
