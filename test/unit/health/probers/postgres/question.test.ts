import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFacts } from '../../../../../src/health/probers/postgres/question.ts';

const ofPrimary = ['0/1000', 'pg2', 'on', '[["pg2","sync"],["x","async"]]', null];
const primary = ['f', 'off', 'off', '77', '0000001F', '0/3000148', 'f', null, null, null, ...ofPrimary];
const ofStandby = [null, '', 'on', null, 'pg2'];
const standby = ['t', 'on', 'off', '77', '31', '0/3000148', 't', '1.25', '10.0.0.1', '5432', ...ofStandby];

const change = (row: (string | null)[], index: number, value: string | null): (string | null)[] =>
  row.map((old, i) => (i === index ? value : old));

test('answer: a primary is read, its timeline from the hexadecimal name of a WAL file', () => {
  assert.deepEqual(readFacts(primary, '16.2'), {
    role: 'primary',
    writable: true,
    version: '16.2',
    systemId: '77',
    timeline: 31,
    position: '0/3000148',
    lagSeconds: null,
    replicating: null,
    upstream: null,
    channels: [],
    history: null,
    wal: {
      recoveredTo: '0/1000',
      synchronousNames: 'pg2',
      synchronousCommit: 'on',
      standbys: [
        { name: 'pg2', synchronous: true },
        { name: 'x', synchronous: false },
      ],
      standbyName: null,
    },
  });
});

test('answer: a standby is read, with its lag and whom it follows', () => {
  assert.deepEqual(readFacts(standby, null), {
    role: 'replica',
    writable: false,
    version: null,
    systemId: '77',
    timeline: 31,
    position: '0/3000148',
    lagSeconds: 1.25,
    replicating: true,
    upstream: '10.0.0.1:5432',
    channels: [],
    history: null,
    wal: {
      recoveredTo: null,
      synchronousNames: '',
      synchronousCommit: 'on',
      standbys: null,
      standbyName: 'pg2',
    },
  });
});

test('answer: standbys whose states are hidden, or a list that was cut, are not told', () => {
  const standbysIn = (text: string): unknown => {
    const facts = readFacts(change(primary, 13, text), null);
    return typeof facts === 'string' ? facts : facts.wal?.standbys;
  };
  assert.deepEqual(standbysIn('[["pg2","quorum"]]'), [{ name: 'pg2', synchronous: true }]);
  for (const text of [
    '[["pg2",null]]',
    '[["pg2","sync"], ["pg',
    '[["pg2","sync"], ["]]',
    '{}',
    '[[1,2]]',
    '',
  ]) {
    assert.equal(standbysIn(text), null, text);
  }
});

test('answer: either read-only setting makes a primary not writable', () => {
  for (const index of [1, 2]) {
    const facts = readFacts(change(primary, index, 'on'), null);
    assert.ok(typeof facts !== 'string' && facts.role === 'primary' && !facts.writable);
  }
});

test('answer: what a server cannot say is null', () => {
  const facts = readFacts(['t', 'on', 'off', null, null, null, 'f', ...Array<null>(8).fill(null)], null);
  assert.ok(typeof facts !== 'string');
  assert.deepEqual(
    [facts.systemId, facts.timeline, facts.position, facts.lagSeconds, facts.replicating, facts.upstream],
    [null, null, null, null, false, null],
  );
});

test('answer: rows of another shape are refused', () => {
  const bad = [
    [],
    ['t'],
    [...primary, 'x'],
    change(primary, 0, 'yes'),
    change(primary, 0, null),
    change(primary, 1, null),
    change(primary, 6, ''),
  ];
  for (const row of bad) assert.equal(typeof readFacts(row, null), 'string', JSON.stringify(row));
});
