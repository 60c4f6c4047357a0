// Who may be followed, as data: a sequence of words of the servers, and the primary after each.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MultipleWritersPolicy } from '../../../../src/config/schema.ts';
import { type ProbeResult } from '../../../../src/health/result.ts';
import { initialHealth, observe, type HealthState } from '../../../../src/health/state.ts';
import { type BackendView } from '../../../../src/topology/model.ts';
import { Topology } from '../../../../src/topology/topology.ts';
import { brokenBy, channel, master } from '../../../support/mysql-views.ts';
import { fail, FRESHNESS_MS } from '../../../support/views.ts';

interface Word {
  readonly at: number;
  readonly server: string;
  readonly says: ProbeResult;
  /** The primary after it. */
  readonly primary: string | null;
  /** What its reasons say then. */
  readonly reason?: RegExp;
}

interface Story {
  readonly name: string;
  readonly policy?: MultipleWritersPolicy;
  readonly incomplete?: 'hold' | 'serve';
  readonly words: readonly Word[];
}

const from1 = [channel('db1')];
const from2 = [channel('db2')];
/** db1's connection is gone, and all that it had sent is applied. */
const after1 = [channel('db1', { receiving: 'connecting' })];
const working1 = [channel('db1', { receiving: 'connecting', caughtUp: false })];
const db1 = (gtids: string | null, follows = from2): ProbeResult => master('db1', gtids, { follows });
const db2 = (gtids: string | null, follows = from1): ProbeResult => master('db2', gtids, { follows });
const dead = fail('L4CON');

/** Both well, db1 the primary with 100 transactions for longer than a second. */
const settled: readonly Word[] = [
  { at: 0, server: 'db1', says: db1('0-1-100'), primary: null, reason: /first word of db2/ },
  { at: 1, server: 'db2', says: db2('0-1-100'), primary: 'db1', reason: /first in file order/ },
  { at: 1000, server: 'db1', says: db1('0-1-100'), primary: 'db1' },
  { at: 1001, server: 'db2', says: db2('0-1-100'), primary: 'db1', reason: /stays/ },
  { at: 2000, server: 'db1', says: db1('0-1-100'), primary: 'db1' },
];
const killed = (at: number): readonly Word[] => [
  { at, server: 'db1', says: fail('L4LOST', at), primary: 'db1', reason: /in doubt/ },
  { at: at + 1, server: 'db1', says: dead, primary: null, reason: /db1 is lost/ },
];

