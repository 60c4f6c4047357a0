import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ProbeResult } from '../../../src/health/result.ts';
import { elect } from '../../../src/topology/elect.ts';
import { type Ballot } from '../../../src/topology/evidence.ts';
import { postgresEvidence, type Lineage } from '../../../src/topology/evidence/postgres.ts';
import { type Nominee, type Opinion, type ServerView } from '../../../src/topology/model.ts';
import { disagreementOf } from '../../../src/topology/opinion.ts';
import { backend, fail, FRESHNESS_MS, pass, passReplica, server, up } from '../../support/views.ts';

const at = (name: string): Nominee => ({ address: server(name, null).address, name: null });
const says = (primary: string | null, given: Partial<Opinion> = {}): Opinion => ({
  words: primary === null ? 'Patroni names nobody' : `Patroni names ${primary}`,
  primary: primary === null ? null : at(primary),
  against: [],
  process: null,
  passive: false,
  at: 0,
  ...given,
});
const writer = (name: string, timeline = 2): ServerView => server(name, pass({ timeline }));
const replica = (name: string): ServerView => server(name, passReplica({ timeline: 2 }));
const doubtful = (name: string): ServerView => server(name, fail('L7TOUT'), { kind: 'up', fails: 1 });
const lineage: Lineage = { systemId: '7000000000000000001', timeline: 2 };

interface Scenario {
  readonly name: string;
  readonly servers: readonly ServerView[];
  readonly opinion: Opinion | null;
  readonly current?: string;
  readonly primary: string | null;
  readonly reason?: RegExp;
  readonly disagreement?: RegExp | null;
}

