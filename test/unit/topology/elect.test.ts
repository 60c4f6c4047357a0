import assert from 'node:assert/strict';
import { test } from 'node:test';
import { elect } from '../../../src/topology/elect.ts';
import { type Ballot } from '../../../src/topology/evidence.ts';
import { postgresEvidence, type Lineage } from '../../../src/topology/evidence/postgres.ts';
import { type ServerView } from '../../../src/topology/model.ts';
import { down, fail, FRESHNESS_MS, pass, passReplica, server, up } from '../../support/views.ts';

const SYSTEM = '7000000000000000001';
const lineage = (timeline: number): Lineage => ({ systemId: SYSTEM, timeline });
const inDoubt = (name: string, code: Parameters<typeof fail>[0] = 'L7TOUT') =>
  server(name, fail(code), { kind: 'up', fails: 1 });

interface Case {
  readonly name: string;
  readonly servers: readonly ServerView[];
  readonly given?: Partial<Ballot<Lineage>>;
  readonly primary: string | null;
  readonly splitBrain?: boolean;
  readonly reason?: RegExp;
}

const cases: readonly Case[] = [
  {
    name: 'one writable server is the primary',
    servers: [server('pg1', pass()), server('pg2', passReplica())],
    primary: 'pg1',
  },
  {
    name: 'at start nobody is elected before every server was heard',
    servers: [server('pg1', pass()), server('pg2', null)],
    primary: null,
    reason: /waiting for the first word of pg2/,
  },
  {
    name: 'at start a failure below fall is not yet the word of a server',
    servers: [server('pg1', pass()), server('pg2', fail(), { kind: 'unknown', passes: 0, fails: 1 })],
    primary: null,
  },
  {
    name: 'at start a server that is down or busy has been heard',
    servers: [
      server('pg1', pass()),
      server('pg2', fail()),
      server('pg3', fail('L7START'), { kind: 'unknown', passes: 0, fails: 0 }),
    ],
    primary: 'pg1',
  },
  {
    name: 'the primary stays through a missed probe',
    servers: [inDoubt('pg1'), server('pg2', passReplica())],
    given: { current: 'pg1', memory: lineage(1) },
    primary: 'pg1',
    reason: /in doubt/,
  },
  {
    name: 'a busy primary stays: busy is not dead',
    servers: [server('pg1', fail('L7BUSY'), up), server('pg2', passReplica())],
    given: { current: 'pg1', memory: lineage(1) },
    primary: 'pg1',
  },
  {
    name: 'a primary that is down is lost, even with nobody to follow it',
    servers: [server('pg1', fail()), server('pg2', passReplica())],
    given: { current: 'pg1', memory: lineage(1) },
    primary: null,
    reason: /pg1 is lost/,
  },
  {
    name: 'a primary that says it is read-only is demoted at the first word',
    servers: [server('pg1', pass({ writable: false })), server('pg2', passReplica())],
    given: { current: 'pg1', memory: lineage(1) },
    primary: null,
  },
  {
    name: 'a promoted standby on a newer timeline is followed although the old primary is only in doubt',
    servers: [inDoubt('pg1'), server('pg2', pass({ timeline: 2 }))],
    given: { current: 'pg1', memory: lineage(1) },
    primary: 'pg2',
    reason: /timeline 2 is newer than 1/,
  },
  {
    name: 'a second writer without a newer timeline is not followed while the primary is in doubt',
    servers: [inDoubt('pg1'), server('pg2', pass())],
    given: { current: 'pg1', memory: lineage(1) },
    primary: 'pg1',
    reason: /without evidence of a promotion/,
  },
  {
    name: 'two more writers do not displace a primary that is merely in doubt',
    servers: [server('pg1', pass()), server('pg2', pass()), inDoubt('pg3')],
    given: { current: 'pg3', memory: lineage(1), policy: 'ordered' },
    primary: 'pg3',
  },
  {
    name: 'of two more writers the one with a newer timeline displaces a primary in doubt',
    servers: [server('pg1', pass()), server('pg2', pass({ timeline: 2 })), inDoubt('pg3')],
    given: { current: 'pg3', memory: lineage(1) },
    primary: 'pg2',
    splitBrain: true,
  },
  {
    name: 'an old primary that returns on its old timeline is refused, and split brain reported',
    servers: [server('pg1', pass({ timeline: 1 })), server('pg2', pass({ timeline: 2 }))],
    given: { current: 'pg2', memory: lineage(2) },
    primary: 'pg2',
    splitBrain: true,
    reason: /pg1 is refused: it is writable on the old timeline 1/,
  },
  {
    name: 'an old primary on its old timeline is refused even when it is the only one left',
    servers: [server('pg1', pass({ timeline: 1 })), server('pg2', fail())],
    given: { current: 'pg2', memory: lineage(2) },
    primary: null,
    reason: /old timeline/,
  },
  {
    name: 'a server of another cluster is refused',
    servers: [server('pg1', fail()), server('pg2', pass({ systemId: '42' }))],
    given: { current: 'pg1', memory: lineage(1) },
    primary: null,
    reason: /another cluster/,
  },
  {
    name: 'a primary that was replaced in place by another cluster is lost at once, not in doubt',
    servers: [server('pg1', pass({ systemId: '42' })), server('pg2', passReplica())],
    given: { current: 'pg1', memory: lineage(1) },
    primary: null,
    reason: /another cluster/,
  },
  {
    name: 'two writers at start: the newest timeline decides',
    servers: [server('pg1', pass({ timeline: 3 })), server('pg2', pass({ timeline: 4 }))],
    primary: 'pg2',
    splitBrain: true,
    reason: /newest timeline, 4/,
  },
  {
    name: 'two equal writers at start: hold',
    servers: [server('pg1', pass()), server('pg2', pass())],
    primary: null,
    splitBrain: true,
    reason: /nothing tells them apart/,
  },
  {
    name: 'two writers of different clusters at start: hold',
    servers: [server('pg1', pass()), server('pg2', pass({ systemId: '42', timeline: 9 }))],
    primary: null,
    splitBrain: true,
  },
  {
    name: 'two equal writers at start: the one that the standbys follow',
    servers: [
      server('pg1', pass()),
      server('pg2', pass()),
      server('pg3', passReplica({ upstream: '10.0.0.1:5002' })),
    ],
    primary: 'pg2',
    splitBrain: true,
    reason: /standbys follow/,
  },
  {
    name: 'two equal writers, and standbys follow the other: the present one stays',
    servers: [
      server('pg1', pass()),
      server('pg2', pass()),
      server('pg3', passReplica({ upstream: '10.0.0.1:5002' })),
    ],
    given: { current: 'pg1', memory: lineage(1) },
    primary: 'pg1',
    splitBrain: true,
  },
  {
    name: 'at start a server that answered once, and is not up yet (rise), has not had its say',
    servers: [
      server('pg1', pass()),
      server('pg2', pass({ timeline: 2 }), { kind: 'unknown', passes: 1, fails: 0 }),
    ],
    primary: null,
    reason: /waiting for the first word of pg2/,
  },
  {
    name: 'at start a writer with less than a standby of its timeline has had is not followed',
    servers: [
      server('pg1', pass({ position: '0/3000000' })),
      server('pg2', passReplica({ position: '0/4000000' })),
    ],
    primary: null,
    reason: /pg1 is refused: its log ends at 0\/3000000/,
  },
  {
    name: 'two equal writers: stay with the present one',
    servers: [server('pg1', pass()), server('pg2', pass())],
    given: { current: 'pg2', memory: lineage(1) },
    primary: 'pg2',
    splitBrain: true,
  },
  {
    name: 'keep: the present one stays against a newer timeline',
    servers: [server('pg1', pass()), server('pg2', pass({ timeline: 2 }))],
    given: { policy: 'keep', current: 'pg1', memory: lineage(1) },
    primary: 'pg1',
    splitBrain: true,
  },
  {
    name: 'keep: several writers and none present: hold',
    servers: [server('pg1', pass()), server('pg2', pass({ timeline: 2 }))],
    given: { policy: 'keep' },
    primary: null,
    splitBrain: true,
  },
  {
    name: 'block: several writers: nobody, not even the present one',
    servers: [server('pg1', pass()), server('pg2', pass({ timeline: 2 }))],
    given: { policy: 'block', current: 'pg1', memory: lineage(1) },
    primary: null,
    splitBrain: true,
    reason: /multiple_writers: block/,
  },
  {
    name: 'ordered: the first in file order, and two writers are no split brain',
    servers: [
      server('db1', pass({ timeline: null, systemId: null })),
      server('db2', pass({ timeline: null, systemId: null })),
    ],
    given: { policy: 'ordered' },
    primary: 'db1',
  },
  {
    name: 'ordered: no failback to a returned first server',
    servers: [
      server('db1', pass({ timeline: null, systemId: null })),
      server('db2', pass({ timeline: null, systemId: null })),
    ],
    given: { policy: 'ordered', current: 'db2' },
    primary: 'db2',
  },
  {
    name: 'a result older than the freshness bound proves nothing',
    servers: [server('pg1', pass({}, 0))],
    given: { now: FRESHNESS_MS + 1 },
    primary: null,
  },
  {
    name: 'a writable answer of a server that is not yet up (rise) does not count',
    servers: [server('pg1', pass(), { kind: 'down', passes: 1, since: 0, lastError: 'L4CON' })],
    given: { memory: lineage(1) },
    primary: null,
  },
  {
    name: 'the crashed primary that comes back on its own timeline is followed again',
    servers: [server('pg1', pass({ timeline: 2 })), server('pg2', passReplica())],
    given: { current: null, memory: lineage(2) },
    primary: 'pg1',
  },
];

