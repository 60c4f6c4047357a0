// Lint carries the rules that a reader can't check by eye: where time, randomness and the process may be touched.
// ESLint merges blocks by rule, the last one wins whole: so each area below gets its full list from the same parts.
// test/arch/lint.test.ts proves that every ban fires where it should.
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const useClock = 'Use a Clock from core/clock.ts: time is injected.';
const useRandom = 'Use a Random from core/random.ts: chance is injected.';
const noProcess = 'Only main, cli and app touch the process; pass what you need.';

const timers = ['setTimeout', 'setInterval', 'setImmediate'].map(name => ({ name, message: useClock }));
const performanceClock = { name: 'performance', message: useClock };
const processGlobal = { name: 'process', message: noProcess };
const processModule = { name: 'node:process', message: noProcess };

const timeModules = [
  'node:timers',
  'node:timers/promises',
  'timers',
  'timers/promises',
  'node:perf_hooks',
  'perf_hooks',
].map(name => ({ name, message: useClock }));
const timeAndChanceProperties = [
  { object: 'Date', property: 'now', message: useClock },
  { object: 'Math', property: 'random', message: useRandom },
  { object: 'AbortSignal', property: 'timeout', message: useClock },
  { object: 'process', property: 'hrtime', message: useClock },
  { object: 'process', property: 'uptime', message: useClock },
];

const houseSyntax = [
  {
    selector: 'TSEnumDeclaration',
    message: 'Use a frozen const object and a union type instead of an enum.',
  },
  {
    selector: "CallExpression[callee.property.name='removeAllListeners'][arguments.length=0]",
    message:
      'Name the event: without one this removes error listeners too, and the next error ends the process.',
  },
];
const clocklessDate = {
  selector: "NewExpression[callee.name='Date'][arguments.length=0]",
  message: useClock,
};

const bans = ({ globals, modules = [], properties = [], syntax = [] }) => ({
  'no-restricted-globals': ['error', { globals, checkGlobalObject: true }],
  'no-restricted-imports': ['error', { paths: [{ name: 'process', message: noProcess }, ...modules] }],
  'no-restricted-properties': ['error', ...properties],
  'no-restricted-syntax': ['error', ...houseSyntax, ...syntax],
});

export default defineConfig(
  { ignores: ['dist/', '**/node_modules/', '.cache/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strict],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-extraneous-class': 'off',
      'no-console': 'error',
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
      'no-restricted-syntax': ['error', ...houseSyntax],
      eqeqeq: 'error',
      'no-empty': 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/core/**', 'src/main.ts', 'src/cli/**', 'src/app/**'],
    rules: bans({
      globals: [...timers, performanceClock, processGlobal],
      modules: [...timeModules, processModule],
      properties: timeAndChanceProperties,
      syntax: [clocklessDate],
    }),
  },
  {
    files: ['src/main.ts', 'src/cli/**/*.ts', 'src/app/**/*.ts'],
    rules: bans({
      globals: [...timers, performanceClock],
      modules: timeModules,
      properties: timeAndChanceProperties,
      syntax: [clocklessDate],
    }),
  },
  {
    files: ['src/core/**/*.ts'],
    // process.hrtime is the one clock that all threads share
    ignores: ['src/core/thread-clock.ts'],
    rules: bans({ globals: [processGlobal], modules: [processModule] }),
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      // describe, it and test return promises that the runner itself waits for
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
          ],
        },
      ],
    },
  },
);
