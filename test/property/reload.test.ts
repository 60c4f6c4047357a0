// Any configuration, reloaded to any other: what the topology then goes by is what it would be after a start with the other;
// what is known of servers that stay is kept, and a primary that stays a member is the primary still.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backendSpecs } from '../../src/app/monitors.ts';
import { applyConfig, type ReloadParts } from '../../src/app/reload.ts';
import { planReload } from '../../src/config/reload-plan.ts';
import { configSchema, type Config } from '../../src/config/schema.ts';
import { type BackendView } from '../../src/topology/model.ts';
import { Topology } from '../../src/topology/topology.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { pass, passReplica, up } from '../support/views.ts';

const serverNames = ['pg1', 'pg2', 'pg3', 'pg4'] as const;

const server = fc.record({
  address: fc.constantFrom('10.0.0.1:5001', '10.0.0.2:5001', '10.0.0.3:5001'),
  weight: fc.constantFrom(1, 50, 100),
  backup: fc.boolean(),
});
const servers = fc
  .uniqueArray(fc.constantFrom(...serverNames), { minLength: 1 })
  .chain(names =>
    fc
      .tuple(...names.map(() => server))
      .map(all => Object.fromEntries(all.map((one, index) => [names[index], one]))),
  );
const backend = fc.record({
  protocol: fc.constantFrom('postgres', 'tcp'),
  interval: fc.constantFrom('1s', '2s'),
  slow_start: fc.constantFrom('0s', '5s'),
  circuit_breaker: fc.option(fc.record({ failures: fc.integer({ min: 1, max: 9 }) }), { nil: undefined }),
  servers,
});
const config = fc
  .record({ app: backend, other: fc.option(backend, { nil: undefined }), hold: fc.constantFrom('3s', '9s') })
  .map(({ app, other, hold }): Config => {
    const written = { app, ...(other === undefined ? {} : { other }) };
    const frontends = Object.keys(written).map((name, index) => [
      name,
      { bind: `127.0.0.1:${6000 + index}`, backend: name, route: 'any', hold },
    ]);
    const backends = Object.entries(written).map(([name, { protocol, interval, ...rest }]) => {
      const check = protocol === 'postgres' ? { user: 'probe', interval } : { interval };
      const { slow_start, circuit_breaker, servers: members } = rest;
      return [name, { protocol, check, slow_start, circuit_breaker, servers: members }];
    });
    return configSchema.parse({
      frontends: Object.fromEntries(frontends) as object,
      backends: Object.fromEntries(backends) as object,
    });
  });

/** All of a view that a configuration says. */
function configured({ servers: members, ...view }: BackendView): object {
  const { name, protocol, freshnessMs, slowStartMs, circuitBreaker, surge, sendProxy, orchestrator } = view;
  return {
    ...{ name, protocol, freshnessMs, slowStartMs, circuitBreaker, surge, sendProxy, orchestrator },
    servers: members.map(one => [
      one.name,
      one.address,
      one.weight,
      one.maxConnections,
      one.zone,
      one.backup,
    ]),
  };
}

/** The parts of the program but the topology: nobody listens, nobody is asked, members are those of the file. */
function partsAround(topology: Topology): ReloadParts {
  return {
    topology,
    proxy: { prepare: () => Promise.resolve({ apply: () => Promise.resolve() }) } as never,
    monitors: { reconfigure: () => undefined },
    resolver: { reconfigure: specs => specs.forEach(spec => topology.setMembers(spec.name, spec.servers)) },
    orchestrators: { reconfigure: () => undefined },
  };
}

test('reload: any configuration after any other is as if it had been there from the start, and keeps what is known', async () => {
  await fc.assert(
    fc.asyncProperty(config, fc.array(config, { minLength: 1, maxLength: 4 }), async (first, later) => {
      const topology = new Topology(backendSpecs(first), new FakeClock());
      let before = first;
      for (const next of later) {
        for (const { name, protocol, servers: members } of topology.views()) {
          for (const [index, one] of members.entries()) {
            const says = protocol === 'postgres' && index === 0 ? pass() : passReplica();
            topology.report(name, one.name, up, says);
          }
        }
        const known = new Map(topology.views().map(view => [view.name, view]));
        await applyConfig(partsAround(topology), next);
        const fresh = new Topology(backendSpecs(next), new FakeClock());
        assert.deepEqual(topology.views().map(configured), fresh.views().map(configured));
        for (const view of topology.views()) assertKept(known.get(view.name), view);
        before = next;
      }
      assert.deepEqual(planReload(before, later.at(-1)!).changes, []);
    }),
  );
});

function assertKept(before: BackendView | undefined, after: BackendView): void {
  if (before === undefined || before.protocol !== after.protocol) return;
  assert.ok(after.epoch >= before.epoch);
  const place = (view: BackendView, name: string | null): unknown =>
    view.servers.find(one => one.name === name)?.address;
  const stays = before.primary !== null && place(after, before.primary) !== undefined;
  const isSame =
    JSON.stringify(place(before, before.primary)) === JSON.stringify(place(after, before.primary));
  if (stays && isSame) assert.equal(after.primary, before.primary);
  else if (!stays) assert.equal(after.primary, null);
}

test('reload plan: nothing is named exactly if nothing differs, and the way back names the same', () => {
  const paths = (before: Config, after: Config): readonly string[] =>
    planReload(before, after)
      .changes.map(change => change.replace(/ \((new|removed)\)$/, ''))
      .toSorted();
  fc.assert(
    fc.property(config, config, (one, other) => {
      assert.deepEqual(paths(one, other), paths(other, one));
      assert.deepEqual(paths(one, structuredClone(one)), []);
      assert.equal(paths(one, other).length === 0, JSON.stringify(one) === JSON.stringify(other));
    }),
  );
});
