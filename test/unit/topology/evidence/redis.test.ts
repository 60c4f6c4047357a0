import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type History } from '../../../../src/health/result.ts';
import { elect } from '../../../../src/topology/elect.ts';
import { type Ballot, type Election } from '../../../../src/topology/evidence.ts';
import { redisEvidence, type RedisMemory } from '../../../../src/topology/evidence/redis.ts';
import { type Opinion, type ServerView } from '../../../../src/topology/model.ts';
import { down, fail, pass, passReplica, server, up } from '../../../support/views.ts';

const SETTLE_MS = 15_000;
const evidence = redisEvidence(SETTLE_MS);

type Given = Partial<Extract<History, { kind: 'redis' }>>;

/** History `id` up to `offset`, told by a process of its own unless `runId` says otherwise. */
const history = (replicationId: string, offset: number, runId: string, given: Given = {}): History => ({
  kind: 'redis',
  replicationId,
  offset,
  runId,
  previous: null,
  ...given,
});
const after = (replicationId: string, until: number): Given => ({ previous: { replicationId, until } });

const primary = (name: string, told: History, at = 0): ServerView =>
  server(name, pass({ history: told, timeline: null, systemId: null }, at));
const replica = (name: string, told: History, given: { at?: number; joined?: boolean } = {}): ServerView =>
  server(name, passReplica({ history: told, replicating: given.joined ?? true }, given.at ?? 0));
const lost = (name: string, before: ServerView): ServerView => ({
  ...server(name, fail('L4CON'), down()),
  lastAnswer: before.lastAnswer,
});

/** A topology that goes on from one election to the next, as the elector does. */
function service() {
  let memory: RedisMemory | null = null;
  let current: string | null = null;
  return (
    servers: readonly ServerView[],
    given: Partial<Ballot<RedisMemory>> = {},
  ): Election<RedisMemory> => {
    const now = given.now ?? 0;
    const fresh = servers.map(view =>
      view.result === null ? view : { ...view, result: { ...view.result, at: now } },
    );
    const election: Election<RedisMemory> = elect(
      {
        servers: fresh,
        current,
        memory,
        policy: 'newest',
        opinion: null,
        directive: null,
        settleMs: 0,
        freshnessMs: 1000,
        ...given,
        now,
      },
      evidence,
    );
    ({ memory } = election);
    current = election.primary;
    return election;
  };
}

const named = (view: ServerView, process: string | null = null): Opinion => ({
  words: `3 of 3 Sentinels name ${view.address.host}:${view.address.port}`,
  primary: { address: view.address, name: null },
  against: [],
  process,
  passive: false,
  at: 0,
});

const A = history('aaaa', 1000, 'run-a');
const follower = (run: string, offset = 990): History => history('aaaa', offset, run);

test('redis evidence: a lone primary is believed when nothing is known', () => {
  assert.equal(service()([primary('r1', A)]).primary, 'r1');
});

test('redis evidence: nobody is believed while a server has not said a word', () => {
  const vote = service();
  assert.equal(vote([primary('r1', A), server('r2', null)]).primary, null);
  assert.equal(vote([primary('r1', A), replica('r2', follower('run-b'))]).primary, 'r1');
});

test('redis evidence: nobody is believed while another one that has answered is not up yet (rise)', () => {
  const rising = primary('r2', history('bbbb', 40, 'run-b'));
  const other: ServerView = { ...rising, health: { kind: 'unknown', passes: 1, fails: 0 } };
  assert.equal(service()([primary('r1', A), other]).primary, null);
});

test('redis evidence: a primary restarted empty before Pointsman started settles, for the replicas have another history', () => {
  const vote = service();
  const servers = [
    primary('r1', history('new', 0, 'run-new')),
    replica('r2', follower('run-b'), { joined: false }),
  ];
  assert.match(vote(servers).reasons.join(), /r2 has another history, or more of it/);
  assert.equal(vote(servers, { now: SETTLE_MS - 1 }).primary, null);
  assert.equal(vote(servers, { now: SETTLE_MS }).primary, 'r1');
});

test('redis evidence: a lone primary that was restarted in place holds writers until it has settled', () => {
  const vote = service();
  assert.equal(vote([primary('r1', A)]).primary, 'r1');
  const empty = primary('r1', history('new', 0, 'run-new'));
  assert.equal(vote([empty], { now: 100 }).primary, null);
  assert.equal(vote([empty], { now: 100 + SETTLE_MS - 1 }).primary, null);
  assert.equal(vote([empty], { now: 100 + SETTLE_MS }).primary, 'r1');
});