const scenarios: readonly Scenario[] = [
  {
    name: 'both signals agree',
    servers: [writer('pg1'), replica('pg2')],
    opinion: says('pg1'),
    primary: 'pg1',
  },
  {
    name: 'a server known by another address is the one of its name',
    servers: [writer('pg1'), replica('pg2')],
    opinion: says('pg1', { primary: { address: { host: '192.0.2.1', port: 1 }, name: 'pg1' } }),
    primary: 'pg1',
  },
  {
    name: 'a server is known by the name that stands for its address, too',
    servers: [{ ...writer('pg1'), host: 'pg1.internal' }, replica('pg2')],
    opinion: says('pg1', { primary: { address: { host: 'pg1.internal', port: 5001 }, name: null } }),
    primary: 'pg1',
  },
  {
    name: 'a name with another port is another server',
    servers: [{ ...writer('pg1'), host: 'pg1.internal' }, replica('pg2')],
    opinion: says('pg1', { primary: { address: { host: 'pg1.internal', port: 1 }, name: null } }),
    primary: null,
    disagreement: /is no server of this backend|says that it is writable/,
  },
  {
    name: 'a writable server is not followed against the word of the orchestrator',
    servers: [writer('pg1'), replica('pg2')],
    opinion: says('pg2'),
    primary: null,
    reason: /pg1 says that it is the primary, but Patroni names pg2/,
    disagreement: /Patroni names pg2, but pg1 says that it is writable/,
  },
  {
    name: 'nor does the present primary stay against it',
    servers: [writer('pg1'), replica('pg2')],
    opinion: says('pg2'),
    current: 'pg1',
    primary: null,
    reason: /pg1 may not be followed any more/,
    disagreement: /but pg1 says/,
  },
  {
    name: 'the word of the orchestrator alone makes nobody the primary',
    servers: [replica('pg1'), replica('pg2')],
    opinion: says('pg2'),
    primary: null,
    reason: /no server is writable/,
    disagreement: /Patroni names pg2, but pg2 says that it is not writable/,
  },
  {
    name: 'of two writers on one timeline it tells which',
    servers: [writer('pg1'), writer('pg2')],
    opinion: says('pg2'),
    primary: 'pg2',
    reason: /pg1 says that it is the primary, but Patroni names pg2/,
    disagreement: /but pg1 says/,
  },
  {
    name: 'evidence is not overruled: a server on an old timeline is not followed, whoever names it',
    servers: [writer('pg1', 1), replica('pg2')],
    opinion: says('pg1'),
    primary: null,
    reason: /pg1 is refused: it is writable on the old timeline 1/,
  },
  {
    name: 'where it names nobody, the present primary stays while it is seen well',
    servers: [writer('pg1'), replica('pg2')],
    opinion: says(null),
    current: 'pg1',
    primary: 'pg1',
    disagreement: /Patroni names nobody, but pg1 says/,
  },
  {
    name: 'and nobody else is elected',
    servers: [server('pg1', fail()), writer('pg2', 3)],
    opinion: says(null),
    primary: null,
    reason: /pg2 says that it is the primary, but Patroni names nobody/,
    disagreement: /Patroni names nobody, but pg2 says/,
  },
  {
    name: 'a server that is being demoted is given up, before there is another',
    servers: [writer('pg1'), replica('pg2')],
    opinion: says(null, { against: [at('pg1')], words: 'the monitor demotes pg1' }),
    current: 'pg1',
    primary: null,
    disagreement: /the monitor demotes pg1, but pg1 says/,
  },
  {
    name: 'a paused one forbids nothing, and its word is shown',
    servers: [writer('pg1'), replica('pg2')],
    opinion: says('pg2', { passive: true }),
    primary: 'pg1',
    disagreement: /Patroni names pg2, but pg1 says/,
  },
  {
    name: 'a paused one that names nobody is no disagreement',
    servers: [writer('pg1'), replica('pg2')],
    opinion: says(null, { passive: true }),
    primary: 'pg1',
  },
  {
    name: 'a silent one changes nothing',
    servers: [writer('pg1'), replica('pg2')],
    opinion: null,
    current: 'pg1',
    primary: 'pg1',
  },
  {
    name: 'a present primary in doubt gives way to one that both signals name',
    servers: [doubtful('pg1'), writer('pg2', 2)],
    opinion: says('pg2'),
    current: 'pg1',
    primary: 'pg2',
    reason: /pg2 was promoted: Patroni names pg2, and it says so itself/,
  },
  {
    name: 'a present primary in doubt stays while the orchestrator still names it',
    servers: [doubtful('pg1'), writer('pg2', 3)],
    opinion: says('pg1'),
    current: 'pg1',
    primary: 'pg1',
    reason: /pg1 is in doubt/,
    disagreement: /Patroni names pg1, but pg2 says/,
  },
  {
    name: 'a present primary in doubt is given up when the orchestrator names another, before there is another',
    servers: [doubtful('pg1'), replica('pg2')],
    opinion: says('pg2'),
    current: 'pg1',
    primary: null,
    reason: /pg1 is in doubt, and Patroni names pg2/,
    disagreement: /Patroni names pg2, but pg2 says that it is not writable/,
  },
  {
    name: 'and when it is to be demoted',
    servers: [doubtful('pg1'), replica('pg2')],
    opinion: says(null, { against: [at('pg1')], words: 'the monitor demotes pg1' }),
    current: 'pg1',
    primary: null,
    reason: /pg1 is in doubt, and the monitor demotes pg1/,
  },
  {
    name: 'a present primary in doubt stays where nobody is named',
    servers: [doubtful('pg1'), replica('pg2')],
    opinion: says(null),
    current: 'pg1',
    primary: 'pg1',
  },
  {
    name: 'a paused one takes no primary in doubt away',
    servers: [doubtful('pg1'), replica('pg2')],
    opinion: says('pg2', { passive: true }),
    current: 'pg1',
    primary: 'pg1',
    disagreement: /pg2 says that it is not writable/,
  },
  {
    name: 'the address counts before the name: nodes that it numbers the other way round are told apart',
    servers: [writer('pg1'), replica('pg2')],
    opinion: says('pg1', {
      primary: { ...at('pg1'), name: 'pg2' },
      against: [{ ...at('pg2'), name: 'pg1' }],
    }),
    primary: 'pg1',
  },
  {
    name: 'nor does the name of one lead to the writer at the address of the other',
    servers: [writer('pg1'), replica('pg2')],
    opinion: says('pg2', { primary: { ...at('pg2'), name: 'pg1' }, words: 'Patroni names pg1 (at pg2)' }),
    current: 'pg1',
    primary: null,
    disagreement: /but pg1 says that it is writable/,
  },
  {
    name: 'a name does not stand for a server whose address it knows by another name',
    servers: [writer('pg1'), replica('pg2')],
    opinion: says('pg1', {
      primary: { ...at('pg1'), name: 'node_2' },
      against: [{ address: { host: '192.0.2.1', port: 1 }, name: 'pg1' }],
    }),
    primary: 'pg1',
  },
  {
    name: 'a primary that is no server of the backend leaves nobody, and is told',
    servers: [replica('pg1'), replica('pg2')],
    opinion: says('pg9'),
    primary: null,
    disagreement: /Patroni names pg9, and 10\.0\.0\.1:5009 is no server of this backend/,
  },
];

