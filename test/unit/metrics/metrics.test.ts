import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGauges } from '../../../src/metrics/gauges.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { topologyMetrics } from '../../../src/metrics/observers.ts';
import { type BackendView } from '../../../src/topology/model.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { backend, fail, pass, passReplica, passTcp, server } from '../../support/views.ts';

const build = { version: '1', node: 'v20' };

async function value(metrics: ReturnType<typeof createMetrics>, line: string): Promise<number | undefined> {
  const text = await metrics.registry.metrics();
  const found = text.split('\n').find(candidate => candidate.startsWith(`pointsman_${line} `));
  return found === undefined ? undefined : Number(found.split(' ').at(-1));
}

test('metrics: time without a primary is counted from the start, across changes and between scrapes', async () => {
  const clock = new FakeClock();
  const metrics = createMetrics(build);
  let view: BackendView = backend([server('pg1', pass())]);
  const gauges = createGauges(
    metrics,
    { views: () => [view], frontends: () => [], sessionsOf: () => 0 },
    clock,
  );
  const become = (primary: string | null): void => {
    const before = view;
    view = { ...view, primary };
    gauges.observe({ before, after: view, at: clock.now() });
  };
  await clock.advance(1000);
  become('pg1');
  await clock.advance(5000);
  become(null);
  await clock.advance(500);
  gauges.refresh();
  await clock.advance(250);
  become('pg1');
  await clock.advance(9000);
  gauges.refresh();
  assert.equal(await value(metrics, 'backend_without_primary_seconds_total{backend="app"}'), 1.75);
});

test('metrics: only a change to another server counts as a change of the primary', async () => {
  const metrics = createMetrics(build);
  const observe = topologyMetrics(metrics);
  const names = ['pg1', null, 'pg1', null, 'pg2'];
  names.reduce<BackendView>((before, primary) => {
    const after = backend([], { primary });
    observe({ before, after, at: 0 });
    return after;
  }, backend([]));
  assert.equal(await value(metrics, 'backend_primary_changes_total{backend="app"}'), 1);
});

test('metrics: each probe result is counted once, failures by code', async () => {
  const metrics = createMetrics(build);
  const observe = topologyMetrics(metrics);
  const first = backend([server('pg1', fail('L7TOUT')), server('pg2', passReplica())]);
  observe({ before: backend([server('pg1', null), server('pg2', null)]), after: first, at: 0 });
  const [pg1, pg2] = first.servers;
  assert.ok(pg1 && pg2);
  observe({ before: first, after: backend([server('pg1', fail('L7TOUT')), pg2]), at: 0 });
  assert.equal(
    await value(metrics, 'server_check_failures_total{backend="app",server="pg1",code="L7TOUT"}'),
    2,
  );
  assert.equal(await value(metrics, 'server_check_seconds_count{backend="app",server="pg2"}'), 1);
});

test('metrics: an unknown lag is absent, not zero, and disappears when it becomes unknown', async () => {
  const metrics = createMetrics(build);
  let view = backend([server('pg1', passReplica({ lagSeconds: 3 }))]);
  const live = { views: () => [view], frontends: () => [], sessionsOf: () => 0 };
  const gauges = createGauges(metrics, live, new FakeClock());
  gauges.refresh();
  const line = 'server_replication_lag_seconds{backend="app",server="pg1"}';
  assert.equal(await value(metrics, line), 3);
  view = backend([server('pg1', passReplica({ lagSeconds: null, replicating: false }))]);
  gauges.refresh();
  assert.equal(await value(metrics, line), undefined);
});

test('metrics: bytes of open sessions count at each scrape, once', async () => {
  const metrics = createMetrics(build);
  let bytesUp = 100;
  const gauges = createGauges(
    metrics,
    {
      views: () => [],
      sessionsOf: () => 0,
      frontends: () => [
        {
          name: 'rw',
          bind: { host: '127.0.0.1', port: 1 },
          backend: 'app',
          route: 'primary',
          connections: 1,
          sessions: 1,
          held: 0,
          available: true,
          bytesUp,
          bytesDown: 7,
          unused: [],
        },
      ],
    },
    new FakeClock(),
  );
  gauges.refresh();
  bytesUp = 150;
  gauges.refresh();
  assert.equal(await value(metrics, 'frontend_bytes_total{frontend="rw",direction="in"}'), 150);
  assert.equal(await value(metrics, 'frontend_bytes_total{frontend="rw",direction="out"}'), 7);
});