test('redis evidence: settling begins anew with every restart, and not for a missed answer', () => {
  const vote = service();
  vote([primary('r1', A)]);
  vote([primary('r1', history('b', 0, 'run-2'))], { now: 100 });
  vote([primary('r1', history('c', 0, 'run-3'))], { now: 10_000 });
  vote([server('r1', fail('L7BUSY'), up)], { now: 12_000 });
  const again = [primary('r1', history('c', 0, 'run-3'))];
  assert.equal(vote(again, { now: 24_999 }).primary, null);
  assert.equal(vote(again, { now: 25_000 }).primary, 'r1');
});

test('redis evidence: a primary restarted with all that is known of its data is believed at once, with less it settles', () => {
  const vote = service();
  vote([primary('r1', A)]);
  assert.equal(vote([primary('r1', history('new', 1000, 'run-new', after('aaaa', 999)))]).primary, null);
  const full = service();
  full([primary('r1', A)]);
  assert.equal(full([primary('r1', history('new', 1000, 'run-new', after('aaaa', 1000)))]).primary, 'r1');
});

test('redis evidence: the same process may change its replication id', () => {
  const vote = service();
  vote([primary('r1', A)]);
  assert.equal(vote([primary('r1', history('changed', 1000, 'run-a'))]).primary, 'r1');
});

test('redis evidence: a restarted empty primary is refused for as long as a replica has the known history', () => {
  const vote = service();
  const r2 = replica('r2', follower('run-b'), { joined: false });
  vote([primary('r1', A), r2]);
  const empty = primary('r1', history('new', 0, 'run-new'));
  const election = vote([empty, r2], { now: 10 * SETTLE_MS });
  assert.equal(election.primary, null);
  assert.match(election.reasons.join(), /r1 is refused: .*restarted empty, and r2 may have more/);
  // The replica has given up what it had: nobody else is possible, and the time begins.
  const taken = replica('r2', history('new', 0, 'run-b'));
  assert.equal(vote([empty, taken], { now: 10 * SETTLE_MS + 1 }).primary, null);
  assert.equal(vote([empty, taken], { now: 11 * SETTLE_MS }).primary, 'r1');
});

test('redis evidence: a replica that was promoted is believed at once, whatever the last primary had', () => {
  const vote = service();
  const before = [
    primary('r1', A),
    replica('r2', follower('run-b')),
    replica('r3', follower('run-c', 980)),
  ] as const;
  vote(before);
  const promoted = primary('r2', history('bbbb', 990, 'run-b', after('aaaa', 990)));
  assert.equal(vote([lost('r1', before[0]), promoted, before[2]]).primary, 'r2');
});

test('redis evidence: a promoted replica that had less than another waits until that one follows it', () => {
  const vote = service();
  const before = [
    primary('r1', A),
    replica('r2', follower('run-b', 970)),
    replica('r3', follower('run-c', 980)),
  ] as const;
  vote(before);
  const promoted = primary('r2', history('bbbb', 970, 'run-b', after('aaaa', 970)));
  assert.equal(vote([lost('r1', before[0]), promoted, before[2]]).primary, null);
  assert.equal(
    vote([lost('r1', before[0]), promoted, replica('r3', history('bbbb', 970, 'run-c'))]).primary,
    'r2',
  );
});

test('redis evidence: a replica restarted as a primary from an old file does not pass for a promotion', () => {
  const vote = service();
  vote([primary('r1', A), replica('r2', follower('run-b'))]);
  const restarted = primary('r2', history('bbbb', 500, 'run-other', after('aaaa', 500)));
  const doubtful = { ...server('r1', fail('L7BUSY'), up), lastAnswer: primary('r1', A).lastAnswer };
  assert.equal(vote([doubtful, restarted]).primary, 'r1', 'against a primary in doubt');
  const both = vote([primary('r1', A), restarted]);
  assert.equal(both.primary, 'r1');
  assert.equal(both.splitBrain, true);
});

test('redis evidence: a primary in doubt gives way to a promoted replica', () => {
  const vote = service();
  vote([primary('r1', A), replica('r2', follower('run-b'))]);
  const doubtful = { ...server('r1', fail('L7BUSY'), up), lastAnswer: primary('r1', A).lastAnswer };
  const promoted = primary('r2', history('bbbb', 990, 'run-b', after('aaaa', 990)));
  assert.equal(vote([doubtful, promoted]).primary, 'r2');
});

