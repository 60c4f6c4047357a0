import assert from 'node:assert/strict';
import { test } from 'node:test';
import { questionFor, readAnswer } from '../../../../../src/health/probers/pg-auto-failover/answer.ts';

const asked = { formation: 'default', group: 0 };

/** As version 2.0 writes it. */
const state = {
  formation_kind: 'pgsql',
  nodename: 'node_1',
  nodehost: '10.0.0.1',
  nodeport: 5432,
  group_id: 0,
  node_id: 1,
  current_group_state: 'primary',
  assigned_group_state: 'draining',
  candidate_priority: 50,
  replication_quorum: true,
  reported_tli: 3,
  reported_lsn: '0/40205C0',
  health: 0,
  nodecluster: 'default',
};

const row = (
  states: readonly object[] | null,
  { formations = ['default'], groups = [0], standby = 'f' }: Partial<Told> = {},
): (string | null)[] => [
  standby,
  states && JSON.stringify(states),
  JSON.stringify(formations),
  groups && JSON.stringify(groups),
];

interface Told {
  readonly formations: readonly string[];
  readonly groups: readonly number[] | null;
  readonly standby: string;
}

const failureOf = (answer: ReturnType<typeof readAnswer>): string =>
  'code' in answer ? `${answer.code} ${answer.detail}` : assert.fail('an answer');

test('monitor’s answer: the columns of version 2.0', () => {
  assert.deepEqual(readAnswer(row([state]), asked), {
    nodes: [
      {
        name: 'node_1',
        address: { host: '10.0.0.1', port: 5432 },
        reported: 'primary',
        goal: 'draining',
        health: 'bad',
        timeline: 3,
        position: '0/40205C0',
      },
    ],
  });
});

test('monitor’s answer: version 1.0 has the host as the name, and tells neither health nor position', () => {
  const old = {
    nodename: 'db1.example',
    nodeport: 5432,
    group_id: 0,
    node_id: 1,
    current_group_state: 'single',
    assigned_group_state: 'single',
  };
  assert.deepEqual(readAnswer(row([old]), asked), {
    nodes: [
      {
        name: 'db1.example',
        address: { host: 'db1.example', port: 5432 },
        reported: 'single',
        goal: 'single',
        health: 'unknown',
        timeline: null,
        position: null,
      },
    ],
  });
});

test('monitor’s answer: a formation, or a group, that isn’t there is told with those that are', () => {
  assert.equal(
    failureOf(readAnswer(row(null, { formations: ['a', 'b'], groups: null }), asked)),
    'L7STS it has no formation default, but a, b',
  );
  assert.equal(
    failureOf(readAnswer(row(null, { groups: [1, 2] }), asked)),
    'L7STS its formation default has no group 0, but 1, 2',
  );
  assert.equal(
    failureOf(readAnswer(row(null, { groups: null }), asked)),
    'L7STS its formation default has no nodes yet',
  );
});

test('monitor’s answer: the word of a standby of the monitor is not taken', () => {
  assert.match(failureOf(readAnswer(row([state], { standby: 't' }), asked)), /^L7STS .*standby of a monitor/);
});

const foreign: Readonly<Record<string, (string | null)[] | null>> = {
  'no row': null,
  'too few columns': ['f', '[]'],
  'no boolean': ['yes', '[]', '[]', '[]'],
  'no JSON': ['f', '[', '["default"]', '[0]'],
  'an object for a list': ['f', '{}', '["default"]', '[0]'],
  'a node without a state': row([{ ...state, assigned_group_state: null }]),
  'a node without a name': row([{ ...state, nodename: '' }]),
  'a port that is none': row([{ ...state, nodeport: 70_000 }]),
  'more nodes than a group has': row(Array.from({ length: 129 }, () => state)),
};

for (const [title, given] of Object.entries(foreign)) {
  test(`monitor’s answer: ${title} is a foreign answer`, () => {
    assert.match(failureOf(readAnswer(given, asked)), /^L7RSP/);
  });
}

test('monitor’s question: a formation’s name can’t end the literal that it stands in', () => {
  const question = questionFor({ formation: "o'hara\\", group: 2 });
  assert.ok(question.includes("current_state(E'o\\'hara\\\\', 2)"), question);
});
