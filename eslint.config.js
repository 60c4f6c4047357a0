// Lint carries the rules that a reader can't check by eye: where time, randomness and the process may be touched.
import tseslint from 'typescript-eslint';

const timeAndChance = [
  { name: 'setTimeout', message: 'Use a Clock from core/clock.ts: time is injected.' },
  { name: 'setInterval', message: 'Use a Clock from core/clock.ts: time is injected.' },
  { name: 'setImmediate', message: 'Use a Clock from core/clock.ts: time is injected.' },
];

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.cache/'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strict],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-extraneous-class': 'off',
      'no-console': ['error'],
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
      eqeqeq: 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/core/**'],
    rules: {
      'no-restricted-globals': ['error', ...timeAndChance],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Use a Clock from core/clock.ts.' },
        { object: 'Math', property: 'random', message: 'Use a Random from core/random.ts.' },
        { object: 'performance', property: 'now', message: 'Use a Clock from core/clock.ts.' },
      ],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/main.ts', 'src/cli/**', 'src/app/**'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...timeAndChance,
        { name: 'process', message: 'Only main, cli and app touch the process; pass what you need.' },
      ],
    },
  },
  {
    files: ['src/core/**/*.ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        { name: 'process', message: 'Only main, cli and app touch the process; pass what you need.' },
      ],
    },
  },
  { files: ['test/**/*.ts', 'bench/**/*.ts'], rules: { '@typescript-eslint/no-non-null-assertion': 'off' } },
);
