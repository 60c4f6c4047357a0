// What an elector remembers, saved and loaded: after a restart it elects whom it would have elected without one, or waits.
// Histories run through the real elections; each is saved at its end and goes on twice, with the memory and with the copy.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nothingTold, type ProbeResult, type ServerFacts } from '../../src/health/result.ts';
import { elect } from '../../src/topology/elect.ts';
import { type Ballot, type Evidence } from '../../src/topology/evidence.ts';
import { mysqlEvidence } from '../../src/topology/evidence/mysql.ts';
import { postgresEvidence } from '../../src/topology/evidence/postgres.ts';
import { redisEvidence, type RedisMemory } from '../../src/topology/evidence/redis.ts';
import { type ServerView } from '../../src/topology/model.ts';
import { channel, history } from '../support/mysql-views.ts';
import { fail, FRESHNESS_MS, pass, server } from '../support/views.ts';

const names = ['s1', 's2', 's3'];
/** In the end all are asked in turn: none becomes stale, and all have been asked for longer than any evidence waits. */
const ROUNDS = 4;
const APART_MS = 700;

/** What one server says, and how long after the word before. */
interface Word {
  readonly on: string;
  readonly afterMs: number;
  /** `null`: it is down. */
  readonly facts: ServerFacts | null;
}

const wordOf = (facts: fc.Arbitrary<ServerFacts>): fc.Arbitrary<Word> =>
  fc.record({
    on: fc.constantFrom(...names),
    afterMs: fc.constantFrom(1, 100, 300, 1100),
    facts: fc.option(facts, { freq: 5 }),
  });

const roles = fc.constantFrom(
  { role: 'primary', writable: true } as const,
  { role: 'primary', writable: true } as const,
  { role: 'replica', writable: false } as const,
);

const postgresFacts = fc
  .record({
    is: roles,
    systemId: fc.constantFrom('7', '7', '7', '8'),
    timeline: fc.integer({ min: 1, max: 3 }),
  })
  .map(({ is, ...told }): ServerFacts => ({ ...nothingTold, ...is, ...told, position: '0/3000148' }));

const gtids = fc
  .array(fc.integer({ min: 1, max: 3 }), { minLength: 3, maxLength: 3 })
  .map(lasts => lasts.map((last, index) => `0-${index + 1}-${last * 10}`).join());
const mysqlFacts = fc
  .record({
    is: roles,
    own: fc.constantFrom('1', '2', '3', undefined),
    gtids,
    systemId: fc.constantFrom(null, null, null, null, 'galera'),
    follows: fc.constantFrom([], [channel('s2')], [channel('s2', { receiving: 'connecting' })]),
  })
  .map(({ is, own, gtids: text, systemId, follows }): ServerFacts => ({
    ...nothingTold,
    ...is,
    systemId,
    channels: follows,
    history: history(text, own),
  }));

const id = fc.constantFrom('a', 'b', 'c');
const redisFacts = fc
  .record({
    is: roles,
    replicationId: id,
    offset: fc.integer({ min: 1, max: 3 }),
    previous: fc.option(fc.record({ replicationId: id, until: fc.integer({ min: 1, max: 3 }) })),
    runId: id,
  })
  .map(({ is, ...told }): ServerFacts => ({
    ...nothingTold,
    ...is,
    replicating: is.role === 'replica',
    history: { kind: 'redis', ...told },
  }));

interface Stand<Memory> {
  readonly servers: readonly ServerView[];
  readonly current: string | null;
  readonly memory: Memory | null;
  readonly now: number;
}

function heard(servers: readonly ServerView[], { on, facts }: Word, now: number): readonly ServerView[] {
  const result: ProbeResult = facts === null ? fail('L4CON', now) : { ...pass({}, now), facts };
  return servers.map(known => {
    if (known.name !== on) return known;
    const view = server(on, result);
    const claims = facts !== null && facts.role === 'primary';
    return { ...view, writableSince: claims ? (known.writableSince ?? now) : null };
  });
}

type Rules = Pick<Ballot<never>, 'policy' | 'settleMs'>;

function vote<Memory>(evidence: Evidence<Memory>, rules: Rules, stand: Stand<Memory>) {
  return elect({ ...stand, ...rules, opinion: null, directive: null, freshnessMs: FRESHNESS_MS }, evidence);
}

function after<Memory>(
  evidence: Evidence<Memory>,
  rules: Rules,
  stand: Stand<Memory>,
  word: Word,
): Stand<Memory> {
  const now = stand.now + word.afterMs;
  const servers = heard(stand.servers, word, now);
  const { primary, memory } = vote(evidence, rules, { ...stand, servers, now });
  return { servers, current: primary, memory, now };
}

function start<Memory>(): Stand<Memory> {
  return { servers: names.map(name => server(name, null)), current: null, memory: null, now: 0 };
}

