import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeChange } from '../../../src/topology/describe.ts';
import { type BackendView, type Opinion } from '../../../src/topology/model.ts';
import { backend, pass, passReplica, server } from '../../support/views.ts';

const servers = [server('pg1', pass()), server('pg2', passReplica())];
const told = (before: Partial<BackendView>, after: Partial<BackendView>): readonly string[] =>
  describeChange({ before: backend(servers, before), after: backend(servers, after), at: 0 });
const opinion = (words: string): Opinion => ({
  words,
  primary: null,
  against: [],
  process: null,
  passive: false,
  at: 0,
});

test('describe: what the orchestrator says is told once, and that it fell silent', () => {
  const orchestrator = 'Patroni';
  const says = { orchestrator, opinion: opinion('Patroni names pg1') };
  assert.deepEqual(told({ orchestrator }, says), ['Patroni names pg1']);
  assert.deepEqual(told(says, { ...says, opinion: { ...says.opinion, at: 1000 } }), []);
  assert.deepEqual(told(says, { orchestrator }), ['no word from Patroni']);
});

test('describe: a disagreement is told when it begins and when it is over, not at each of its words', () => {
  assert.deepEqual(told({}, { disagreement: 'they differ' }), ['disagreement: they differ']);
  assert.deepEqual(told({ disagreement: 'they differ' }, { disagreement: 'they differ otherwise' }), []);
  assert.deepEqual(told({ disagreement: 'they differ' }, {}), ['the disagreement is over']);
});

test('describe: a change of the primary is told with its reasons', () => {
  assert.deepEqual(told({ primary: 'pg1' }, { reasons: ['pg1 is lost: refused', 'and more'] }), [
    'app is without a primary: pg1 is lost: refused; and more',
  ]);
  assert.deepEqual(told({ reasons: ['a'] }, { reasons: ['b'] }), ['app is still without a primary: b']);
  assert.deepEqual(told({}, { primary: 'pg1', reasons: ['it is the only one'] }), [
    'pg1 is the primary of app: it is the only one',
  ]);
});

test('describe: why there is no primary is told again when it is another reason, not when figures move', () => {
  const still = (before: string, after: string) => told({ reasons: [before] }, { reasons: [after] });
  const setBack = (at: string, had: string): string =>
    `pg1 is refused: its log ends at ${at}, and pg2 has had ${had} of the same timeline`;
  assert.deepEqual(still(setBack('0/3000000', '0/4000000'), setBack('0/30000FF', '0/4000000')), []);
  const lacks = (what: string): string => `db2 is refused: it lacks ${what} that db1 has`;
  assert.deepEqual(still(lacks('12 transactions (0-1-5..16)'), lacks('1 transaction (0-1-16)')), []);
  assert.equal(still('waiting for the first word of pg1', 'waiting for the first word of pg2').length, 1);
  assert.equal(still(lacks('1 transaction (0-1-16)'), 'db2 is waited for').length, 1);
  assert.equal(still('Patroni names 10.0.0.1:5432', 'Patroni names 10.0.0.2:5432').length, 1);
});
