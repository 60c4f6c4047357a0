// Since when a server has been up: what a slow start counts from.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ProbeResult } from '../../../src/health/result.ts';
import { initialHealth, observe } from '../../../src/health/state.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { fail, FRESHNESS_MS, passTcp } from '../../support/views.ts';

/** What is said of a server after each of these results, a second apart. */
async function upSince(results: readonly ProbeResult[], rise = 1): Promise<readonly (number | null)[]> {
  const clock = new FakeClock();
  const servers = [{ name: 'c1', address: { host: '127.0.0.1', port: 1 }, weight: 100 }];
  const topology = new Topology(
    [{ name: 'cache', protocol: 'tcp', servers, freshnessMs: FRESHNESS_MS, slowStartMs: 0 }],
    clock,
  );
  let health = initialHealth;
  const told: (number | null)[] = [];
  for (const result of results) {
    await clock.advance(1000);
    health = observe(health, result, { rise, fall: 2 }).state;
    topology.report('cache', 'c1', health, result);
    told.push(topology.view('cache').servers[0]?.upSince ?? null);
  }
  return told;
}

test('up since: a server that was up when it was first asked has been so for longer than is known', async () => {
  assert.deepEqual(await upSince([passTcp(), passTcp()]), [-Infinity, -Infinity]);
  assert.deepEqual(await upSince([passTcp(), passTcp()], 2), [null, -Infinity]);
});

test('up since: a server that came up has been since then, a missed probe or not', async () => {
  const results = [fail(), passTcp(), fail(), passTcp()];
  assert.deepEqual(await upSince(results), [null, 2000, 2000, 2000]);
});

test('up since: a server that was down begins anew', async () => {
  const results = [passTcp(), fail(), fail(), passTcp(), passTcp()];
  assert.deepEqual(await upSince(results), [-Infinity, -Infinity, null, 4000, 4000]);
});
