// How replicas stand: what counts as too far behind, when they come back, and which of them commits wait for.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ServerFacts, type WalFacts } from '../../../src/health/result.ts';
import { type BackendView, type Standing } from '../../../src/topology/model.ts';
import { type ReadWants } from '../../../src/topology/standing.ts';
import { Topology, type BackendSpec } from '../../../src/topology/topology.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { down, fail, FRESHNESS_MS, pass, passReplica, up } from '../../support/views.ts';

const wants: ReadWants = { lagMs: [10_000], lagBytes: [1000], synchronous: false };

function opened(reads: ReadWants = wants) {
  const clock = new FakeClock();
  const spec: BackendSpec = {
    name: 'app',
    protocol: 'postgres',
    multipleWriters: 'newest',
    settleMs: 0,
    freshnessMs: FRESHNESS_MS,
    slowStartMs: 0,
    reads,
    servers: ['pg1', 'pg2', 'pg3'].map((name, index) => ({
      name,
      address: { host: '10.0.0.1', port: index + 1 },
      weight: 100,
    })),
  };
  const topology = new Topology([spec], clock);
  const view = (): BackendView => topology.view('app');
  const standing = (name = 'pg2'): Standing => view().servers.find(server => server.name === name)!.standing;
  return {
    clock,
    view,
    reload: (other: ReadWants) => topology.reconfigure([{ ...spec, reads: other }]),
    standing,
    beyond: (name = 'pg2') => standing(name).beyond.join(),
    primary: (given: Partial<ServerFacts> = {}, name = 'pg1') =>
      topology.report('app', name, up, pass({ position: '0/10000', ...given }, clock.now())),
    replica: (given: Partial<ServerFacts> = {}, name = 'pg2') =>
      topology.report('app', name, up, passReplica({ position: '0/10000', ...given }, clock.now())),
    lose: (name = 'pg1') => topology.report('app', name, down(), fail('L4CON', clock.now())),
  };
}

const TIME = '10000 ms';
const BYTES = '1000 bytes';

/** Everybody has answered; pg3 follows pg1 as pg2 does. */
function settled(reads?: ReadWants): ReturnType<typeof opened> {
  const stage = opened(reads);
  stage.primary();
  stage.replica();
  stage.replica({}, 'pg3');
  assert.equal(stage.view().primary, 'pg1');
  return stage;
}

test('standing: a replica beyond max_lag comes back at half of it, and not before', () => {
  const { replica, beyond } = settled({ ...wants, lagBytes: [] });
  const rows = [
    [10, ''],
    [10.001, TIME],
    [9.9, TIME],
    [5.001, TIME],
    [5, ''],
    [9.9, ''],
    [11, TIME],
    [0, ''],
  ] as const;
  for (const [lagSeconds, expected] of rows) {
    replica({ lagSeconds });
    assert.equal(beyond(), expected, String(lagSeconds));
  }
});

test('standing: bytes are counted from what the primary told last, with the same way back', () => {
  const { primary, replica, beyond, standing } = settled({ ...wants, lagMs: [] });
  const at = (position: number): string => `0/${position.toString(16).toUpperCase()}`;
  primary({ position: at(100_000) });
  const rows = [
    [100_000, 0, ''],
    [100_500, 0, ''],
    [99_000, 1000, ''],
    [98_999, 1001, BYTES],
    [99_400, 600, BYTES],
    [99_500, 500, ''],
    [99_001, 999, ''],
  ] as const;
  for (const [position, lagBytes, expected] of rows) {
    replica({ position: at(position) });
    assert.equal(standing().lagBytes, lagBytes);
    assert.equal(beyond(), expected, String(position));
  }
});

test('standing: not replicating is no lag of 0, and neither is a lag that cannot be told', () => {
  const answers: Partial<ServerFacts>[] = [
    { replicating: false, lagSeconds: null },
    { replicating: false, lagSeconds: 0 },
    { replicating: true, lagSeconds: null },
  ];
  for (const answer of answers) {
    const { replica, beyond } = settled({ ...wants, lagBytes: [] });
    replica(answer);
    assert.equal(beyond(), TIME);
  }
  const { replica, beyond, standing } = settled({ ...wants, lagMs: [] });
  replica({ replicating: false });
  assert.equal(beyond(), BYTES, 'though it has all that the primary told');
  replica({ systemId: '42' });
  assert.equal(beyond(), BYTES);
  assert.equal(standing().lagBytes, null, 'a position in another history says nothing');
});

