// How broken replication is shown: in the state's JSON, in the metrics, and by nothing that could carry a secret.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateJson } from '../../../src/admin/api.ts';
import { createGauges } from '../../../src/metrics/gauges.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { type BackendView, type Fault } from '../../../src/topology/model.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { brokenBy, channel, master } from '../../support/mysql-views.ts';
import { backend, server } from '../../support/views.ts';

const fault: Fault = {
  server: 'db2',
  code: 'apply-stopped',
  what: 'replication from db1 is stopped on db2',
  mend: [{ server: 'db2', statement: 'START SLAVE' }],
};
const broken = brokenBy(1062, "Query: 'create user x identified by ''hunter2'''");
const servers = [
  server('db1', master('db1', '0-1-9', { follows: [channel('db2')] })),
  server('db2', master('db2', '0-1-4', { follows: [channel('db1', broken)] })),
];
const sick: BackendView = backend(servers, { protocol: 'mysql', primary: 'db1', faults: [fault] });

test('state: a fault stands at its server with its statements, and channels without the texts of errors', () => {
  const clock = new FakeClock();
  const source = {
    version: '1',
    config: () => ({ generation: 1, appliedAt: 0, lastReload: null }),
    startedAt: '',
    clock,
    frontends: () => [],
    sessionsOf: () => 0,
    runbook: () => null,
  };
  const [db1, db2] = stateJson({ ...source, views: () => [sick] }).backends[0]?.servers ?? [];
  assert.deepEqual(db1?.faults, []);
  assert.deepEqual(db2?.faults, [{ code: fault.code, what: fault.what, mend: fault.mend }]);
  assert.deepEqual(db2?.replication, [
    {
      name: '',
      source: '10.0.0.1:5001',
      receiving: 'yes',
      applying: false,
      caught_up: false,
      lag_seconds: 0,
      receive_error: null,
      apply_error: 1062,
    },
  ]);
  assert.equal(db1?.missing_transactions, 0);
  assert.equal(db2?.missing_transactions, 5);
  assert.doesNotMatch(JSON.stringify([db1, db2]), /hunter2/);
});

test('metrics: a fault is 1 while it lasts and absent afterwards; missing transactions are counted', async () => {
  const metrics = createMetrics({ version: '1', node: 'v20' });
  let view = sick;
  const gauges = createGauges(
    metrics,
    { views: () => [view], frontends: () => [], sessionsOf: () => 0 },
    new FakeClock(),
  );
  const scrape = async (): Promise<string> => {
    gauges.refresh();
    return metrics.registry.metrics();
  };
  const first = await scrape();
  assert.match(first, /server_replication_fault{backend="app",server="db2",code="apply-stopped"} 1/);
  assert.match(first, /server_missing_transactions{backend="app",server="db2"} 5/);
  view = { ...sick, faults: [] };
  assert.doesNotMatch(await scrape(), /server_replication_fault{/);
});
