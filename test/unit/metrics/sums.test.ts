// Counters whose sums are told when they are read: nothing is lost, nothing counted twice.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { proxyMetrics } from '../../../src/metrics/observers.ts';
import { type CloseReason } from '../../../src/proxy/events.ts';

test('sums: each read tells what was counted until then, by label', async () => {
  const metrics = createMetrics({ version: '1', node: 'v20' });
  const count = proxyMetrics(metrics);
  const end = (server: string, reason: CloseReason): void =>
    count.sessionEnded({
      frontend: 'rw',
      backend: 'app',
      server,
      client: { host: '::1', port: 1 },
      reason,
      bytesUp: 0,
      bytesDown: 0,
      totalMs: 1,
      heldMs: 0,
      connectMs: 1,
    });
  const closed = async (): Promise<Record<string, number>> => {
    const { values } = await metrics.sessionsClosed.get();
    return Object.fromEntries(
      values.map(({ labels: { frontend, backend, server, reason }, value }) => [
        `${frontend} ${backend} ${server} ${reason}`,
        value,
      ]),
    );
  };
  assert.deepEqual(await closed(), {});
  end('pg1', 'client');
  end('pg1', 'client');
  end('pg2', 'server');
  const first = { 'rw app pg1 client': 2, 'rw app pg2 server': 1 };
  assert.deepEqual(await closed(), first);
  assert.deepEqual(await closed(), first);
  end('pg2', 'server');
  count.workerLost([{ frontend: 'rw', backend: 'app', server: 'pg1', sessions: 5 }], 'it ended');
  assert.deepEqual(await closed(), {
    'rw app pg1 client': 2,
    'rw app pg2 server': 2,
    'rw app pg1 worker-lost': 5,
  });
  count.accepted('rw', 3);
  count.accepted('ro', 1);
  count.connected('app', 'pg1', 2);
  const text = await metrics.registry.metrics();
  for (const line of [
    'frontend_connections_total{frontend="rw"} 3',
    'frontend_connections_total{frontend="ro"} 1',
    'server_connections_total{backend="app",server="pg1"} 1',
    'sessions_closed_total{frontend="rw",backend="app",server="pg1",reason="worker-lost"} 5',
  ]) {
    assert.ok(text.includes(`pointsman_${line}\n`), line);
  }
});