test('redis evidence: of two primaries the one that the replicas follow is chosen, else the present one stays', () => {
  const vote = service();
  vote([primary('r1', A), replica('r2', follower('run-b')), replica('r3', follower('run-c'))]);
  const promoted = primary('r2', history('bbbb', 990, 'run-b', after('aaaa', 990)));
  assert.equal(vote([primary('r1', A), promoted, server('r3', fail(), down())]).primary, 'r1');
  assert.equal(
    vote([primary('r1', A), promoted, replica('r3', history('bbbb', 990, 'run-c'))]).primary,
    'r2',
  );
  const thawed = vote([primary('r1', A), promoted, server('r3', fail(), down())]);
  assert.equal(thawed.primary, 'r2', 'the old one does not get it back');
  assert.match(thawed.reasons.join(), /r1 is refused/);
});

test('redis evidence: Sentinel and the server must agree', () => {
  const vote = service();
  const r1 = primary('r1', A);
  const r2 = replica('r2', follower('run-b'));
  assert.equal(vote([r1, r2], { opinion: named(r1) }).primary, 'r1');
  const refused = vote([r1, r2], { opinion: named(r2) });
  assert.equal(refused.primary, null);
  assert.match(
    refused.reasons.join(),
    /r1 says that it is the primary, but 3 of 3 Sentinels name 10\.0\.0\.1:5002/,
  );
  const promoted = primary('r2', history('bbbb', 990, 'run-b', after('aaaa', 990)));
  assert.equal(vote([r1, promoted], { opinion: named(r2) }).primary, 'r2');
});

test('redis evidence: a restarted primary that Sentinel still names is believed only when they have seen that very process', () => {
  const vote = service();
  vote([primary('r1', A), replica('r2', follower('run-b'))], { opinion: named(primary('r1', A), 'run-a') });
  const empty = primary('r1', history('new', 0, 'run-new'));
  const rest = replica('r2', follower('run-b'), { joined: false });
  assert.equal(vote([empty, rest], { opinion: named(empty) }).primary, null);
  assert.equal(vote([empty, rest], { opinion: named(empty, 'run-a') }).primary, null);
  assert.equal(vote([empty, rest], { opinion: named(empty, 'run-new') }).primary, 'r1');
});

test('redis evidence: a replica that took over an unknown history is believed when Sentinel names it', () => {
  const vote = service();
  const r1 = primary('r1', A);
  vote([r1, replica('r2', follower('run-b'))], { opinion: named(r1, 'run-a') });
  const empty = primary('r1', history('new', 0, 'run-new'));
  const joined = replica('r2', history('new', 0, 'run-b'));
  assert.equal(vote([empty, joined], { opinion: named(r1) }).primary, null);
  const promoted = primary('r2', history('newer', 14, 'run-b', after('new', 14)));
  assert.equal(vote([empty, promoted]).primary, null, 'its own word alone is not enough');
  assert.equal(vote([empty, promoted], { opinion: named(promoted) }).primary, 'r2');
});

test('redis evidence: silent Sentinels leave the present primary, and a new one needs proof', () => {
  const vote = service();
  const r1 = primary('r1', A);
  vote([r1, replica('r2', follower('run-b'))], { opinion: named(r1) });
  assert.equal(vote([r1, replica('r2', follower('run-b'))]).primary, 'r1');
  assert.equal(vote([primary('r1', history('new', 0, 'run-new'))]).primary, null);
});

test('redis evidence: a word of Sentinel is proof against a primary in doubt', () => {
  const vote = service();
  assert.equal(vote([primary('r1', A), replica('r2', follower('run-b'))]).primary, 'r1');
  const doubtful = { ...server('r1', fail('L7BUSY'), up), lastAnswer: primary('r1', A).lastAnswer };
  const r2 = primary('r2', history('other2', 5, 'run-b'));
  assert.equal(vote([doubtful, r2]).primary, 'r1');
  assert.equal(vote([doubtful, r2], { opinion: named(r2, 'run-b') }).primary, 'r2');
});

test('redis evidence: a primary whose history bears the id of the last one is believed once a replica has joined it', () => {
  const elects = service();
  const other = history('h', 100, 'process of r2');
  elects([primary('r2', other), replica('r1', history('h', 100, 'process of r1'), { joined: false })]);
  const claimant = primary('r1', history('h', 100, 'restarted process of r1'));
  const alone = elects([claimant, replica('r2', history('h', 100, 'process of r2'), { joined: false })]);
  assert.equal(alone.primary, null);
  const followed = elects([claimant, replica('r2', history('h', 100, 'process of r2'))]);
  assert.equal(followed.primary, 'r1');
});