const stories: readonly Story[] = [
  {
    name: 'the first in file order is followed once both are heard, and stays',
    words: [...settled, { at: 2001, server: 'db2', says: db2('0-1-100'), primary: 'db1' }],
  },
  {
    name: 'the second takes over at its first word after the death, having all',
    words: [
      ...settled,
      ...killed(2500),
      { at: 2505, server: 'db2', says: db2('0-1-100', after1), primary: 'db2', reason: /only server/ },
    ],
  },
  {
    name: 'the old primary that returned gets nothing back, even when complete',
    words: [
      ...settled,
      ...killed(2500),
      { at: 2505, server: 'db2', says: db2('0-1-100', after1), primary: 'db2' },
      { at: 3000, server: 'db2', says: db2('0-1-100,0-2-110'), primary: 'db2' },
      { at: 3500, server: 'db1', says: db1('0-1-100,0-2-110'), primary: 'db2', reason: /stays/ },
    ],
  },
  {
    name: 'a word from before the loss is no evidence of what has arrived since',
    words: [
      ...settled,
      { at: 2300, server: 'db2', says: db2('0-1-100', after1), primary: 'db1' },
      { at: 2400, server: 'db1', says: db1('0-1-130'), primary: 'db1' },
      { at: 2500, server: 'db1', says: fail('L4LOST'), primary: 'db1' },
      { at: 2501, server: 'db1', says: dead, primary: null, reason: /db2 is asked once more/ },
      { at: 2510, server: 'db2', says: db2('0-1-130', after1), primary: 'db2' },
    ],
  },
  {
    name: 'what was still on its way is waited for, but not for ever',
    words: [
      ...settled,
      ...killed(2500),
      { at: 2510, server: 'db2', says: db2('0-1-100'), primary: null, reason: /waited for/ },
      { at: 2601, server: 'db2', says: db2('0-1-100'), primary: 'db2' },
    ],
  },
  {
    name: 'what it has received is applied before it takes over, for two seconds at most',
    words: [
      ...settled,
      { at: 2400, server: 'db1', says: db1('0-1-130'), primary: 'db1' },
      ...killed(2500),
      {
        at: 2510,
        server: 'db2',
        says: db2('0-1-120', working1),
        primary: null,
        reason: /applies what it has received/,
      },
      { at: 4499, server: 'db2', says: db2('0-1-125', working1), primary: null },
      {
        at: 4500,
        server: 'db2',
        says: db2('0-1-125', working1),
        primary: 'db2',
        reason: /db2 took over without 5 transactions \(0-1-126\.\.130\) of db1/,
      },
    ],
  },
  {
    name: 'transactions of the last second may be lost, and that is said until they are back',
    words: [
      ...settled,
      { at: 2400, server: 'db1', says: db1('0-1-103'), primary: 'db1' },
      ...killed(2500),
      {
        at: 2510,
        server: 'db2',
        says: db2('0-1-100', after1),
        primary: 'db2',
        reason: /without 3 transactions/,
      },
      {
        at: 3000,
        server: 'db2',
        says: db2('0-1-100,0-2-104', after1),
        primary: 'db2',
        reason: /without 3 transactions/,
      },
      {
        at: 4000,
        server: 'db2',
        says: db2('0-1-103,0-2-104'),
        primary: 'db2',
        reason: /^[^w]*is the only server[^,]*$/,
      },
    ],
  },
  {
    name: 'a successor that lacks older transactions is refused, and the old primary taken back',
    words: [
      ...settled.slice(0, 3),
      { at: 1001, server: 'db2', says: db2('0-1-60'), primary: 'db1' },
      { at: 2000, server: 'db1', says: db1('0-1-100'), primary: 'db1' },
      ...killed(2500),
      {
        at: 2510,
        server: 'db2',
        says: db2('0-1-60', after1),
        primary: null,
        reason:
          /db2 is refused: it lacks 40 transactions \(0-1-61\.\.100\) that db1 has; .*incomplete_writer: serve/,
      },
      { at: 9000, server: 'db2', says: db2('0-1-60', after1), primary: null, reason: /lacks 40/ },
      { at: 9001, server: 'db1', says: db1('0-1-100'), primary: 'db1' },
    ],
  },
  {
    name: 'under serve the same successor is taken, and what is lost is said',
    incomplete: 'serve',
    words: [
      ...settled.slice(0, 3),
      { at: 2000, server: 'db1', says: db1('0-1-100'), primary: 'db1' },
      ...killed(2500),
      {
        at: 2510,
        server: 'db2',
        says: db2('0-1-60', after1),
        primary: 'db2',
        reason: /without 40 transactions/,
      },
    ],
  },
  {
    name: 'with broken replication anything missing is too much, however new',
    words: [
      ...settled,
      { at: 2400, server: 'db1', says: db1('0-1-101'), primary: 'db1' },
      ...killed(2500),
      {
        at: 2510,
        server: 'db2',
        says: db2('0-1-100', [channel('db1', { receiving: 'connecting', ...brokenBy(1950) })]),
        primary: null,
        reason: /lacks 1 transaction \(0-1-101\) that db1 has, and its replication is broken/,
      },
    ],
  },
  {
    name: 'broken replication is no hindrance to one that has everything',
    words: [
      ...settled,
      ...killed(2500),
      {
        at: 2510,
        server: 'db2',
        says: db2('0-1-100', [channel('db1', { receiving: 'connecting', ...brokenBy(1950) })]),
        primary: 'db2',
      },
    ],
  },
  {
    name: 'a returned server that lacks what the present primary has gets nothing when that dies too, until it has it',
    words: [
      ...settled,
      ...killed(2500),
      { at: 2510, server: 'db2', says: db2('0-1-100', after1), primary: 'db2' },
      { at: 3500, server: 'db2', says: db2('0-1-100,0-2-150', after1), primary: 'db2' },
      { at: 4600, server: 'db2', says: db2('0-1-100,0-2-150', after1), primary: 'db2' },
      { at: 4700, server: 'db1', says: db1('0-1-103', [channel('db2', brokenBy(1950))]), primary: 'db2' },
      { at: 5000, server: 'db2', says: fail('L4LOST'), primary: 'db2' },
      { at: 5001, server: 'db2', says: dead, primary: null },
      {
        at: 5010,
        server: 'db1',
        says: db1('0-1-103', [channel('db2', { receiving: 'connecting', ...brokenBy(1950) })]),
        primary: null,
        reason: /db1 is refused: it lacks 50 transactions \(0-2-101\.\.150\) that db2 has/,
      },
      {
        at: 5300,
        server: 'db1',
        says: db1('0-1-103,0-2-150', [channel('db2', { receiving: 'connecting' })]),
        primary: 'db1',
      },
    ],
  },
  {
    name: 'at the start one that lacks what another has gives way, whatever the order',
    words: [
      { at: 0, server: 'db1', says: db1('0-1-100'), primary: null },
      {
        at: 1,
        server: 'db2',
        says: db2('0-1-100,0-2-150'),
        primary: 'db2',
        reason: /db1 is refused: it lacks 50/,
      },
    ],
  },
  {
    name: 'at the start a later look at the writer is not a lack of the writer',
    words: [
      { at: 0, server: 'db1', says: db1('0-1-100'), primary: null },
      { at: 1, server: 'db2', says: db2('0-1-104'), primary: 'db1', reason: /first in file order/ },
    ],
  },
  {
    name: 'at the start two that each lack something are both refused under hold',
    words: [
      { at: 0, server: 'db1', says: db1('0-1-103'), primary: null },
      {
        at: 1,
        server: 'db2',
        says: db2('0-1-100,0-2-150'),
        primary: null,
        reason: /no writable server may be followed/,
      },
      { at: 50, server: 'db1', says: db1('0-1-103,0-2-150'), primary: 'db1' },
    ],
  },
  {
    name: 'at the start two that each lack something are taken in file order under serve',
    incomplete: 'serve',
    words: [
      { at: 0, server: 'db1', says: db1('0-1-103'), primary: null },
      { at: 1, server: 'db2', says: db2('0-1-100,0-2-150'), primary: 'db1' },
    ],
  },
  {
    name: 'without GTIDs a server with broken replication is refused',
    words: [
      { at: 0, server: 'db1', says: db1(null), primary: null },
      { at: 1, server: 'db2', says: db2(null), primary: 'db1' },
      ...killed(500),
      {
        at: 510,
        server: 'db2',
        says: db2(null, [channel('db1', { receiving: 'connecting', ...brokenBy(1062) })]),
        primary: null,
        reason: /without GTIDs nobody can tell/,
      },
      { at: 700, server: 'db2', says: db2(null, working1), primary: null, reason: /waited for/ },
      { at: 2600, server: 'db2', says: db2(null, working1), primary: null, reason: /not applied all/ },
      { at: 2700, server: 'db2', says: db2(null, after1), primary: 'db2' },
    ],
  },
  {
    name: 'a primary in doubt keeps its place: being writable proves nothing for the other',
    words: [
      ...settled,
      { at: 3000, server: 'db1', says: fail('L7TOUT'), primary: 'db1', reason: /db1 is in doubt/ },
      { at: 3010, server: 'db2', says: db2('0-1-100', after1), primary: 'db1' },
      { at: 3500, server: 'db1', says: db1('0-1-100'), primary: 'db1' },
    ],
  },
  {
    name: 'newest: a server that an orchestrator made writable takes over from one in doubt by having all and more',
    policy: 'newest',
    words: [
      { at: 0, server: 'db1', says: db1('0-1-100'), primary: null },
      {
        at: 1,
        server: 'db2',
        says: master('db2', '0-1-100', { role: 'replica', writable: false, follows: from1 }),
        primary: 'db1',
      },
      { at: 1500, server: 'db1', says: fail('L7TOUT'), primary: 'db1' },
      {
        at: 1600,
        server: 'db2',
        says: db2('0-1-100', []),
        primary: 'db1',
        reason: /without evidence of a promotion/,
      },
      {
        at: 1700,
        server: 'db2',
        says: db2('0-1-100,0-2-101', []),
        primary: 'db2',
        reason: /was promoted: it has all/,
      },
    ],
  },
  {
    name: 'newest: of two writable ones the one with all of the other’s and its own is followed',
    policy: 'newest',
    words: [
      { at: 0, server: 'db1', says: db1('0-1-100'), primary: null },
      {
        at: 1,
        server: 'db2',
        says: db2('0-1-100,0-2-105', []),
        primary: 'db2',
        reason: /all transactions of the others/,
      },
    ],
  },
  {
    name: 'newest: a look at a replica that comes later than the one at its source moves nobody',
    policy: 'newest',
    words: [
      { at: 0, server: 'db1', says: db1('0-1-100'), primary: null },
      { at: 1, server: 'db2', says: fail('L4CON'), primary: null },
      { at: 2, server: 'db2', says: fail('L4CON'), primary: 'db1' },
      { at: 500, server: 'db2', says: db2('0-1-180'), primary: 'db1' },
    ],
  },
  {
    name: 'newest: neither of two that have gone apart is followed at the start',
    policy: 'newest',
    words: [
      { at: 0, server: 'db1', says: db1('0-1-103'), primary: null },
      {
        at: 1,
        server: 'db2',
        says: db2('0-1-100,0-2-150'),
        primary: null,
        reason: /nothing tells them apart/,
      },
    ],
  },
  {
    name: 'Galera: all are writable; the first is followed, stays, and does not come back',
    policy: 'newest',
    words: [
      { at: 0, server: 'db1', says: master('db1', '0-1-7', { systemId: 'G' }), primary: null },
      {
        at: 1,
        server: 'db2',
        says: master('db2', '0-2-9', { systemId: 'G' }),
        primary: 'db1',
        reason: /first in file order/,
      },
      { at: 500, server: 'db1', says: fail('L4LOST'), primary: 'db1' },
      { at: 501, server: 'db1', says: dead, primary: 'db2' },
      {
        at: 900,
        server: 'db1',
        says: master('db1', '0-1-7', { systemId: 'G' }),
        primary: 'db2',
        reason: /it was the primary before/,
      },
    ],
  },
  {
    name: 'Galera: a server of another cluster, or of none, is refused',
    policy: 'newest',
    words: [
      { at: 0, server: 'db1', says: master('db1', null, { systemId: 'G' }), primary: null },
      { at: 1, server: 'db2', says: master('db2', null, { systemId: 'G' }), primary: 'db1' },
      { at: 2, server: 'db2', says: master('db2', null, { systemId: 'H' }), primary: 'db1' },
      { at: 500, server: 'db1', says: fail('L4LOST'), primary: 'db1' },
      {
        at: 501,
        server: 'db1',
        says: dead,
        primary: null,
        reason: /db2 is refused: it belongs to cluster H, db1 to G/,
      },
      { at: 502, server: 'db2', says: master('db2', null), primary: null, reason: /belongs to no cluster/ },
    ],
  },
];

