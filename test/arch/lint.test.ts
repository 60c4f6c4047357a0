// Lint: proves that each ban of eslint.config.js fires in the areas it is meant for, and only there.
// Rules that need types are switched off here, so that a snippet can pretend to be any file.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import { repositoryRoot } from '../support/repository.ts';

const eslint = new ESLint({ cwd: repositoryRoot, overrideConfig: tseslint.configs.disableTypeChecked });

async function brokenRules(path: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: path });
  assert.ok(result !== undefined, `${path} is ignored by lint`);
  const fatal = result.messages.filter(message => message.fatal === true || message.ruleId === null);
  assert.deepEqual(fatal, [], `${path}: ${code}`);
  return result.messages.map(message => message.ruleId ?? '');
}

const everywhere = [
  'src/main.ts',
  'src/cli/x.ts',
  'src/app/x.ts',
  'src/core/x.ts',
  'src/health/x.ts',
  'test/unit/x.ts',
  'bench/x.ts',
];
const noTime = [
  'src/config/x.ts',
  'src/health/x.ts',
  'src/topology/x.ts',
  'src/proxy/x.ts',
  'src/admin/x.ts',
  'src/cli/x.ts',
  'src/app/x.ts',
  'src/main.ts',
];
const noProcess = [
  'src/core/x.ts',
  'src/config/x.ts',
  'src/protocol/x.ts',
  'src/health/x.ts',
  'src/topology/x.ts',
  'src/proxy/drivers/x.ts',
  'src/metrics/x.ts',
  'src/admin/x.ts',
];

interface Ban {
  readonly code: string;
  readonly rule: string;
  readonly in: readonly string[];
  readonly notIn: readonly string[];
}

const time = { in: noTime, notIn: ['src/core/x.ts', 'test/unit/x.ts', 'bench/x.ts'] };
const processUse = {
  in: noProcess,
  notIn: ['src/main.ts', 'src/cli/x.ts', 'src/app/x.ts', 'test/unit/x.ts', 'bench/x.ts'],
};
const always = { in: everywhere, notIn: [] };

const bans: readonly Ban[] = [
  ...[
    'setTimeout(f, 1)',
    'setInterval(f, 1)',
    'setImmediate(f)',
    'globalThis.setTimeout(f, 1)',
    'performance.now()',
  ].map(code => ({
    code: `export const x = (f: () => void) => [f, ${code}];`,
    rule: 'no-restricted-globals',
    ...time,
  })),
  ...['Date.now()', 'Math.random()', 'AbortSignal.timeout(1)'].map(code => ({
    code: `export const x = ${code};`,
    rule: 'no-restricted-properties',
    ...time,
  })),
  { code: `export const { now } = Date;`, rule: 'no-restricted-properties', ...time },
  { code: `export const x = new Date();`, rule: 'no-restricted-syntax', ...time },
  ...['node:timers', 'node:timers/promises', 'timers', 'node:perf_hooks'].map(name => ({
    code: `export * from '${name}';`,
    rule: 'no-restricted-imports',
    ...time,
  })),
  { code: `export const x = process.pid;`, rule: 'no-restricted-globals', ...processUse },
  { code: `export const x = globalThis.process.pid;`, rule: 'no-restricted-globals', ...processUse },
  { code: `export { pid } from 'node:process';`, rule: 'no-restricted-imports', ...processUse },
  { code: `console.log(1);`, rule: 'no-console', ...always },
  { code: `export default 1;`, rule: 'no-restricted-exports', ...always },
  { code: `export const x = (y: unknown) => y == 1;`, rule: 'eqeqeq', ...always },
  { code: `export enum X { A }`, rule: 'no-restricted-syntax', ...always },
  { code: `export const x = (y: any) => y;`, rule: '@typescript-eslint/no-explicit-any', ...always },
  { code: `export const x = (y: any[]) => y as any;`, rule: '@typescript-eslint/no-explicit-any', ...always },
  { code: `// @${'ts'}-ignore\nexport const x = 1;`, rule: '@typescript-eslint/ban-ts-comment', ...always },
  { code: `try { f(); } catch {}\nfunction f() { return 1; }`, rule: 'no-empty', ...always },
  {
    code: `import { X } from './x.ts'; export type Y = X;`,
    rule: '@typescript-eslint/consistent-type-imports',
    ...always,
  },
  {
    code: `import { EventEmitter } from 'node:events'; new EventEmitter().removeAllListeners();`,
    rule: 'no-restricted-syntax',
    ...always,
  },
];

for (const ban of bans) {
  test(`lint: ${ban.rule} fires on "${ban.code.replaceAll('\n', ' ')}" exactly where it should`, async () => {
    for (const path of ban.in) {
      assert.ok((await brokenRules(path, ban.code)).includes(ban.rule), `silent in ${path}`);
    }
    for (const path of ban.notIn) {
      assert.ok(!(await brokenRules(path, ban.code)).includes(ban.rule), `fires in ${path}`);
    }
  });
}

test('lint: a date made from a given time is allowed everywhere', async () => {
  assert.deepEqual(await brokenRules('src/proxy/x.ts', `export const x = (ms: number) => new Date(ms);`), []);
});

test('lint: the rules that need types are on for sources, tests and benches', async () => {
  const typed = [
    '@typescript-eslint/no-floating-promises',
    '@typescript-eslint/no-misused-promises',
    '@typescript-eslint/await-thenable',
    '@typescript-eslint/switch-exhaustiveness-check',
  ];
  const plain = new ESLint({ cwd: repositoryRoot });
  for (const path of everywhere) {
    const config: unknown = await plain.calculateConfigForFile(path);
    assert.ok(typeof config === 'object' && config !== null && 'rules' in config);
    const rules = config.rules as Readonly<Record<string, readonly unknown[]>>;
    for (const rule of typed) assert.equal(rules[rule]?.[0], 2, `${rule} in ${path}`);
  }
});