/** Its memory, through the file. */
function restarted<Memory>(evidence: Evidence<Memory>, { memory, now }: Stand<Memory>): Memory | null {
  if (memory === null) return null;
  const text = JSON.stringify(evidence.save(memory, now));
  const copy = evidence.load(JSON.parse(text), { now, isSame: () => true });
  assert.notEqual(copy, null, `${text} is understood`);
  return copy;
}

/** Runs the first words, saves and loads, and lets both hear the rest, one word of each server at least. */
function bothAfterRestart<Memory>(
  evidence: Evidence<Memory>,
  rules: Rules,
  before: readonly Word[],
  rest: readonly Word[],
): { readonly ran: string | null; readonly again: string | null; readonly known: boolean } {
  let stand = start<Memory>();
  for (const word of before) stand = after(evidence, rules, stand, word);
  const { memory } = stand;
  // The restarted one is told what the other has seen, but for the memory: it is that which is on trial.
  let other: Stand<Memory> = { ...stand, memory: restarted(evidence, stand) };
  for (const word of rest) {
    stand = after(evidence, rules, stand, word);
    other = after(evidence, rules, other, word);
  }
  for (let turn = 0; turn < ROUNDS * names.length; turn += 1) {
    const on = names[turn % names.length] ?? '';
    const result = stand.servers.find(({ name }) => name === on)?.result ?? null;
    const word = { on, afterMs: APART_MS, facts: result !== null && 'facts' in result ? result.facts : null };
    stand = after(evidence, rules, stand, word);
    other = after(evidence, rules, other, word);
  }
  return { ran: stand.current, again: other.current, known: memory !== null };
}

const policies = fc.constantFrom('newest', 'keep', 'ordered', 'block' as const);
const RUNS = { numRuns: 1500 };

function holds<Memory>(
  name: string,
  evidence: Evidence<Memory>,
  facts: fc.Arbitrary<ServerFacts>,
  settleMs: number,
): void {
  test(`saved memory of ${name}: after a restart the same is elected`, () => {
    const words = fc.array(wordOf(facts), { minLength: 3, maxLength: 25, size: 'max' });
    let elected = 0;
    fc.assert(
      fc.property(words, fc.array(wordOf(facts), { maxLength: 6 }), policies, (before, rest, policy) => {
        const { ran, again, known } = bothAfterRestart(evidence, { policy, settleMs }, before, rest);
        assert.equal(again, ran);
        if (known && ran !== null) elected += 1;
      }),
      RUNS,
    );
    assert.ok(elected > RUNS.numRuns / 5, `somebody was elected with a memory ${elected} times only`);
  });
}

holds('PostgreSQL', postgresEvidence, postgresFacts, 0);
holds('PostgreSQL that settles', postgresEvidence, postgresFacts, 2000);
holds('MySQL that holds', mysqlEvidence('hold'), mysqlFacts, 0);
holds('MySQL that serves', mysqlEvidence('serve'), mysqlFacts, 0);
holds('Redis', redisEvidence(0), redisFacts, 0);

test('saved memory of Redis that settles: since when servers say they are it begins anew, and nobody else is elected', () => {
  const evidence = redisEvidence(2000);
  const words = fc.array(wordOf(redisFacts), { minLength: 3, maxLength: 25, size: 'max' });
  let [elected, waited] = [0, 0];
  fc.assert(
    fc.property(words, words, policies, (before, rest, policy) => {
      const rules = { policy, settleMs: 0 };
      let stand = start<RedisMemory>();
      for (const word of before) stand = after(evidence, rules, stand, word);
      let copy = restarted(evidence, stand);
      for (const word of rest) {
        const now = stand.now + word.afterMs;
        const next = { ...stand, servers: heard(stand.servers, word, now), now };
        const ran = vote(evidence, rules, next);
        const other = vote(evidence, rules, { ...next, memory: copy });
        if (other.primary !== null && other.primary !== stand.current) {
          assert.equal(
            ran.refusals.get(other.primary),
            undefined,
            `${other.primary} would have been refused`,
          );
          elected += 1;
        }
        if (ran.primary !== null && other.primary === null) waited += 1;
        if (ran.primary !== other.primary) return;
        stand = { ...next, current: ran.primary, memory: ran.memory };
        copy = other.memory;
      }
    }),
    RUNS,
  );
  assert.ok(elected > 100 && waited > 0, `${elected} were elected, ${waited} times it was waited`);
});

test('saved memory: loading what is anything never throws, and is believed only if it saves to itself', () => {
  const restart = { now: 5, isSame: () => true };
  fc.assert(
    fc.property(fc.anything(), value => {
      for (const evidence of [
        postgresEvidence,
        mysqlEvidence('hold'),
        redisEvidence(0),
      ] as Evidence<unknown>[]) {
        const memory = evidence.load(value, restart);
        if (memory !== null) assert.deepEqual(evidence.save(memory, restart.now), value);
      }
    }),
    RUNS,
  );
});
