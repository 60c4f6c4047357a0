// The image, as near as a machine without a Docker daemon gets: the Dockerfile is read, and its stages are replayed
// in temporary directories with this machine's Node. Not proven here: the base image, users and the health check's run
// inside a container.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { z } from 'zod';
import { readRepositoryFile, repositoryRoot } from '../support/repository.ts';
import { instructionsOf, parseDockerfile, readCopy, replayStage, type Stage } from './dockerfile.ts';

const stages = parseDockerfile(readRepositoryFile('Dockerfile'));
const final = stages.at(-1)!;
const last = (stage: Stage, keyword: string): string | undefined => instructionsOf(stage, keyword).at(-1);
const words = (json: string | undefined): string[] => z.array(z.string()).parse(JSON.parse(json ?? 'null'));
const healthCommand = (): string[] => words(/CMD (\[.*\])$/.exec(last(final, 'HEALTHCHECK') ?? '')?.[1]);

const manifest = z
  .object({ version: z.string(), devDependencies: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readRepositoryFile('package.json')));

/** Replays all stages and returns the working directory of the last. */
function replayImage(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'pointsman-image-'));
  t.after(() => rmSync(root, { recursive: true }));
  const rootOf = (stage: string): string => join(root, stage);
  let directory = '';
  for (const [index, stage] of stages.entries()) {
    directory = replayStage(stage, rootOf(stage.name ?? String(index)), {
      context: repositoryRoot,
      rootOf,
      // The build stage's packages are those of the lockfile that this very test runs with.
      instead: (command, cwd) => {
        if (command !== 'npm ci') return false;
        symlinkSync(join(repositoryRoot, 'node_modules'), join(cwd, 'node_modules'));
        return true;
      },
    });
  }
  return directory;
}

test('Dockerfile: packages and compiler stay in earlier stages', () => {
  assert.ok(stages.length >= 2);
  assert.deepEqual(instructionsOf(final, 'RUN'), []);
  for (const stage of stages) assert.match(stage.image, /^node:20-[a-z]+-slim$/);
});

test('Dockerfile: the program does not run as root', () => {
  const user = last(final, 'USER');
  assert.ok(user !== undefined && !/^(root|0)(:|$)/.test(user), `USER ${String(user)}`);
});

test('Dockerfile: the health check asks for life, not readiness, and can fail', async t => {
  const [program, ...args] = healthCommand();
  const script = args.pop() ?? '';
  assert.equal(program, 'node');
  const defaultUrl = 'http://127.0.0.1:9101/livez';
  assert.ok(script.includes(defaultUrl), script);

  const server = createServer((request, response) => {
    response.writeHead(request.url === '/livez' ? 200 : 503).end();
  });
  t.after(() => server.close());
  await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const exitCodeFor = async (url: string): Promise<unknown> => {
    const child = spawn(process.execPath, [...args, script.replace(defaultUrl, url)]);
    const [code]: unknown[] = await once(child, 'exit');
    return code;
  };
  assert.equal(await exitCodeFor(`http://127.0.0.1:${address.port}/livez`), 0);
  assert.equal(await exitCodeFor(`http://127.0.0.1:${address.port}/broken`), 1);
  assert.equal(await exitCodeFor('http://127.0.0.1:1/livez'), 1);
});

test('Dockerfile: signals reach the program itself, and the ports are named', () => {
  assert.equal(last(final, 'STOPSIGNAL'), 'SIGTERM');
  assert.deepEqual(words(last(final, 'ENTRYPOINT')), ['node', 'dist/src/main.js']);
  assert.deepEqual(words(last(final, 'CMD')), ['run', '-c', '/etc/pointsman/pointsman.yaml']);
  assert.deepEqual(instructionsOf(final, 'EXPOSE').join(' ').split(' '), ['5432', '5433', '9101']);
});

test('.dockerignore: the build context holds what the Dockerfile copies, and nothing else', () => {
  const lines = readRepositoryFile('.dockerignore')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'));
  const copied = stages
    .flatMap(stage => instructionsOf(stage, 'COPY').map(readCopy))
    .filter(({ from }) => from === null)
    .flatMap(({ sources }) => sources);
  assert.equal(lines[0], '*');
  assert.deepEqual(lines.slice(1).sort(), [...new Set(copied)].map(path => `!${path}`).sort());
});

test(
  'Dockerfile: what its last stage holds starts, without development packages',
  { timeout: 240_000 },
  t => {
    const app = replayImage(t);
    const installed = (name: string): boolean => existsSync(join(app, 'node_modules', name));
    assert.ok(installed('zod'));
    assert.deepEqual(Object.keys(manifest.devDependencies).filter(installed), []);
    assert.deepEqual(readdirSync(join(app, 'dist')), ['src']);

    const [program = '', ...args] = words(last(final, 'ENTRYPOINT'));
    assert.equal(program, 'node');
    const output = execFileSync(process.execPath, [...args, '--version'], { cwd: app, encoding: 'utf8' });
    assert.equal(output.trim(), manifest.version);
  },
);

test('Dockerfile: an instruction that this test does not understand is refused', () => {
  assert.throws(() => parseDockerfile('FROM a\nADD x y\n'), /does not know the instruction: ADD/);
  assert.throws(() => readCopy('--chmod=1 a b'), /does not know --chmod=1/);
});
