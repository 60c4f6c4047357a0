// Safety rules 1, 2, 6 and 8 as properties of the election over random histories of probe results.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { factsOf, type ProbeResult } from '../../src/health/result.ts';
import { initialHealth, observe, type HealthState } from '../../src/health/state.ts';
import { type MultipleWritersPolicy } from '../../src/config/schema.ts';
import { Topology } from '../../src/topology/topology.ts';
import { fail, FRESHNESS_MS, pass, passReplica } from '../support/views.ts';

const names = ['pg1', 'pg2', 'pg3'] as const;

const result: fc.Arbitrary<ProbeResult> = fc.oneof(
  fc
    .record({ timeline: fc.integer({ min: 1, max: 4 }), systemId: fc.constantFrom('A', 'A', 'A', 'B') })
    .map(pass),
  fc.constant(pass({ writable: false })),
  fc.constant(passReplica()),
  fc.constantFrom('L4CON', 'L7TOUT', 'L4LOST', 'L7BUSY', 'L7START', 'L7AUTH').map(code => fail(code)),
);
const step = fc.record({
  server: fc.constantFrom(...names),
  result,
  elapsedMs: fc.constantFrom(0, 1, 50, 1000, 3000),
});
const policy = fc.constantFrom<MultipleWritersPolicy>('newest', 'keep', 'block', 'ordered');

function replay(
  history: readonly { server: string; result: ProbeResult; elapsedMs: number }[],
  multipleWriters: MultipleWritersPolicy,
  look: (topology: Topology, now: number) => void,
): void {
  let now = 0;
  const never = (): never => assert.fail('an election waits for nothing');
  const clock = { now: () => now, wall: () => now, schedule: never, afterInput: never };
  const servers = names.map((name, index) => ({
    name,
    address: { host: '127.0.0.1', port: 5001 + index },
    weight: 100,
  }));
  const topology = new Topology(
    [
      {
        name: 'app',
        protocol: 'postgres',
        servers,
        multipleWriters,
        freshnessMs: FRESHNESS_MS,
        slowStartMs: 0,
        settleMs: 0,
      },
    ],
    clock,
  );
  const health = new Map<string, HealthState>();
  for (const { server, result: given, elapsedMs } of history) {
    now += elapsedMs;
    const stamped = { ...given, at: now, wallAt: now };
    const next = observe(health.get(server) ?? initialHealth, stamped, { rise: 1, fall: 2 }).state;
    health.set(server, next);
    topology.report('app', server, next, stamped);
    look(topology, now);
  }
}

test('election: a server becomes primary only on its own fresh word that it is writable', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), policy, (history, multipleWriters) => {
      let previous: string | null = null;
      replay(history, multipleWriters, (topology, now) => {
        const view = topology.view('app');
        if (view.primary !== null && view.primary !== previous) {
          const chosen = view.servers.find(({ name }) => name === view.primary);
          const facts = factsOf(chosen?.result ?? null);
          assert.ok(facts?.writable && facts.role === 'primary' && chosen?.health.kind === 'up');
          assert.ok(now - (chosen?.result?.at ?? -Infinity) <= FRESHNESS_MS);
        }
        previous = view.primary;
      });
    }),
    { numRuns: 2000 },
  );
});

test('election: the primary is never one that says it is not writable, nor one that is down', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), policy, (history, multipleWriters) => {
      replay(history, multipleWriters, topology => {
        const view = topology.view('app');
        const server = view.servers.find(({ name }) => name === view.primary);
        const facts = factsOf(server?.result ?? null);
        assert.ok(facts === null || (facts.writable && facts.role === 'primary'));
        assert.notEqual(server?.health.kind, 'down');
      });
    }),
    { numRuns: 2000 },
  );
});

test('election: timelines of one cluster never go back, and another cluster is never taken for it', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), policy, (history, multipleWriters) => {
      let newest = 0;
      let cluster: string | null = null;
      let previous: string | null = null;
      replay(history, multipleWriters, topology => {
        const view = topology.view('app');
        const facts = factsOf(view.servers.find(({ name }) => name === view.primary)?.result ?? null);
        if (view.primary !== previous && facts !== null) {
          assert.ok((facts.timeline ?? 0) >= newest, `timeline ${facts.timeline} after ${newest}`);
          assert.ok(cluster === null || facts.systemId === cluster);
          cluster = facts.systemId;
        }
        if (view.primary !== null && facts !== null) newest = Math.max(newest, facts.timeline ?? 0);
        previous = view.primary;
      });
    }),
    { numRuns: 2000 },
  );
});

test('election: the epoch changes exactly with the primary, by one, upwards', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), policy, (history, multipleWriters) => {
      let previous: { primary: string | null; epoch: number } = { primary: null, epoch: 0 };
      replay(history, multipleWriters, topology => {
        const { primary, epoch } = topology.view('app');
        assert.equal(epoch, previous.epoch + (primary === previous.primary ? 0 : 1));
        previous = { primary, epoch };
      });
    }),
    { numRuns: 1000 },
  );
});

test('election: a writer that is seen well keeps its place while no other shows newer evidence (no failback)', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.constantFrom('newest', 'keep', 'ordered'),
      (history, rule) => {
        let previous: string | null = null;
        let cluster: string | null = null;
        replay(history, rule, topology => {
          const view = topology.view('app');
          const factsNow = (name: string | null) =>
            factsOf(view.servers.find(server => server.name === name)?.result ?? null);
          const before = factsNow(previous);
          const winner = factsNow(view.primary);
          // A server that was replaced in place by another cluster is not the writer that was followed.
          const well =
            before !== null && before.writable && before.role === 'primary' && before.systemId === cluster;
          if (view.primary !== previous && view.primary !== null) {
            if (well)
              assert.ok(
                (winner?.timeline ?? 0) > (before.timeline ?? 0),
                'only a newer timeline displaces it',
              );
            cluster = winner?.systemId ?? null;
          }
          previous = view.primary;
        });
      },
    ),
    { numRuns: 2000 },
  );
});
