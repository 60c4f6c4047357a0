// The import directions of ARCHITECTURE.md as data, and their translation into dependency-cruiser rules.
// A folder of src that isn't in the table may not exist: adding one means deciding here what it may know.

import { type IFlattenedRuleSet } from 'dependency-cruiser';

type ForbiddenRule = NonNullable<IFlattenedRuleSet['forbidden']>[number];

interface Area {
  /** Folders or single modules below src that this area may import. */
  readonly mayImport: readonly string[];
  /** The same, but for types only: nothing of them at run time. */
  readonly mayImportTypesOf?: readonly string[];
}

/** Areas that serve one purpose each. cli and app build the program and may import any of them. */
const areas: Readonly<Record<string, Area>> = {
  core: { mayImport: [] },
  protocol: { mayImport: ['core'] },
  config: { mayImport: ['core'] },
  health: { mayImport: ['core', 'protocol', 'config'] },
  topology: {
    mayImport: [
      'core',
      'config',
      'health/result.ts',
      'health/state.ts',
      'protocol/mysql/gtid.ts',
      'protocol/postgres/lsn.ts',
      'protocol/postgres/synchronous-names.ts',
    ],
  },
  proxy: { mayImport: ['core', 'protocol', 'config', 'topology'] },
  backup: { mayImport: ['core', 'config', 'topology', 'health/result.ts'] },
  runbook: {
    mayImport: ['core', 'config', 'topology', 'health/result.ts', 'health/probers/tls.ts', 'backup'],
    mayImportTypesOf: ['proxy'],
  },
  metrics: {
    mayImport: [
      'backup/run.ts',
      'core',
      'config/reload-plan.ts',
      'topology',
      'proxy/events.ts',
      'health/result.ts',
    ],
  },
  admin: {
    mayImport: ['core', 'config', 'topology', 'metrics', 'health/result.ts'],
    mayImportTypesOf: ['proxy', 'runbook'],
  },
};

const socketFolders = ['health/probers', 'proxy/drivers', 'runbook/steps', 'admin', 'cli', 'app'];

/** Modules that use node:net for reading addresses only; imports.test.ts checks what they take from it. */
export const addressReaders = [
  'src/config/schema-values.ts',
  'src/config/units.ts',
  'src/config/addresses.ts',
  'src/protocol/proxy-protocol/decode.ts',
  'src/protocol/proxy-protocol/encode.ts',
];
export const addressHelpers = ['BlockList', 'SocketAddress', 'isIP', 'isIPv4', 'isIPv6'];

const escape = (path: string): string => path.replaceAll('.', '\\.');

/** A pattern for modules below src: a name with a dot is one file, another is a folder. */
const inSrc = (paths: readonly string[]): string =>
  `^src/(${paths.map(path => (path.includes('.') ? `${escape(path)}$` : `${path}/`)).join('|')})`;

function directionsOf([name, { mayImport, mayImportTypesOf = [] }]: [string, Area]): ForbiddenRule[] {
  const from = { path: inSrc([name]) };
  const rules: ForbiddenRule[] = [
    {
      name: `${name}-imports-only-what-it-may`,
      severity: 'error',
      from,
      to: { path: '^src/', pathNot: inSrc([name, ...mayImport, ...mayImportTypesOf]) },
    },
  ];
  if (mayImportTypesOf.length > 0) {
    rules.push({
      name: `${name}-imports-types-only`,
      severity: 'error',
      from,
      to: { path: inSrc(mayImportTypesOf), dependencyTypesNot: ['type-only'] },
    });
  }
  return rules;
}

export const importRules: IFlattenedRuleSet = {
  forbidden: [
    ...Object.entries(areas).flatMap(directionsOf),
    {
      name: 'every-folder-has-its-directions',
      severity: 'error',
      from: { path: '^src/', pathNot: inSrc([...Object.keys(areas), 'cli', 'app', 'main.ts']) },
      to: {},
    },
    {
      name: 'app-does-not-import-cli',
      severity: 'error',
      from: { path: '^src/app/' },
      to: { path: '^src/cli/' },
    },
    { name: 'nobody-imports-main', severity: 'error', from: {}, to: { path: '^src/main\\.ts$' } },
    {
      name: 'src-imports-no-tests',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|bench)/' },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'every-import-resolves', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'sockets-only-at-the-edges',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: [inSrc(socketFolders), ...addressReaders.map(path => `^${escape(path)}$`)],
      },
      to: { path: '^(node:)?(net|tls|dns|http|https|http2|dgram)(/promises)?$' },
    },
    {
      name: 'processes-and-database-clients-only-at-the-edges',
      severity: 'error',
      from: { path: '^src/', pathNot: inSrc([...socketFolders, 'backup/program.ts']) },
      to: { path: '^(node:)?child_process$|(^|/)node_modules/(pg|mysql2)/' },
    },
    {
      name: 'system-calls-and-threads-only-in-the-kernel-driver',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/proxy/drivers/kernel/' },
      to: { path: '(^|/)koffi(/|$)|^(node:)?worker_threads$' },
    },
    {
      name: 'no-development-packages-at-run-time',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
  ],
};
