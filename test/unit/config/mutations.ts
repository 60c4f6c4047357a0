// Systematic damage to the valid configuration, for malformed.test.ts: hundreds of files that must all be refused well.

import { type Document, isMap, isPair, isScalar, isSeq, parseDocument, visit } from 'yaml';
import { VALID } from './kit.ts';

export interface Malformed {
  readonly name: string;
  readonly text: string;
}

type NodePath = readonly (string | number)[];

/** Paths of every key in the valid configuration. */
export function keyPaths(): readonly NodePath[] {
  const paths: NodePath[] = [];
  visit(parseDocument(VALID), {
    Pair(_, pair, ancestors) {
      const above = ancestors.filter(isPair).map(({ key }) => (isScalar(key) ? String(key.value) : ''));
      paths.push([...above, isScalar(pair.key) ? String(pair.key.value) : '']);
    },
  });
  return paths;
}

const edited = (name: string, edit: (document: Document) => void): Malformed => {
  const document = parseDocument(VALID);
  edit(document as unknown as Document);
  return { name, text: document.toString() };
};

const wrongValues: Readonly<Record<string, unknown>> = {
  'a mapping of nonsense': { nonsense: { deep: [1] } },
  'a list of nonsense': [['nonsense']],
  'a number out of every range': -1e300,
  true: true,
  null: null,
  'a text that is nothing': '\u00a0?!',
  'not a number': NaN,
};

/** Wrong values that happen to be right there: texts and empty values where any text will do. */
function isFine(path: NodePath, name: string): boolean {
  const key = path.at(-1);
  return (
    name === 'a text that is nothing' && ['user', 'password', 'database', 'server_name'].includes(String(key))
  );
}

const requiredKeys = new Set([
  'frontends',
  'backends',
  'bind',
  'backend',
  'protocol',
  'check',
  'user',
  'servers',
  'address',
]);

function structural(): readonly Malformed[] {
  return keyPaths().flatMap(path => {
    const where = path.join('.');
    const damaged = Object.entries(wrongValues)
      .filter(([name]) => !isFine(path, name))
      .map(([name, value]) =>
        edited(`${where} is ${name}`, document => document.setIn(path, document.createNode(value))),
      );
    const value = parseDocument(VALID).getIn(path, true);
    const unknown = isMap(value)
      ? [edited(`${where} has an unknown key`, document => document.setIn([...path, 'no key of ours'], 1))]
      : [];
    const required = requiredKeys.has(String(path.at(-1))) && where !== 'admin.bind';
    const missing = required ? [edited(`${where} is missing`, document => document.deleteIn(path))] : [];
    const reference =
      isMap(value) || isSeq(value)
        ? []
        : [edited(`${where} refers to nothing`, document => document.setIn(path, '${NOT_SET}'))];
    return [...damaged, ...unknown, ...missing, ...reference];
  });
}

/** Each line of the file in turn, doubled, or broken in one way. */
function textual(): readonly Malformed[] {
  const lines = VALID.trimEnd().split('\n');
  const breaks: Readonly<Record<string, (line: string) => string>> = {
    'with a tab in front': line => `\t${line}`,
    'with a NUL byte': line => `${line}\u0000`,
    'with an open quote': line => line.replace(/: ?/, ': "'),
    'with an open bracket': line => line.replace(/: ?/, ': [{'),
    'without its colon': line => line.replace(':', ''),
    'as an unknown alias': line => line.replace(/:.*/, ': *nowhere'),
    'with an unknown tag': line => line.replace(/:.*/, ': !!js/function x'),
    'with a merge key': line => line.replace(/[\w-]+:.*/, '<<: {}'),
    twice: line => `${line}\n${line}`,
    'with a backtick': line => line.replace(/:.*/, ': `date`'),
  };
  return lines.flatMap((_, at) =>
    Object.entries(breaks).map(([name, change]) => ({
      name: `line ${at + 1} ${name}`,
      text: lines.map((line, index) => (index === at ? change(line) : line)).join('\n'),
    })),
  );
}

const handmade: readonly Malformed[] = [
  { name: 'empty', text: '' },
  { name: 'only a comment', text: '# nothing' },
  { name: 'a scalar', text: '42' },
  { name: 'a list', text: '- frontends\n- backends' },
  { name: 'JSON cut short', text: '{"frontends": {"a": {"bind": "1' },
  { name: 'another language', text: '[frontends.app]\nbind = "0.0.0.0:5432"\n' },
  {
    name: 'a haproxy.cfg',
    text: 'global\n    daemon\ndefaults\n    mode tcp\nlisten app\n    bind *:5432\n',
  },
  { name: 'binary', text: '\u007fELF\u0002\u0001\u0001\u0000\uFFFD\uFFFD' },
  { name: 'brackets', text: '['.repeat(20_000) },
  { name: 'dashes', text: '- '.repeat(20_000) },
  { name: 'one line too long', text: `frontends: ${'x'.repeat(200_000)}` },
  { name: 'one key too long', text: `${'k'.repeat(5000)}: 1` },
  { name: 'a hundred documents', text: '---\na: 1\n'.repeat(100) },
  { name: 'YAML 1.1', text: `%YAML 1.1\n---\n${VALID}` },
  { name: 'a foreign directive', text: `%FOO bar\n---\n${VALID}` },
  { name: 'an alias within its anchor', text: 'frontends: &f { a: *f }' },
  { name: 'keys that are no words', text: '? {a: 1}\n: 2\n? [b]\n: 3\n"": 4\n: 5\n' },
  { name: 'prototype keys', text: '__proto__: { polluted: 1 }\nconstructor: 1\n' },
  { name: 'too large', text: `${VALID}#${' '.repeat(1024 * 1024)}` },
  { name: 'carriage returns only', text: VALID.replaceAll('\n', '\r') },
];

/** Every one of these is invalid. */
export function malformed(): readonly Malformed[] {
  return [...structural(), ...textual(), ...handmade];
}