const ballotOf = (servers: readonly ServerView[], given: Partial<Ballot<Lineage>>): Ballot<Lineage> => ({
  servers,
  current: null,
  memory: lineage,
  policy: 'newest',
  opinion: null,
  directive: null,
  settleMs: 0,
  now: 0,
  freshnessMs: FRESHNESS_MS,
  ...given,
});

for (const { name, servers, opinion, current = null, primary, reason, disagreement = null } of scenarios) {
  test(`opinion: ${name}`, () => {
    const election = elect(ballotOf(servers, { opinion, current }), postgresEvidence);
    const reasons = election.reasons.join('; ');
    assert.equal(election.primary, primary, reasons);
    if (reason !== undefined) assert.match(reasons, reason);
    const told = disagreementOf(backend(servers, { opinion }));
    if (disagreement === null) assert.equal(told, null);
    else assert.match(told ?? 'nothing was told', disagreement);
  });
}

/** A writer that has been one since `since`, in a result of now. */
const since = (
  name: string,
  writableSince: number,
  now: number,
  result: ProbeResult = pass({ timeline: 2 }),
) => ({
  ...server(name, { ...result, at: now, wallAt: now }, up),
  writableSince,
});

test('settle: a writer that returns is believed when it has been one for so long', () => {
  const look = (now: number, given: Partial<Ballot<Lineage>> = {}) =>
    elect(ballotOf([since('pg1', 1000, now)], { settleMs: 5000, now, ...given }), postgresEvidence);
  const early = look(5999);
  assert.equal(early.primary, null);
  assert.match(early.reasons.join(), /pg1 is writable again; it is believed when it has been so for 5 s/);
  assert.equal(look(6000).primary, 'pg1');
  assert.equal(look(1000, { settleMs: 0 }).primary, 'pg1', 'off');
  assert.equal(look(1000, { current: 'pg1' }).primary, 'pg1', 'it never was away');
  assert.equal(look(1000, { memory: null }).primary, 'pg1', 'at the start nothing is known to return');
  assert.equal(look(1000, { opinion: says('pg1') }).primary, 'pg1', 'the orchestrator names it');
});

test('settle: a promoted server is proven by its timeline and waits for nothing', () => {
  const promoted = since('pg2', 1000, 1000, pass({ timeline: 3 }));
  const election = elect(
    ballotOf([server('pg1', fail()), promoted], { settleMs: 5000, now: 1000 }),
    postgresEvidence,
  );
  assert.equal(election.primary, 'pg2');
});

test('log position: a server that comes back with less than a standby told before is refused', () => {
  const old = server('pg1', { ...pass({ timeline: 2, position: '0/3000000' }), at: 50 });
  const standby = (position: string, askedAt: number): ServerView =>
    server('pg2', { ...passReplica({ timeline: 2, position }), at: askedAt });
  const look = (views: readonly ServerView[], given: Partial<Ballot<Lineage>> = {}) =>
    elect(ballotOf(views, { now: 100, ...given }), postgresEvidence);
  const refused = look([old, standby('0/3000001', 50)]);
  assert.equal(refused.primary, null);
  assert.match(refused.reasons.join(), /its log ends at 0\/3000000, and pg2 has had 0\/3000001/);
  assert.equal(look([old, standby('0/3000000', 50)]).primary, 'pg1', 'as much is enough');
  assert.equal(look([old, standby('0/4000000', 51)]).primary, 'pg1', 'the standby was asked later');
  assert.equal(look([old, standby('0/4000000', 50)], { current: 'pg1' }).primary, 'pg1', 'it never was away');
  const idle = server('pg2', {
    ...passReplica({ timeline: 2, position: '0/4000000', replicating: false }),
    at: 51,
  });
  assert.equal(
    look([old, idle]).primary,
    null,
    'nor does it count when it was asked, if it receives nothing',
  );
  assert.equal(look([old, { ...idle, admin: 'maintenance' }]).primary, 'pg1', 'an operator has taken it out');
  const other = server('pg2', { ...passReplica({ timeline: 1, position: '0/4000000' }), at: 50 });
  assert.equal(look([old, other]).primary, 'pg1', 'positions of two timelines cannot be compared');
});
