import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interpolate } from '../../../src/config/interpolate.ts';
import { AROUND, VALID, configOf, errors, postgresOf, variant } from './kit.ts';

const files: Readonly<Record<string, string>> = {
  '/secret': 'from file\r\n',
  '/two': 'a\n\n',
  '/empty': '\n',
  '/big': 'x'.repeat(70_000),
};
const sources = {
  env: { NAME: 'value', EMPTY: '', NESTED: '${NAME}' },
  readFile: (path: string): string => {
    const text = files[path];
    if (text === undefined)
      throw Object.assign(new Error('no'), { code: path === '/shut' ? 'EACCES' : 'ENOENT' });
    return text;
  },
};
const textOf = (text: string): string | null => interpolate(text, sources).text;

test('interpolation: variables and files are put in place, also several and in the middle', () => {
  assert.equal(textOf('${NAME}'), 'value');
  assert.equal(textOf('a-${NAME}-${file:/secret}-z'), 'a-value-from file-z');
  assert.deepEqual(interpolate('${NAME}${file:/secret}', sources).references, ['${NAME}', '${file:/secret}']);
});

test('interpolation: only the last line break of a file is dropped', () => {
  assert.equal(textOf('${file:/secret}'), 'from file');
  assert.equal(textOf('${file:/two}'), 'a\n');
});

test('interpolation: $${ is a literal ${, and a lone $ is itself', () => {
  assert.equal(textOf('$${NAME}'), '${NAME}');
  assert.equal(textOf('$5 {x} $'), '$5 {x} $');
});

test('interpolation: what comes out is not interpolated again', () => {
  assert.equal(textOf('${NESTED}'), '${NAME}');
});

test('interpolation: each reference that fails is a problem of its own, with its name', () => {
  const { text, problems } = interpolate(
    '${NOPE} ${EMPTY} ${file:/none} ${file:/shut} ${file:/empty} ${file:/big} ${file:rel}',
    sources,
  );
  assert.equal(text, null);
  assert.deepEqual(problems, [
    'the environment variable NOPE is not set',
    'the environment variable EMPTY is empty',
    'the file "/none" cannot be read: there is no such file',
    'the file "/shut" cannot be read: permission denied',
    'the file "/empty" is empty',
    'the file "/big" is larger than 64 KiB',
    'needs the whole path of the file: ${file:/path}',
  ]);
});

test('interpolation: braces that name nothing are refused, without repeating what they hold', () => {
  for (const text of ['${}', '${hunter2-x}', '${hunter2', 'pass${', '${ NAME }', '${toString.x}']) {
    const { text: finished, problems } = interpolate(text, sources);
    assert.equal(finished, null, text);
    assert.doesNotMatch(problems.join(), /hunter2/);
  }
  assert.deepEqual(interpolate('${toString}', sources).problems, [
    'the environment variable toString is not set',
  ]);
});

test('interpolation: numbers, durations, addresses and choices may come from the environment', () => {
  const text = variant('hold_max: 500', 'hold_max: ${N}')
    .replace('hold: 30s', 'hold: "${N}s"')
    .replace('0.0.0.0:5433', '${HOST}:5433')
    .replace('mode: verify-full', 'mode: "${MODE}"');
  const config = configOf(text, {
    ...AROUND,
    env: { ...AROUND.env, N: '42', HOST: '10.1.1.1', MODE: 'verify-full' },
  });
  const { frontends } = config;
  assert.equal(frontends['app-rw']?.holdMax, 42);
  assert.equal(frontends['app-rw']?.holdMs, 42_000);
  assert.deepEqual(frontends['app-ro']?.bind, { host: '10.1.1.1', port: 5433 });
  assert.equal(postgresOf(config, 'app').check.tls.mode, 'verify-full');
});

test('interpolation: a number in a text that is a text stays text', () => {
  assert.equal(
    postgresOf(configOf(VALID, { ...AROUND, env: { PROBE_PASSWORD: '12345' } }), 'app').check.password,
    '12345',
  );
  assert.deepEqual(errors(variant('hold_max: 500', 'hold_max: "500"'), AROUND), [
    '9:15 frontends.app-rw.hold_max: "500" is not a whole number',
  ]);
});

test('interpolation: what comes out is never read as YAML', () => {
  const password = '{a: [*x, "]} # : \nfrontends: {}';
  assert.equal(
    postgresOf(configOf(VALID, { ...AROUND, env: { PROBE_PASSWORD: password } }), 'app').check.password,
    password,
  );
});

test('interpolation: a reference that fails is reported where it stands, and the key is not called missing as well', () => {
  assert.deepEqual(errors(variant('bind: 0.0.0.0:5432', 'bind: "${BIND}"'), AROUND), [
    '5:11 frontends.app-rw.bind: the environment variable BIND is not set',
  ]);
  assert.deepEqual(errors(VALID, { files: AROUND.files }), [
    '25:17 backends.app.check.password: the environment variable PROBE_PASSWORD is not set',
  ]);
  assert.deepEqual(errors(variant('10.0.0.0/8]', "'${NET}']"), AROUND), [
    '11:26 frontends.app-rw.allow[1]: the environment variable NET is not set',
  ]);
});
