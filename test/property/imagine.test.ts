// What `explain` says beforehand is what then happens: a random past, one assumption, and the same made true on the very
// topology that was asked; and asking leaves no trace.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ProbeResult } from '../../src/health/result.ts';
import { initialHealth, observe, type HealthState } from '../../src/health/state.ts';
import { assumptionKinds, type AssumptionKind } from '../../src/topology/assumptions.ts';
import { type MultipleWritersPolicy } from '../../src/config/schema.ts';
import { adminStates, type AdminState, type Opinion } from '../../src/topology/model.ts';
import { Topology } from '../../src/topology/topology.ts';
import { fail, FRESHNESS_MS, pass, passReplica } from '../support/views.ts';

const names = ['pg1', 'pg2', 'pg3'] as const;
const SETTLE_MS = 5000;
const STEP_MS = 250;

const result: fc.Arbitrary<ProbeResult> = fc.oneof(
  fc
    .record({ timeline: fc.integer({ min: 1, max: 3 }), position: fc.constantFrom('0/3000000', '0/4000000') })
    .map(pass),
  fc
    .record({
      timeline: fc.integer({ min: 1, max: 3 }),
      position: fc.constantFrom('0/3000000', '0/4000000'),
      // One that receives goes on from where its primary is: it doesn't say the same for ever.
      replicating: fc.constant(false),
    })
    .map(passReplica),
  fc.constant(pass({ writable: false })),
  fc.constantFrom('L4CON', 'L7TOUT', 'L7BUSY').map(code => fail(code)),
);
const nominee = (name: string) => ({ address: addressOf(name), name: null });
const addressOf = (name: string) => ({ host: '127.0.0.1', port: 5000 + Number(name.slice(2)) });
const opinion: fc.Arbitrary<Opinion | null> = fc.option(
  fc.record({
    primary: fc.option(fc.constantFrom(...names).map(nominee)),
    against: fc.subarray(names.map(nominee), { maxLength: 1 }),
    passive: fc.boolean(),
    words: fc.constant('the monitor says so'),
    process: fc.constant(null),
    at: fc.constant(0),
  }),
);

type Step =
  | { readonly server: string; readonly result: ProbeResult; readonly elapsedMs: number }
  | { readonly opinion: Opinion | null }
  | { readonly server: string; readonly admin: AdminState };
const word = fc.record({
  server: fc.constantFrom(...names),
  result,
  // Whole steps: in life a server is heard at its next check, and who is heard first may be chosen.
  elapsedMs: fc.constantFrom(0, STEP_MS, 1000, 3000),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: word },
  { weight: 1, arbitrary: fc.record({ opinion }) },
  {
    weight: 1,
    arbitrary: fc.record({ server: fc.constantFrom(...names), admin: fc.constantFrom(...adminStates) }),
  },
);
const assumption = fc.record({
  server: fc.constantFrom(...names),
  is: fc.constantFrom(...(Object.keys(assumptionKinds) as AssumptionKind[])),
});
const scenario = fc.record({
  history: fc.array(step, { maxLength: 30, size: 'max' }),
  multipleWriters: fc.constantFrom<MultipleWritersPolicy>('newest', 'keep', 'block', 'ordered'),
  settleMs: fc.constantFrom(0, SETTLE_MS),
});

function stage(multipleWriters: MultipleWritersPolicy, settleMs: number) {
  let now = 0;
  const never = (): never => assert.fail('an election waits for nothing');
  const clock = { now: () => now, wall: () => now, schedule: never, afterInput: never };
  const servers = names.map(name => ({ name, address: addressOf(name), weight: 100 }));
  const rules = { protocol: 'postgres', multipleWriters, settleMs } as const;
  const spec = { name: 'app', servers, freshnessMs: FRESHNESS_MS, slowStartMs: 0, ...rules };
  const topology = new Topology([spec], clock);
  const health = new Map<string, HealthState>();
  const report = (server: string, given: ProbeResult): void => {
    const stamped = { ...given, at: now, wallAt: now };
    const next = observe(health.get(server) ?? initialHealth, stamped, { rise: 1, fall: 2 }).state;
    health.set(server, next);
    topology.report('app', server, next, stamped);
  };
  const advance = (ms: number): void => void (now += ms);
  const take = (taken: Step): void => {
    if ('opinion' in taken) return topology.reportOpinion('app', taken.opinion);
    if ('admin' in taken) return topology.setAdmin('app', taken.server, taken.admin);
    advance(taken.elapsedMs);
    report(taken.server, taken.result);
  };
  return { topology, advance, take, now: () => now };
}

