// The tree: size, headers and marks of its files. What a reader would otherwise have to look for in every review.
// The forbidden words are put together from halves, since this file is searched too.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import ts from 'typescript';
import { readRepositoryFile, repositoryFiles } from '../support/repository.ts';

const FILE_MAX_LINES = 500;
const ENTRY_MAX_LINES = 80;
const HEADER_MIN_LINES = 2;
const HEADER_MAX_LINES = 6;

const all = repositoryFiles();
const sources = all.filter(path => path.startsWith('src/') && path.endsWith('.ts'));
const code = all.filter(path => /^(src|test|bench)\/.*\.ts$/.test(path));
const lineCount = (text: string): number => text.trimEnd().split('\n').length;

/** Lines of `//` comment at the start of a module, a `#!` line before them not counted. */
function headerLines(text: string): number {
  const lines = text.replace(/^#!.*\n/, '').split('\n');
  const end = lines.findIndex(line => !line.startsWith('//'));
  return end === -1 ? lines.length : end;
}

const marks: readonly (readonly [string, RegExp])[] = [
  ['unfinished work', new RegExp(`\\b(${'TO'}DO|${'FIX'}ME|${'XX'}X|${'HA'}CK)\\b`)],
  ['a type check switched off', new RegExp(`@${'ts'}-(ignore|nocheck)`)],
  ['a test switched off, or switching off the others', new RegExp(`\\.(${'sk'}ip|${'on'}ly|${'to'}do)\\(`)],
  ['a test switched off by option', new RegExp(`\\b(${'sk'}ip|${'on'}ly|${'to'}do): *true`)],
];

const marksIn = (text: string): string[] =>
  text
    .split('\n')
    .flatMap((line, index) =>
      marks.filter(([, mark]) => mark.test(line)).map(([what]) => `line ${index + 1}: ${what}`),
    );

/** Lines on which the type `any` stands, whatever its spelling; text in strings and comments doesn't count. */
function anyTypes(path: string, text: string): number[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023);
  const lines: number[] = [];
  const visit = (node: ts.Node): void => {
    if (node.kind === ts.SyntaxKind.AnyKeyword)
      lines.push(source.getLineAndCharacterOfPosition(node.pos).line + 1);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return lines;
}

// Directories that exist on a developer's machine and nowhere else.
const machinePath = /(?<![\w.}\]*-])\/(work|root|Users|home\/[a-z]\w*)\//;

const offenders = (
  paths: readonly string[],
  find: (text: string, path: string) => readonly unknown[],
): string[] =>
  paths.flatMap(path => find(readRepositoryFile(path), path).map(found => `${path}: ${String(found)}`));

test('the tree: there are sources to look at', () => {
  assert.ok(sources.length > 20, `only ${sources.length}`);
});

test(`the tree: no TypeScript file has more than ${FILE_MAX_LINES} lines`, () => {
  const tooLong = offenders(code, text =>
    lineCount(text) > FILE_MAX_LINES ? [`${lineCount(text)} lines`] : [],
  );
  assert.deepEqual(tooLong, []);
});

test('the tree: the entry point stays an entry point', () => {
  assert.ok(lineCount(readRepositoryFile('src/main.ts')) < ENTRY_MAX_LINES);
});

test('the tree: every module starts by saying what it is', () => {
  const without = offenders(sources, text => {
    const lines = headerLines(text);
    return lines < HEADER_MIN_LINES || lines > HEADER_MAX_LINES ? [`${lines} lines of header`] : [];
  });
  assert.deepEqual(without, []);
});

test('the tree: the search for headers tells good from bad', () => {
  assert.equal(headerLines('#!/usr/bin/env node\n// One.\n// Two.\n\nexport {};\n'), 2);
  assert.equal(headerLines(`import 'x';\n// One.\n`), 0);
  assert.equal(headerLines('// All.\n// Of it.'), 2);
});

test('the tree: no marks of unfinished work, nothing switched off', () => {
  assert.deepEqual(offenders(code, marksIn), []);
  assert.deepEqual(
    offenders(code, (text, path) => anyTypes(path, text)),
    [],
  );
});

test('the tree: the search for marks finds each of them', () => {
  const samples = [
    '// TO' + 'DO later',
    '/* FIX' + 'ME */',
    '// @ts' + '-ignore',
    `test.sk${'ip'}('x')`,
    `{ sk${'ip'}: true }`,
  ];
  for (const sample of samples) assert.equal(marksIn(sample).length, 1, sample);
  assert.deepEqual(
    anyTypes('x.ts', '// : any\nconst a = ": any";\nconst b = (c: any[]) => c as any;'),
    [3, 3],
  );
});

test('the tree: no path of somebody’s machine', () => {
  const found = offenders(
    all.filter(path => path !== 'package-lock.json'),
    text => text.split('\n').flatMap((line, index) => (machinePath.test(line) ? [`line ${index + 1}`] : [])),
  );
  assert.deepEqual(found, []);
});

test('the tree: the search for machine paths tells good from bad', () => {
  for (const bad of ['/wo' + 'rk/main', 'see /ro' + 'ot/x', '"/ho' + 'me/ann/src"'])
    assert.match(bad, machinePath);
  for (const good of ['./work/x', 'docs/root/x', '/var/lib/pointsman/', '~/home/x'])
    assert.doesNotMatch(good, machinePath);
});