test('metrics: an orchestrator that is asked shows whether it answers and agrees; where none is, there is no line', async () => {
  const metrics = createMetrics(build);
  const opinion = {
    words: 'Patroni names pg2',
    primary: { address: server('pg2', null).address, name: null },
    against: [],
    process: null,
    passive: false,
    at: 0,
  };
  let views = [
    backend([server('pg1', pass())], { orchestrator: 'Patroni', opinion, disagreement: 'pg1 is writable' }),
    backend([server('pg1', pass())], { name: 'alone' }),
  ];
  const live = { views: () => views, frontends: () => [], sessionsOf: () => 0 };
  const gauges = createGauges(metrics, live, new FakeClock());
  gauges.refresh();
  assert.equal(await value(metrics, 'backend_orchestrator_up{backend="app"}'), 1);
  assert.equal(await value(metrics, 'backend_orchestrator_disagreement{backend="app"}'), 1);
  assert.equal(await value(metrics, 'backend_orchestrator_up{backend="alone"}'), undefined);
  views = [backend([server('pg1', pass())], { orchestrator: 'Patroni' })];
  gauges.refresh();
  assert.equal(await value(metrics, 'backend_orchestrator_up{backend="app"}'), 0);
  assert.equal(await value(metrics, 'backend_orchestrator_disagreement{backend="app"}'), 0);
});

test('metrics: a backend without roles has nothing to say of primaries, so no alert on them fires', async () => {
  const clock = new FakeClock();
  const metrics = createMetrics(build);
  const views = [
    backend([server('pg1', pass())], { primary: 'pg1' }),
    backend([server('c1', passTcp()), server('c2', fail())], { name: 'cache', protocol: 'tcp' }),
  ];
  const gauges = createGauges(
    metrics,
    { views: () => views, frontends: () => [], sessionsOf: () => 3 },
    clock,
  );
  await clock.advance(60_000);
  gauges.refresh();
  const text = await metrics.registry.metrics();
  const [ofApp, ofCache] = ['app', 'cache'].map(name =>
    text
      .split('\n')
      .filter(line => line.includes(`backend="${name}"`))
      .map(line => line.replace(/^pointsman_|\{.*/g, '')),
  );
  for (const name of ['backend_primary', 'backend_without_primary_seconds_total', 'server_role'])
    assert.ok(ofApp?.includes(name), name);
  assert.deepEqual([...new Set(ofCache)].sort(), [
    'server_admin_state',
    'server_connections_active',
    'server_up',
  ]);
  assert.equal(await value(metrics, 'server_up{backend="cache",server="c1"}'), 1);
  assert.equal(await value(metrics, 'server_up{backend="cache",server="c2"}'), 0);
  assert.equal(await value(metrics, 'server_connections_active{backend="cache",server="c1"}'), 3);
});

test('metrics: what an operator decided about a server is 1 of three, also where there are no roles', async () => {
  const metrics = createMetrics(build);
  const views = [
    backend([{ ...server('pg1', pass()), admin: 'drain' }]),
    backend([{ ...server('c1', passTcp()), admin: 'maintenance' }], { name: 'cache', protocol: 'tcp' }),
  ];
  const live = { views: () => views, frontends: () => [], sessionsOf: () => 0 };
  createGauges(metrics, live, new FakeClock()).refresh();
  const states = async (labels: string) =>
    Promise.all(
      ['ready', 'drain', 'maintenance'].map(state =>
        value(metrics, `server_admin_state{${labels},state="${state}"}`),
      ),
    );
  assert.deepEqual(await states('backend="app",server="pg1"'), [0, 1, 0]);
  assert.deepEqual(await states('backend="cache",server="c1"'), [0, 0, 1]);
});
