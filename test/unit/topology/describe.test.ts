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
