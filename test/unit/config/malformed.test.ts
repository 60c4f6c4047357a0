import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIssue, type LoadResult } from '../../../src/config/load.ts';
import { AROUND, VALID, issuesOf, load } from './kit.ts';
import { malformed } from './mutations.ts';

/** Words of our tools, or of a message that was put together wrong. */
const JARGON = /undefined|\[object|ZodError|Invalid input|invalid_|expected \w+, received|NaN is|Symbol\(/;

function assertWellSaid(result: LoadResult, name: string): void {
  for (const issue of [...issuesOf(result), ...result.warnings]) {
    const said = `${name}: ${formatIssue(issue)}`;
    assert.ok(Number.isInteger(issue.line) && issue.line >= 1, said);
    assert.ok(Number.isInteger(issue.column) && issue.column >= 1, said);
    assert.ok(issue.message.trim().length > 10, said);
    assert.doesNotMatch(issue.message, JARGON, said);
    assert.doesNotMatch(formatIssue(issue), /[\n\r\0]/, said);
    assert.ok(formatIssue(issue).length < 600, said);
  }
}

const cases = malformed();

test(`malformed: there are hundreds of files to refuse`, () => {
  assert.ok(cases.length >= 500, String(cases.length));
  assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length, 'each has its own name');
});

test('malformed: each of them is refused, in words, at a place', () => {
  const accepted: string[] = [];
  for (const { name, text } of cases) {
    const result = load(text, AROUND);
    assertWellSaid(result, name);
    if (result.ok) accepted.push(name);
    else assert.ok(result.issues.length > 0, name);
  }
  assert.deepEqual(accepted, []);
});

test('malformed: the place is inside the file', () => {
  for (const { name, text } of cases) {
    const lines = text.split(/\n/);
    for (const { line, column } of issuesOf(load(text, AROUND))) {
      assert.ok(line <= lines.length + 1, name);
      assert.ok(column <= (lines[line - 1] ?? '').length + 1, `${name} ${line}:${column}`);
    }
  }
});

test('malformed: no damage to the text makes loading throw, or say anything odd', () => {
  const damage = fc.record({
    at: fc.nat(VALID.length),
    remove: fc.nat(12),
    insert: fc.oneof(
      fc.string({ maxLength: 6, unit: 'binary' }),
      fc.constantFrom(
        '\t',
        '\0',
        '{',
        '[',
        '"',
        "'",
        '&a ',
        '*a',
        '!',
        '|',
        '>',
        '%',
        '@',
        '${',
        '$${',
        '\n',
        '\r',
        ': ',
        '- ',
        '#',
        '? ',
        '<<: ',
      ),
    ),
  });
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), damages => {
      const text = damages.reduce(
        (t, { at, remove, insert }) => t.slice(0, at) + insert + t.slice(at + remove),
        VALID,
      );
      assertWellSaid(load(text, AROUND), JSON.stringify(text));
    }),
    { numRuns: 600 },
  );
});

test('malformed: any text at all is answered', () => {
  const token = fc.constantFrom(
    'frontends',
    'backends',
    ':',
    ' ',
    '\n',
    '  ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    ',',
    '"',
    '&x',
    '*x',
    '${A}',
    '0',
    '#',
    '|',
    '? ',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(token, { maxLength: 40 }).map(parts => parts.join('')),
      ),
      text => {
        const result = load(text, AROUND);
        assert.ok(!result.ok, 'nothing of this is a configuration');
        assert.ok(result.issues.length > 0);
        assertWellSaid(result, JSON.stringify(text));
      },
    ),
    { numRuns: 600 },
  );
});