type Stage = ReturnType<typeof stage>;

/** Makes true what was assumed of one server. */
function realize(
  { topology }: Stage,
  server: string,
  outlook: ReturnType<Topology['imagine']>[number],
): void {
  const before = topology.view('app');
  const supposed = outlook.view.servers.find(({ name }) => name === server);
  assert.ok(supposed !== undefined);
  const { admin, health, result: told } = supposed;
  if (outlook.view.opinion !== before.opinion) topology.reportOpinion('app', outlook.view.opinion);
  const present = topology.view('app').servers.find(({ name }) => name === server);
  if (present?.admin !== admin) topology.setAdmin('app', server, admin);
  else if (told !== null && present?.result !== told) topology.report('app', server, health, told);
}

/** Everybody is asked, and says what he said before. */
function repeat({ topology, now }: Stage): void {
  for (const { name, health, result: told } of topology.view('app').servers) {
    if (told !== null) topology.report('app', name, health, { ...told, at: now() });
  }
}

test('imagine: what is said beforehand is what happens at once', () => {
  fc.assert(
    fc.property(scenario, assumption, ({ history, multipleWriters, settleMs }, assumed) => {
      const on = stage(multipleWriters, settleMs);
      history.forEach(on.take);
      const [first] = on.topology.imagine('app', [assumed]);
      assert.ok(first !== undefined);
      // An opinion and a word that come together in the question come one after the other in life.
      const together = first.view.opinion !== on.topology.view('app').opinion;
      const before = on.topology.view('app');
      realize(on, assumed.server, first);
      const view = on.topology.view('app');
      if (view === before) return;
      assert.equal(
        view.primary,
        first.view.primary,
        `${view.reasons.join()} not ${first.view.reasons.join()}`,
      );
      assert.equal(view.splitBrain, first.view.splitBrain);
      if (!together) assert.deepEqual(view.reasons, first.view.reasons);
    }),
    { numRuns: 3000 },
  );
});

test('imagine: and what happens in the end, while everybody goes on saying the same', () => {
  fc.assert(
    fc.property(scenario, assumption, ({ history, multipleWriters, settleMs }, assumed) => {
      const on = stage(multipleWriters, settleMs);
      history.forEach(on.take);
      repeat(on);
      const outlooks = on.topology.imagine('app', [assumed]);
      const [first, last = first] = outlooks;
      assert.ok(first !== undefined && last !== undefined);
      realize(on, assumed.server, first);
      for (let elapsed = 0; elapsed <= SETTLE_MS + STEP_MS; elapsed += STEP_MS) {
        on.advance(STEP_MS);
        repeat(on);
      }
      const { primary, reasons } = on.topology.view('app');
      assert.equal(primary, last.view.primary, `${reasons.join()} not ${last.view.reasons.join()}`);
    }),
    { numRuns: 2000 },
  );
});

test('imagine: a question changes nothing, is not remembered and is not published', () => {
  fc.assert(
    fc.property(scenario, fc.array(assumption, { maxLength: 4 }), ({ history, ...rules }, assumed) => {
      const asked = stage(rules.multipleWriters, rules.settleMs);
      const left = stage(rules.multipleWriters, rules.settleMs);
      let published = 0;
      asked.topology.changes.subscribe(() => (published += 1));
      left.topology.changes.subscribe(() => (published -= 1));
      for (const taken of history) {
        asked.take(taken);
        const before = asked.topology.view('app');
        asked.topology.imagine('app', assumed);
        assert.equal(asked.topology.view('app'), before);
        left.take(taken);
      }
      assert.equal(published, 0);
      assert.deepEqual(asked.topology.view('app'), left.topology.view('app'));
      assert.deepEqual(asked.topology.save(), left.topology.save());
    }),
    { numRuns: 500 },
  );
});
