// Safety rule 3 across workers, for any order of publishing, applying, answering, dying and being replaced: no two
// workers are ever on different primaries. Workers are modelled by the views on their way to them and from them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ViewGate } from '../../src/proxy/drivers/kernel/view-gate.ts';
import { type VersionedView } from '../../src/proxy/drivers/kernel/messages.ts';
import { type BackendView } from '../../src/topology/model.ts';
import { backend, pass, server } from '../support/views.ts';

const WORKERS = [0, 1, 2];
/** The proxy on the main thread beside them (TLS): it has followed a view when it was shown, and doesn't die. */
const BESIDE = 3;
const BACKENDS = ['app', 'web'];

class Member {
  /** The primary of each backend in the view that is in force; born with those of its first views. */
  readonly primary = new Map<string, string | null>();
  readonly coming: VersionedView[] = [];
  readonly answers: number[] = [];

  constructor(views: readonly VersionedView[]) {
    for (const { view } of views) this.primary.set(view.name, view.primary);
  }

  apply(): void {
    const next = this.coming.shift();
    if (next === undefined) return;
    this.primary.set(next.view.name, next.view.primary);
    this.answers.push(next.version);
  }
}

class Pool {
  readonly latest = new Map<string, BackendView>();
  readonly members = new Map<number, Member>();
  readonly gate: ViewGate;
  #published = 0;

  constructor() {
    for (const name of BACKENDS) this.latest.set(name, this.#view(name, null));
    this.gate = new ViewGate([...this.latest.values()]);
  }

  publish(name: string, primary: string | null): void {
    const view = this.#view(name, primary);
    this.latest.set(name, view);
    const sent = this.gate.publish(view);
    // What is known of the servers never waits; only the name of the primary may.
    assert.equal(sent.view.servers, view.servers);
    assert.ok(sent.view.primary === null || sent.view.primary === primary);
    this.#send(sent);
  }

  join(worker: number): void {
    if (!this.members.has(worker)) this.members.set(worker, new Member(this.gate.join(worker)));
  }

  lose(worker: number): void {
    if (this.members.delete(worker)) for (const view of this.gate.lost(worker)) this.#send(view);
  }

  answer(worker: number): void {
    const version = this.members.get(worker)?.answers.shift();
    if (version === undefined) return;
    const next = this.gate.applied(worker, version);
    if (next !== null) this.#send(next);
  }

  settle(): void {
    const busy = (): boolean =>
      [...this.members.values()].some(({ coming, answers }) => coming.length + answers.length > 0);
    for (let rounds = 0; busy(); rounds += 1) {
      assert.ok(rounds < 1000, 'views go round for ever');
      for (const [worker, member] of this.members) {
        member.apply();
        this.check();
        this.answer(worker);
      }
    }
  }

  check(): void {
    for (const name of BACKENDS) {
      const named = [...this.members.values()].map(({ primary }) => primary.get(name) ?? null);
      const primaries = new Set(named.filter(primary => primary !== null));
      assert.ok(primaries.size <= 1, `workers serve ${[...primaries].join(' and ')} at once`);
    }
  }

  #send(view: VersionedView): void {
    for (const { coming } of this.members.values()) coming.push(view);
    const beside = this.members.get(BESIDE);
    if (beside === undefined) return;
    beside.apply();
    this.check();
    this.answer(BESIDE);
  }

  #view(name: string, primary: string | null): BackendView {
    this.#published += 1;
    return backend([server('pg1', pass()), server('pg2', pass())], {
      name,
      primary,
      epoch: this.#published,
    });
  }
}

type Event = (pool: Pool) => void;

const worker = fc.constantFrom(...WORKERS);
const besideJoins: Event = Object.assign((pool: Pool) => pool.join(BESIDE), {
  toString: () => 'beside joins',
});
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom(...BACKENDS), fc.constantFrom('pg1', 'pg2', 'pg3', null))
      .map(([name, primary]): Event =>
        Object.assign((pool: Pool) => pool.publish(name, primary), {
          toString: () => `publish ${name} ${primary}`,
        }),
      ),
  },
  fc.constant(besideJoins),
  ...(
    [
      ['apply', 4, (pool: Pool, index: number) => pool.members.get(index)?.apply()],
      ['answer', 4, (pool: Pool, index: number) => pool.answer(index)],
      ['lose', 1, (pool: Pool, index: number) => pool.lose(index)],
      ['join', 2, (pool: Pool, index: number) => pool.join(index)],
    ] as const
  ).map(([name, weight, act]) => ({
    weight,
    arbitrary: worker.map((index): Event =>
      Object.assign((pool: Pool) => void act(pool, index), { toString: () => `${name} ${index}` }),
    ),
  })),
);

test('view gate: no two workers are on different primaries, whatever the order; all end on the newest', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), fc.nat(3), (events, born) => {
      const pool = new Pool();
      for (const index of WORKERS.slice(0, born)) pool.join(index);
      for (const act of events) {
        act(pool);
        pool.check();
      }
      pool.settle();
      for (const { primary } of pool.members.values()) {
        for (const name of BACKENDS) assert.equal(primary.get(name), pool.latest.get(name)?.primary);
      }
    }),
    { numRuns: 3_000 },
  );
});
