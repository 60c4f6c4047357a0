import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGauges } from '../../../src/metrics/gauges.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { incidentMetrics, revisedLossMetrics } from '../../../src/metrics/observers.ts';
import { type Incident } from '../../../src/topology/incidents.ts';
import { type Loss } from '../../../src/topology/loss.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { backend } from '../../support/views.ts';

const said = { unseenMs: 0, words: '' };
const bytes = (count: number): Loss => ({
  ...said,
  kind: 'bytes',
  bytes: count,
  of: 'WAL',
  atLeast: false,
  remark: null,
});
const none: Loss = { ...said, kind: 'none', why: '' };
const unknown: Loss = { ...said, kind: 'unknown', why: '' };
const transactions = (count: number): Loss => ({ ...said, kind: 'transactions', count, gtids: '' });

function incident(loss: Loss | null, outcome: Incident['outcome'] = 'failover'): Incident {
  return {
    id: 1,
    backend: 'app',
    outcome,
    firstSign: { server: 'pg1', code: 'L4LOST', detail: '', wallAt: 0 },
    oldPrimary: 'pg1',
    newPrimary: 'pg2',
    epoch: 2,
    detectedMs: 1,
    durationMs: 700,
    sessionsClosed: 0,
    held: { count: 0, served: 0, maxWaitMs: 0 },
    loss,
    evidence: [],
    events: [],
    outputs: [],
  };
}

function setup() {
  const metrics = createMetrics({ version: '1', node: 'v20' });
  createGauges(
    metrics,
    { views: () => [backend([])], frontends: () => [], sessionsOf: () => 0 },
    new FakeClock(),
  );
  const lines = async (): Promise<readonly string[]> =>
    (await metrics.registry.metrics())
      .split('\n')
      .flatMap(line => /^pointsman_(failover(?:s_total|_lost_).*)$/.exec(line)?.[1] ?? []);
  return {
    ended: incidentMetrics(metrics),
    revised: revisedLossMetrics(metrics),
    failovers: async () => (await lines()).filter(line => line.startsWith('failovers')),
    lost: async () => (await lines()).filter(line => line.startsWith('failover_')),
  };
}

test('metrics: failovers are counted by what the loss report says, from zero', async () => {
  const s = setup();
  const expected = (none: number, unseen: number, seen: number, unknown: number): readonly string[] =>
    Object.entries({ none, unseen, seen, unknown }).map(
      ([loss, count]) => `failovers_total{backend="app",loss="${loss}"} ${count}`,
    );
  assert.deepEqual(await s.failovers(), expected(0, 0, 0, 0));
  for (const loss of [none, bytes(0), transactions(0), bytes(7), transactions(7), unknown, null])
    s.ended(incident(loss));
  s.ended(incident(bytes(7), 'recovered'));
  s.revised(incident(bytes(9)));
  assert.deepEqual(await s.failovers(), expected(1, 2, 2, 1));
});

test('metrics: what the last incident lost is told in the unit of its report, and absent where it is unknown', async () => {
  const s = setup();
  assert.deepEqual(await s.lost(), []);
  s.ended(incident(bytes(128)));
  assert.deepEqual(await s.lost(), ['failover_lost_bytes{backend="app"} 128']);
  s.revised(incident(bytes(640)));
  assert.deepEqual(await s.lost(), ['failover_lost_bytes{backend="app"} 640']);
  s.ended(incident(transactions(3)));
  assert.deepEqual(await s.lost(), ['failover_lost_transactions{backend="app"} 3']);
  s.ended(incident(none));
  assert.deepEqual(await s.lost(), [
    'failover_lost_bytes{backend="app"} 0',
    'failover_lost_transactions{backend="app"} 0',
  ]);
  s.ended(incident(unknown));
  assert.deepEqual(await s.lost(), []);
});