test('standing: without a primary a replica is as stale as it was, plus the time since, and as far from the last one', async () => {
  const { clock, lose, replica, beyond, view } = settled();
  replica({ lagSeconds: 1 });
  replica({ replicating: false, lagSeconds: null });
  assert.equal(beyond(), `${TIME},${BYTES}`, 'there is a primary, and it does not follow it');
  lose();
  assert.equal(view().primary, null);
  await clock.advance(3000);
  replica({ replicating: false, lagSeconds: null });
  assert.equal(beyond(), '', '4 s at most: below half of 10 s, and not a byte behind');
  await clock.advance(6000);
  replica({ replicating: false, lagSeconds: null });
  assert.equal(beyond(), '', '10 s at most');
  await clock.advance(1);
  replica({ replicating: false, lagSeconds: null });
  assert.equal(beyond(), TIME);
  replica({ replicating: false, lagSeconds: null, position: '0/1' });
  assert.equal(beyond(), `${TIME},${BYTES}`, 'measured against the primary that was');
});

test('standing: a replica that was never seen to replicate is not trusted when the primary goes', () => {
  const stage = opened({ ...wants, lagBytes: [] });
  stage.primary();
  stage.replica({ replicating: false, lagSeconds: null });
  stage.replica({}, 'pg3');
  stage.lose();
  stage.replica({ replicating: false, lagSeconds: null });
  assert.equal(stage.beyond(), TIME);
  assert.equal(stage.beyond('pg3'), '');
});

test('standing: who becomes the primary and falls back later starts afresh', () => {
  const { replica, primary, lose, beyond, standing, view } = settled();
  replica({ lagSeconds: 60 });
  assert.equal(beyond(), TIME);
  lose();
  primary({ timeline: 2 }, 'pg2');
  assert.equal(view().primary, 'pg2');
  assert.deepEqual(standing().beyond, []);
  replica({ lagSeconds: 8, timeline: 2 }, 'pg1');
  assert.equal(beyond('pg1'), '');
});

test('standing: a failed check changes nothing of it', () => {
  const { replica, lose, beyond } = settled();
  replica({ lagSeconds: 60 });
  lose('pg2');
  assert.equal(beyond(), TIME);
});

test('standing: a limit that a reload brings counts from that moment on', () => {
  const { replica, reload, beyond } = settled({ ...wants, lagMs: [], lagBytes: [] });
  replica({ lagSeconds: 7 });
  assert.equal(beyond(), '');
  reload({ ...wants, lagMs: [5000], lagBytes: [] });
  assert.equal(beyond(), '5000 ms');
  reload({ ...wants, lagMs: [10_000], lagBytes: [] });
  assert.equal(beyond(), '');
});

const walOf = (given: Partial<WalFacts> = {}): WalFacts => ({
  recoveredTo: null,
  synchronousNames: '',
  synchronousCommit: 'on',
  standbys: [
    { name: 'pg2', synchronous: true },
    { name: 'pg3', synchronous: false },
  ],
  standbyName: null,
  ...given,
});

test('standing: which replicas commits wait for is the primary’s word, by a name that only one has', () => {
  const named = (standbyName: string | null) => ({ wal: walOf({ standbyName, standbys: null }) });
  const rows: [string, Partial<WalFacts>, string | null, Standing['synchronous']][] = [
    ['one name', { synchronousNames: 'pg2' }, 'PG2', 'yes'],
    ['the first of several', { synchronousNames: 'FIRST 1 (pg2, pg3)' }, 'pg2', 'yes'],
    ['the next of several', { synchronousNames: 'FIRST 1 (pg2, pg3)' }, 'pg3', 'no'],
    ['all of a quorum', { synchronousNames: 'ANY 1 (pg2)' }, 'pg2', 'yes'],
    ['some of a quorum', { synchronousNames: 'ANY 1 (pg2, pg3)' }, 'pg2', 'quorum'],
    ['some of whoever comes', { synchronousNames: 'ANY 1 (*)' }, 'pg2', 'quorum'],
    ['none is waited for', { synchronousNames: '' }, 'pg2', 'no'],
    ['commits do not wait', { synchronousNames: 'pg2', synchronousCommit: 'local' }, 'pg2', 'no'],
    ['a name that two have', { synchronousNames: 'pg2', standbys: twins }, 'pg2', 'no'],
    ['the primary hides it', { synchronousNames: 'pg2', standbys: null }, 'pg2', 'hidden'],
    ['the replica hides its name', { synchronousNames: 'pg2' }, null, 'hidden'],
  ];
  for (const [title, wal, name, expected] of rows) {
    const { primary, replica, standing } = settled({ lagMs: [], lagBytes: [], synchronous: true });
    primary({ wal: walOf(wal) });
    replica(named(name));
    assert.equal(standing().synchronous, expected, title);
  }
  const { primary, replica, standing, lose } = settled({ lagMs: [], lagBytes: [], synchronous: true });
  replica(named('pg2'));
  primary({ wal: walOf({ synchronousNames: 'pg2' }) });
  assert.equal(standing().synchronous, 'yes', 'known with the answer of the primary, too');
  replica({ ...named('pg2'), replicating: false });
  assert.equal(standing().synchronous, 'no');
  lose();
  replica(named('pg2'));
  assert.equal(standing().synchronous, 'unknown');
});

const twins = [
  { name: 'pg2', synchronous: true },
  { name: 'pg2', synchronous: false },
];
