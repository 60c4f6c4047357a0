import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PgafNode } from '../../../../src/health/result.ts';
import { pgafCounsel, type PgafWord } from '../../../../src/topology/sources/pg-auto-failover.ts';

/** `primary=>draining`, or one word for a node that is where it is to be; `!` after it: the health checks fail. */
function node(index: number, states: string): PgafNode {
  const [reported = '', goal = reported] = states.replace('!', '').split('=>');
  return {
    name: `node_${index + 1}`,
    address: { host: '10.0.0.1', port: index + 1 },
    reported,
    goal,
    health: states.endsWith('!') ? 'bad' : 'good',
    timeline: 1,
    position: '0/3000148',
  };
}

const says = (...states: readonly string[]): PgafWord => ({
  monitor: '10.0.0.9:5432',
  answer: { nodes: states.map((text, index) => node(index, text)) },
  detail: '',
});

const heard = (
  ...states: readonly string[]
): { primary: string | null; against: readonly (string | null)[]; notes: readonly string[] } => {
  const { opinion, notes } = pgafCounsel(says(...states), 7);
  assert.ok(opinion !== null);
  return {
    primary: opinion.primary?.name ?? null,
    against: opinion.against.map(({ name }) => name),
    notes,
  };
};

test('monitor’s opinion: who it has as the primary, in words, with the others as members', () => {
  const { opinion, notes, members } = pgafCounsel(says('primary', 'secondary'), 7);
  assert.deepEqual(opinion, {
    words: 'the pg_auto_failover monitor has node_1 (10.0.0.1:1) as the primary',
    primary: { name: 'node_1', address: { host: '10.0.0.1', port: 1 } },
    against: [{ name: 'node_2', address: { host: '10.0.0.1', port: 2 } }],
    process: null,
    passive: false,
    at: 7,
  });
  assert.deepEqual(notes, []);
  assert.deepEqual(
    members?.map(({ name }) => name),
    ['node_1', 'node_2'],
  );
});

test('monitor’s opinion: nobody is the primary while it is between two, and it says what it wants', () => {
  const { opinion } = pgafCounsel(says('primary=>draining!', 'secondary=>prepare_promotion'), 7);
  assert.equal(
    opinion?.words,
    'the pg_auto_failover monitor has nobody as the primary (node_1: draining, node_2: prepare_promotion)',
  );
});

/** The monitor's words in failovers of real clusters (2.0), in the order they came; its health checks left out. */
const stories: Readonly<Record<string, readonly (readonly [string, primary: number | null])[]>> = {
  'two nodes, the primary killed': [
    ['primary secondary', 1],
    ['primary=>draining secondary=>prepare_promotion', null],
    ['primary=>demote_timeout prepare_promotion=>stop_replication', null],
    ['primary=>demote_timeout stop_replication', null],
    ['primary=>demoted stop_replication=>wait_primary', 2],
    ['primary=>demoted wait_primary', 2],
    ['demoted=>catchingup wait_primary', 2],
    ['catchingup=>secondary wait_primary', 2],
    ['secondary wait_primary=>primary', 2],
  ],
  'three nodes, switchover': [
    ['primary secondary secondary', 1],
    ['primary=>draining secondary secondary', null],
    ['draining=>report_lsn secondary=>report_lsn secondary=>report_lsn', null],
    ['report_lsn report_lsn=>prepare_promotion report_lsn', null],
    ['report_lsn prepare_promotion=>wait_primary report_lsn', 2],
    ['report_lsn=>join_secondary prepare_promotion=>wait_primary report_lsn=>join_secondary', 2],
    ['secondary wait_primary=>primary secondary', 2],
  ],
  'a primary on its own, and the first standby': [
    ['init=>single', 1],
    ['single', 1],
    ['single=>wait_primary wait_standby', 1],
    ['wait_primary wait_standby=>catchingup', 1],
    ['primary=>join_primary secondary wait_standby', 1],
    ['primary=>apply_settings secondary secondary', 1],
  ],
  'the primary to be maintained': [
    ['primary=>prepare_maintenance secondary=>prepare_promotion', null],
    ['maintenance wait_primary', 2],
  ],
};

for (const [title, lines] of Object.entries(stories)) {
  test(`monitor’s opinion, step by step: ${title}`, () => {
    for (const [states, primary] of lines) {
      assert.equal(heard(...states.split(' ')).primary, primary === null ? null : `node_${primary}`, states);
    }
  });
}

test('monitor’s opinion: the old primary must not be followed from the moment it is to be demoted, whatever it reports', () => {
  const { primary, against } = heard('primary=>draining', 'secondary=>prepare_promotion');
  assert.deepEqual([primary, against], [null, ['node_1']], 'the one that is being promoted isn’t excluded');
  assert.deepEqual(heard('primary=>demoted', 'wait_primary', 'secondary').against, ['node_1', 'node_3']);
});

/** `pgautofailover.replication_state` of version 2.0, whole. */
const states = {
  primary: ['single', 'wait_primary', 'primary', 'join_primary', 'apply_settings'],
  open: ['unknown', 'init', 'prepare_promotion', 'stop_replication'],
  against: [
    ...['draining', 'demote_timeout', 'demoted', 'catchingup', 'secondary', 'wait_standby', 'maintenance'],
    ...['prepare_maintenance', 'wait_maintenance', 'report_lsn', 'fast_forward', 'join_secondary', 'dropped'],
  ],
};

for (const [standing, names] of Object.entries(states)) {
  test(`monitor’s opinion: goal states that mean ${standing}`, () => {
    for (const goal of names) {
      const { primary, against, notes } = heard(`primary=>${goal}`);
      assert.equal(primary, standing === 'primary' ? 'node_1' : null, goal);
      assert.deepEqual(against, standing === 'against' ? ['node_1'] : [], goal);
      assert.ok(!notes.some(note => note.includes('not known')), goal);
    }
  });
}

test('monitor’s opinion: a state of a later version is told of, and says nothing for or against', () => {
  assert.deepEqual(heard('primary', 'secondary=>constructor'), {
    primary: 'node_1',
    against: [],
    notes: ['pg_auto_failover has node_2 in a state that is not known here: constructor'],
  });
});

test('monitor’s opinion: two primaries at once are none, and are told of', () => {
  const { primary, notes } = heard('primary', 'wait_primary');
  assert.equal(primary, null);
  assert.deepEqual(notes, ['the pg_auto_failover monitor has node_1 and node_2 as primaries at once']);
});

test('monitor’s notes: nodes it can’t reach, and nodes in maintenance', () => {
  assert.deepEqual(heard('primary', 'secondary!', 'maintenance').notes, [
    'the pg_auto_failover monitor can’t reach node_2 (10.0.0.1:2)',
    'node_3 is in maintenance in pg_auto_failover',
  ]);
});

test('monitor’s members: a node that is dropped is none', () => {
  const { members } = pgafCounsel(says('primary', 'secondary=>dropped'), 7);
  assert.deepEqual(
    members?.map(({ name }) => name),
    ['node_1'],
  );
});

test('monitor’s silence: no opinion, and the members stay', () => {
  assert.deepEqual(pgafCounsel({ monitor: '10.0.0.9:5432', answer: null, detail: 'refused' }, 7), {
    opinion: null,
    notes: ['the pg_auto_failover monitor 10.0.0.9:5432 has no answer: refused'],
    members: null,
  });
});