for (const { name, servers, given, primary, splitBrain, reason } of cases) {
  test(`elect: ${name}`, () => {
    const ballot: Ballot<Lineage> = {
      servers,
      current: null,
      memory: null,
      policy: 'newest',
      opinion: null,
      directive: null,
      settleMs: 0,
      now: 0,
      freshnessMs: FRESHNESS_MS,
      ...given,
    };
    const election = elect(ballot, postgresEvidence);
    assert.equal(election.primary, primary, election.reasons.join('; '));
    assert.equal(election.splitBrain, splitBrain ?? false);
    assert.ok(election.reasons.length > 0);
    if (reason !== undefined) assert.match(election.reasons.join('; '), reason);
  });
}

test('elect: the lineage follows the primary and never goes back', () => {
  const ballot = {
    current: null,
    policy: 'newest',
    opinion: null,
    directive: null,
    settleMs: 0,
    now: 0,
    freshnessMs: FRESHNESS_MS,
  } as const;
  const vote = (given: Pick<Ballot<Lineage>, 'servers' | 'memory'> & { current?: string }) =>
    elect<Lineage>({ ...ballot, ...given }, postgresEvidence);
  const first = vote({ servers: [server('pg1', pass({ timeline: 5 }))], memory: null });
  assert.deepEqual(first.memory, lineage(5));
  const refused = vote({
    servers: [server('pg1', pass({ timeline: 4 }))],
    memory: first.memory,
  });
  assert.deepEqual([refused.primary, refused.memory], [null, lineage(5)]);
  const lost = vote({
    current: 'pg1',
    servers: [server('pg1', fail(), down())],
    memory: first.memory,
  });
  assert.deepEqual(lost.memory, lineage(5));
});
