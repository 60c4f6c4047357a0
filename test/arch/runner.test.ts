// The test runner: everything that must turn a run red does. Runs it as a process on small suites of its own,
// since node:test refuses to run inside itself.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { test, type TestContext } from 'node:test';

const runner = resolve(import.meta.dirname, '../support/run.js');

interface Run {
  readonly status: number | null;
  readonly count: string;
  readonly output: string;
  /** What stands in the failures file. */
  readonly failures: string;
}

function runSuite(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  args: readonly string[] = [],
  slower = 1,
): Run {
  const root = mkdtempSync(join(tmpdir(), 'pointsman-runner-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `import { test, describe, before } from 'node:test';\n${text}`);
  }
  const env: NodeJS.ProcessEnv = { ...process.env, POINTSMAN_TEST_PACE: String(slower) };
  delete env['NODE_TEST_CONTEXT'];
  const countFile = join(root, 'count');
  const failuresFile = join(root, 'failures');
  writeFileSync(failuresFile, '');
  const { status, stdout } = spawnSync(
    process.execPath,
    [runner, '--tests', root, '--count-file', countFile, '--failures-file', failuresFile, ...args],
    { env, encoding: 'utf8' },
  );
  return {
    status,
    count: readFileSync(countFile, 'utf8').trim(),
    output: stdout,
    failures: readFileSync(failuresFile, 'utf8'),
  };
}

const good = `test('good', () => {});`;

test('test runner: a suite that passes is green, and its tests are counted', t => {
  const { status, count } = runSuite(t, {
    'unit/a.test.mjs': `${good} describe('some', () => { test('inner', () => {}); });`,
    'integration/b.test.mjs': good,
    'support/not-a-suite.test.mjs': `throw new Error('support is not run');`,
  });
  assert.deepEqual([status, count], [0, '3 0']);
});

const reds: readonly (readonly [what: string, text: string, count: string, says: RegExp])[] = [
  [
    'a test that fails',
    `${good} test('bad', () => { throw new Error('the reason'); });`,
    '1 1',
    /the reason/,
  ],
  ['a test that is switched off', `${good} test.${'sk'}ip('off', () => {});`, '1 1', /skipped/],
  ['a test that skips itself', `${good} test('off', t => t.${'sk'}ip());`, '1 1', /skipped/],
  ['a test that is still to be written', `${good} test.${'to'}do('later');`, '1 1', /todo/],
  ['a file without tests', `export {};`, '0 1', /holds no tests/],
  ['a file that does not load', `import './gone.mjs';`, '0 1', /gone\.mjs/],
  [
    'a hook that fails',
    `describe('x', () => { before(() => { throw new Error('hook'); }); ${good} });`,
    '0 2',
    /hook/,
  ],
  [
    'an error after the end',
    `test('early', () => { setImmediate(() => { throw new Error('late'); }); });`,
    '1 1',
    /late/,
  ],
  [
    'a file that does not end',
    `${good} setInterval(() => {}, 1000);`,
    '1 1',
    /nothing reported for 2000 ms.*good/,
  ],
  [
    'a file that does not end when asked to',
    `process.on('SIGTERM', () => {}); ${good} setInterval(() => {}, 1000);`,
    '1 2',
    /left process \d+ behind/,
  ],
  [
    'a child left behind',
    `import { spawn } from 'node:child_process';
     test('leaves', () => { spawn('sleep', ['60'], { detached: true, stdio: 'ignore' }).unref(); });`,
    '1 1',
    /left process \d+ behind \(killed now\): sleep 60/,
  ],
];

for (const [what, text, count, says] of reds) {
  test(`test runner: ${what} makes it red`, t => {
    const run = runSuite(t, { 'integration/a.test.mjs': text }, ['--idle-limit-ms', '2000']);
    assert.deepEqual([run.status, run.count], [1, count], run.output);
    assert.match(run.output, says);
  });
}

test('test runner: on a machine three times slower than usual a file has longer', t => {
  const slow = `${good} setTimeout(() => {}, 2500);`;
  const run = runSuite(t, { 'unit/a.test.mjs': slow }, ['--idle-limit-ms', '1500'], 3);
  assert.deepEqual([run.status, run.count], [0, '1 0'], run.output);
});

test('test runner: of many failures each is told briefly, and the last lines name them all', t => {
  const fails = `test('bad', () => { throw new Error('begins' + 'x'.repeat(90_000) + 'ends'); });`;
  const { failures } = runSuite(t, { 'unit/a.test.mjs': fails, 'unit/b.test.mjs': fails });
  assert.equal(failures.match(/begins/g)?.length, 2);
  assert.ok(failures.length < 10_000, `${failures.length} characters`);
  assert.match(failures, /\n✖ unit\/a\.test\.mjs: bad\n✖ unit\/b\.test\.mjs: bad\n$/);
});

test('test runner: a run that finds no tests is red', t => {
  const { status, count } = runSuite(t, {});
  assert.deepEqual([status, count], [1, '0 1']);
});

test('test runner: a path that matches nothing is red, one that matches runs only that', t => {
  const files = { 'unit/a.test.mjs': good, 'unit/b.test.mjs': `throw new Error('not asked for');` };
  const wrong = runSuite(t, files, ['unit/c']);
  assert.deepEqual([wrong.status, wrong.count], [1, '0 1']);
  const right = runSuite(t, files, ['test/unit/a']);
  assert.deepEqual([right.status, right.count], [0, '1 0']);
});

test('test runner: what does not fit into the time of the suite is reported as failed', t => {
  const hangs = `${good} setInterval(() => {}, 1000);`;
  const { status, count, output } = runSuite(
    t,
    {
      'integration/a.test.mjs': hangs,
      'integration/b.test.mjs': hangs,
      'integration/c.test.mjs': hangs,
      'integration/d.test.mjs': good,
    },
    ['--suite-limit-ms', '2000', '--apart-ms', '0'],
  );
  assert.deepEqual([status, count], [1, '3 4'], output);
  assert.match(output, /not run: the whole suite took more than 2000 ms/);
});

/** A test that fails until it has been run so many times: it leaves marks beside itself. */
const failing = (times: number): string => `import { appendFileSync, existsSync, statSync } from 'node:fs';
test('unsteady', () => {
  const marks = import.meta.filename + '.ran';
  const ran = existsSync(marks) && statSync(marks).size >= ${times};
  appendFileSync(marks, '.');
  if (!ran) throw new Error('the first reason');
});`;
const once = failing(1);

test('test runner: with --rerun-alone a file that starts servers is judged by its second run, and named', t => {
  const { status, count, output } = runSuite(t, { 'scenario/a.test.mjs': once }, ['--rerun-alone', '1']);
  assert.deepEqual([status, count], [0, '1 0'], output);
  assert.match(output, /the first reason/);
  assert.match(output, /scenario\/a\.test\.mjs passed only when it was run again, alone/);
});

test('test runner: on a slow machine such a file has a third run', t => {
  const files = { 'scenario/a.test.mjs': failing(2), 'scenario/b.test.mjs': failing(3) };
  const { status, count, output } = runSuite(t, files, ['--rerun-alone', '2'], 3);
  assert.deepEqual([status, count], [1, '1 1'], output);
});

test('test runner: what the first run of such a file left behind is judged with it', t => {
  const leaves = `import { spawn } from 'node:child_process';
    ${once.replace('if (!ran)', "if (!ran) spawn('sleep', ['60'], { detached: true, stdio: 'ignore' }).unref();\n  if (!ran)")}`;
  const { status, count, output } = runSuite(t, { 'scenario/a.test.mjs': leaves }, ['--rerun-alone', '1']);
  assert.deepEqual([status, count], [0, '1 0'], output);
  assert.match(output, /killed, left behind: sleep 60/);
});

const unforgiven: readonly (readonly [
  what: string,
  files: Readonly<Record<string, string>>,
  count: string,
])[] = [
  ['one that fails twice', { 'scenario/a.test.mjs': `test('bad', () => { throw new Error('x'); });` }, '0 1'],
  ['more than so many', { 'scenario/a.test.mjs': once, 'scenario/b.test.mjs': once }, '0 2'],
  ['one without servers', { 'unit/a.test.mjs': once }, '0 1'],
];

for (const [what, files, count] of unforgiven) {
  test(`test runner: --rerun-alone does not help ${what}`, t => {
    const run = runSuite(t, files, ['--rerun-alone', '1']);
    assert.deepEqual([run.status, run.count], [1, count], run.output);
  });
}