for (const { name, words, policy = 'ordered', incomplete = 'hold' } of stories) {
  test(`mysql election: ${name}`, () => {
    const look = tell(words, policy, incomplete);
    words.forEach((word, index) => {
      const { primary, reasons, splitBrain } = look(index);
      const said = reasons.join('; ');
      assert.equal(primary, word.primary, `after word ${index} (at ${word.at}): ${said}`);
      if (word.reason) assert.match(said, word.reason, `after word ${index} (at ${word.at})`);
      if (policy === 'ordered') assert.equal(splitBrain, false);
    });
  });
}

function tell(
  words: readonly Word[],
  multipleWriters: MultipleWritersPolicy,
  incompleteWriter: 'hold' | 'serve',
): (index: number) => BackendView {
  let now = 0;
  const never = (): never => assert.fail('an election waits for nothing');
  const clock = { now: () => now, wall: () => now, schedule: never, afterInput: never };
  const servers = ['db1', 'db2'].map((name, index) => ({
    name,
    address: { host: '10.0.0.1', port: 5001 + index },
    weight: 100,
  }));
  const topology = new Topology(
    [
      {
        name: 'app',
        protocol: 'mysql',
        servers,
        multipleWriters,
        incompleteWriter,
        // Words are rare in a story; how old one may be is tested elsewhere.
        freshnessMs: FRESHNESS_MS * 10,
        slowStartMs: 0,
        settleMs: 0,
      },
    ],
    clock,
  );
  const health = new Map<string, HealthState>();
  return index => {
    const { at, server, says } = words[index] ?? assert.fail('there is such a word');
    now = at;
    const result = { ...says, at, wallAt: at };
    const next = observe(health.get(server) ?? initialHealth, result, { rise: 1, fall: 2 }).state;
    health.set(server, next);
    topology.report('app', server, next, result);
    return topology.view('app');
  };
}
