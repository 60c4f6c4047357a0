import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { knownKeys } from '../../../src/config/keys.ts';
import { configJsonSchema, configReference } from '../../../src/config/reference.ts';
import { Authority } from '../../support/authority.ts';
import { readRepositoryFile, repositoryFiles, repositoryRoot } from '../../support/repository.ts';
import { errors, warnings, type Surroundings } from './kit.ts';

const PAGE = 'docs/configuration.md';

test('reference: docs/configuration.md is what the schema says', () => {
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(join(repositoryRoot, PAGE), configReference());
  assert.equal(readRepositoryFile(PAGE), configReference(), `${PAGE} is out of date; run: npm run docs`);
});

/** Long enough for a token. */
const STAND_IN = 'stand-in-for-a-secret';

/** A stand-in for every reference in a text, so that examples can be loaded anywhere. */
function surroundingsOf(text: string): Surroundings {
  const names = [...text.matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => [name, STAND_IN]);
  const files = [...text.matchAll(/\$\{file:([^}]+)\}/g)].map(([, path = '']) => [path, STAND_IN]);
  return {
    env: Object.fromEntries(names) as Record<string, string>,
    files: { ...(Object.fromEntries(files) as Record<string, string>), ...pemFilesOf(text) },
  };
}

const authority = new Authority();
after(() => authority.dispose());
const issued = authority.issue('example', ['app.example.com']);

/** A certificate, its key and its authority for every file that a text names as one. */
function pemFilesOf(text: string): Readonly<Record<string, string>> {
  const standIns = { cert: issued.certFile, key: issued.keyFile, ca: authority.caFile };
  const named = [...text.matchAll(/(cert|key|ca)_file: ([^\s,}]+)/g)];
  return Object.fromEntries(
    named.map(([, kind, path = '']) => [path, readFileSync(standIns[kind as 'cert' | 'key' | 'ca'], 'utf8')]),
  );
}

function yamlBlocks(file: string): readonly (readonly [name: string, text: string])[] {
  const blocks = [...readRepositoryFile(file).matchAll(/^```yaml\n([\s\S]*?)^```$/gm)];
  return blocks
    .map(([, text = ''], index) => [`${file}, YAML block ${index + 1}`, text] as const)
    .filter(([, text]) => /^frontends:/m.test(text));
}

test('examples: every configuration in examples, README and docs is valid, without a warning', () => {
  const pages = repositoryFiles().filter(
    file => file === 'README.md' || (file.startsWith('docs/') && file.endsWith('.md')),
  );
  const whole = repositoryFiles('examples').filter(
    file => file.endsWith('.yaml') && /^frontends:/m.test(readRepositoryFile(file)),
  );
  const texts = [
    ...pages.flatMap(yamlBlocks),
    ...whole.map(file => [file, readRepositoryFile(file)] as const),
  ];
  assert.ok(whole.length >= 2, 'minimal.yaml and postgres.yaml');
  assert.ok(texts.length >= 4, 'two files, two blocks of the reference page');
  for (const [name, text] of texts) {
    assert.deepEqual(errors(text, surroundingsOf(text)), [], name);
    assert.deepEqual(warnings(text, surroundingsOf(text)), [], name);
  }
});

test('reference: every key stands in the annotated example and in a table, with a meaning', () => {
  const page = configReference();
  const keys = knownKeys();
  assert.ok(keys.length > 30);
  for (const { path, schema } of keys) {
    const key = path.at(-1) ?? '';
    assert.ok(schema.description, `${path.join('.')} has no description`);
    assert.ok(page.includes(`| \`${key}\` |`), `${path.join('.')} is in no table`);
    // A mapping that is off stands in the example as one line.
    const within = keys.some(
      other =>
        other.path.length < path.length &&
        other.path.every((segment, index) => path[index] === segment) &&
        !other.required &&
        other.schema.default === undefined &&
        other.path.at(-1) !== 'servers',
    );
    if (!within) assert.match(page, new RegExp(`^ *(# )?${key}:`, 'm'));
  }
});

test('reference: a line starting as a comment turns into a valid key when the # goes', () => {
  const annotated = yamlBlocks(PAGE).filter(([, text]) => text.includes('# What the servers speak.'));
  assert.equal(annotated.length, 5, 'one for each protocol');
  let everything = '';
  for (const [name, text] of annotated) {
    const all = text
      .replace('route: primary', 'route: replica-or-primary')
      .replace(/mode: (prefer|disable)/, 'mode: verify-full')
      // One of the two manages the servers.
      .replace(/^ *# patroni: .*\n/m, '')
      // Where servers are written, none is looked for.
      .replace(/^ +# dns: .*\n/m, '')
      .replaceAll(/^( *)# (\w+: .*)$/gm, (line, indent: string, rest: string) =>
        knownKeys().some(({ path }) => path.at(-1) === rest.split(':')[0]) ? `${indent}${rest}` : line,
      );
    assert.deepEqual(errors(all, surroundingsOf(all)), [], name);
    everything += all;
  }
  for (const key of [
    'max_lag',
    'fallback_share',
    'allow',
    'password',
    'ca_file',
    'server_name',
    'rest',
    'sentinel',
    'json',
    'expect',
  ])
    assert.match(everything, new RegExp(`^ +${key}:`, 'm'));
});

test('JSON Schema: it is draft 2020-12, has a title, defaults, and refuses unknown keys', () => {
  const schema = configJsonSchema();
  assert.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema');
  assert.equal(schema.title, 'Pointsman configuration');
  assert.equal(schema.additionalProperties, false);
  assert.deepEqual(schema.required, ['frontends', 'backends']);
  assert.equal(schema.properties?.['drain_timeout'] === undefined, false);
  assert.match(JSON.stringify(schema.properties?.['drain_timeout']), /"default":"30s"/);
  assert.doesNotMatch(JSON.stringify(schema), /"sample"/);
});

test('JSON Schema: numbers, durations, addresses and choices may be written as ${…}', () => {
  const interpolated = /"\$ref":"#\/\$defs\/interpolated"/;
  for (const { path, schema } of knownKeys()) {
    const key = path.at(-1) ?? '';
    if (['hold', 'hold_max', 'bind', 'route', 'user', 'interval', 'address'].includes(key)) {
      assert.match(JSON.stringify(schema), interpolated, path.join('.'));
    }
  }
});
