// What would be elected in backends of other protocols than PostgreSQL (those are in explain.test.ts): each with its own
// evidence, from a topology that has a past.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type History, type ProbeResult } from '../../../src/health/result.ts';
import { type Assumption } from '../../../src/topology/assumptions.ts';
import { Topology, type BackendSpec } from '../../../src/topology/topology.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { channel, master } from '../../support/mysql-views.ts';
import { FRESHNESS_MS, pass, passReplica, up } from '../../support/views.ts';

const member = (name: string, index: number) => ({
  name,
  address: { host: '10.0.0.1', port: 5001 + index },
  weight: 100,
});

const common = { name: 'app', freshnessMs: FRESHNESS_MS, slowStartMs: 0, settleMs: 0 };

/** Everybody has said this for three seconds. */
async function settled(spec: BackendSpec, words: Readonly<Record<string, ProbeResult>>): Promise<Topology> {
  const clock = new FakeClock();
  const topology = new Topology([spec], clock);
  for (let second = 0; second < 3; second += 1) {
    for (const [name, result] of Object.entries(words)) {
      topology.report('app', name, up, { ...result, at: clock.now() });
    }
    await clock.advance(1000);
  }
  return topology;
}

/** `0: null, 2500: db2`: who is the primary, and when. */
function outlook(topology: Topology, ...assumptions: readonly Assumption[]): string {
  const steps = topology.imagine('app', assumptions);
  return steps.map(({ afterMs, view }) => `${afterMs}: ${view.primary}`).join(', ');
}

const pair = (second: string) =>
  settled(
    {
      ...common,
      protocol: 'mysql',
      multipleWriters: 'ordered',
      incompleteWriter: 'hold',
      servers: ['db1', 'db2'].map(member),
    },
    {
      db1: master('db1', '0-1-100', { follows: [channel('db2')] }),
      db2: master('db2', second, { follows: [channel('db1')] }),
    },
  );

test('imagine: the second of a pair of masters takes over when it has had its time to catch up', async () => {
  const topology = await pair('0-1-100');
  assert.equal(topology.view('app').primary, 'db1');
  assert.equal(outlook(topology), '0: db1');
  assert.equal(outlook(topology, { server: 'db1', is: 'down' }), '0: null, 2500: db2');
  assert.equal(outlook(topology, { server: 'db1', is: 'maintenance' }), '0: null, 2500: db2');
  assert.equal(outlook(topology, { server: 'db1', is: 'busy' }), '0: db1');
});

test('imagine: a master that lacks transactions is not followed, unless it is promoted with all of them', async () => {
  const topology = await pair('0-1-60');
  const dead = { server: 'db1', is: 'down' } as const;
  assert.equal(outlook(topology, dead), '0: null', 'time does not help');
  assert.equal(outlook(topology, dead, { server: 'db2', is: 'promoted' }), '0: null, 2500: db2');
});

test('imagine: a Redis replica that is promoted goes on with the history of the lost primary', async () => {
  const history = (runId: string): History => ({
    kind: 'redis',
    replicationId: 'a'.repeat(40),
    offset: 500,
    previous: null,
    runId,
  });
  const topology = await settled(
    {
      ...common,
      protocol: 'redis',
      multipleWriters: 'newest',
      settleMs: 10_000,
      servers: ['r1', 'r2'].map(member),
    },
    { r1: pass({ history: history('one') }), r2: passReplica({ history: history('two') }) },
  );
  const dead = { server: 'r1', is: 'down' } as const;
  assert.equal(outlook(topology, dead), '0: null');
  assert.equal(outlook(topology, dead, { server: 'r2', is: 'promoted' }), '0: r2');
  assert.equal(topology.view('app').primary, 'r1');
});

test('imagine: where there are no roles nobody becomes the primary', async () => {
  const topology = await settled(
    { ...common, protocol: 'http', servers: ['b1', 'b2'].map(member) },
    { b1: pass({ role: 'unknown', writable: false }), b2: pass({ role: 'unknown', writable: false }) },
  );
  const [only, ...more] = topology.imagine('app', [{ server: 'b1', is: 'down' }]);
  assert.equal(more.length, 0);
  assert.deepEqual([only?.view.primary, only?.view.servers[0]?.health.kind], [null, 'down']);
});
