import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSynchronousNames } from '../../../../src/protocol/postgres/synchronous-names.ts';

const lists: readonly (readonly [string, number, readonly string[]])[] = [
  ['pg2', 1, ['pg2']],
  ['"pg2"', 1, ['pg2']],
  [' PG2 , "a ""quoted"" one" ', 1, ['pg2', 'a "quoted" one']],
  ['*', 1, ['*']],
  [
    'ANY 1 (pgautofailover_standby_1, pgautofailover_standby_2)',
    1,
    ['pgautofailover_standby_1', 'pgautofailover_standby_2'],
  ],
  ['first 2 (a,b,c)', 2, ['a', 'b', 'c']],
  ['2 ( a, b )', 2, ['a', 'b']],
  ['ANY 1("with, comma)")', 1, ['with, comma)']],
  ['any', 1, ['any']],
];

for (const [text, count, names] of lists) {
  test(`synchronous_standby_names: ${text} is ${count} of ${names.length}`, () => {
    assert.deepEqual(parseSynchronousNames(text), { count, names });
  });
}

test('synchronous_standby_names: what is no such list names nobody', () => {
  for (const text of [
    '',
    ' ',
    'ANY 1 (',
    'ANY 1 (a, b',
    'ANY 0 (a)',
    'ANY 1 ()',
    'a b',
    'a,',
    ',a',
    '"a',
    'a)',
    '()',
  ]) {
    assert.equal(parseSynchronousNames(text), null, JSON.stringify(text));
  }
});
