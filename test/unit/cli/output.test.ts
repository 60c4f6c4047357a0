import assert from 'node:assert/strict';
import { test } from 'node:test';
import { harmless } from '../../../src/cli/output.ts';

for (const [what, text, shown] of [
  ['an escape sequence', 'x\u001b]0;mine\u0007y', 'x\uFFFD]0;mine\uFFFDy'],
  ['one in a single character (C1), and DEL', 'a\u009b2Jb\u007f', 'a\uFFFD2Jb\uFFFD'],
  ['a carriage return, which hides what stood before', 'bad\rgood', 'bad\uFFFDgood'],
  ['a turned direction', 'pg1\u202Eegp', 'pg1\uFFFDegp'],
] as const) {
  test(`command output: ${what} in a server's words does nothing to a terminal`, () => {
    assert.equal(harmless(text), shown);
  });
}

test('command output: lines, tabs and letters of all languages stay', () => {
  const text = 'Größe\t数据库\n–“q” 🙂';
  assert.equal(harmless(text), text);
});
