// Rules about backups: that their backend and server are there, and that what they need is not left to chance.
// Not what a single value must be: the schema says that. Part of lint.ts.

import { type Path } from '../path.ts';
import { type BackupConfig, type Config } from '../schema.ts';
import { backendOf, error, warning, type LintFinding, type LintSource, type Rule } from './finding.ts';

const forBackups =
  (
    find: (
      backup: BackupConfig,
      path: Path,
      source: LintSource,
      config: Config,
    ) => readonly (LintFinding | null)[],
  ): Rule =>
  (config, source) =>
    Object.entries(config.backups).flatMap(([name, backup]) =>
      find(backup, ['backups', name], source, config).filter(found => found !== null),
    );

const roles: readonly string[] = ['primary', 'replica', 'replica-or-primary'];

const backendFits = forBackups(({ backend: name, source: { server } }, path, source, config) => {
  const at = [...path, 'backend'];
  const backend = backendOf(config, name);
  if (backend === undefined) return [error(at, `${source.show(at)} is no backend`, ['backends'])];
  if (backend.protocol !== 'postgres' && backend.protocol !== 'mysql') {
    const kind = ['backends', name, 'protocol'];
    return [
      error(at, `is a backend of protocol ${backend.protocol}: backups are made of postgres and mysql`, kind),
    ];
  }
  const servers = Object.keys(backend.servers);
  if (roles.includes(server)) {
    const twin = servers.includes(server) ? [...path, 'server'] : null;
    return [
      twin && warning(twin, 'is also the name of a server: the role is meant', ['backends', name, 'servers']),
    ];
  }
  if (servers.length === 0 || servers.includes(server)) return [];
  const where = [...path, 'server'];
  return [error(where, `${source.show(where)} is no server of ${name}`, at, ['backends', name, 'servers'])];
});

const formatFits = forBackups(({ backend: name }, path, source, config) => {
  const mysql = backendOf(config, name)?.protocol === 'mysql';
  const at = [...path, 'format'];
  const about = ['backends', name, 'protocol'];
  return [
    mysql && source.has(at) ? error(at, 'does nothing for mysql: its dumps are SQL text', about) : null,
  ];
});

const compressionIsUsed = forBackups(({ backend: name, format }, path, source, config) => {
  const at = [...path, 'compress'];
  const packed = backendOf(config, name)?.protocol === 'postgres' && format === 'custom';
  return [
    packed && source.has(at)
      ? error(at, 'does nothing with format custom, which is compressed by itself', [...path, 'format'])
      : null,
  ];
});

const directoryIsThere = forBackups(({ directory }, path, source) => {
  const why = source.whyUnwritable(directory);
  // A warning, since `pointsman check` may run elsewhere than Pointsman will.
  return [
    why === null ? null : warning([...path, 'directory'], `is where backups are to be kept, and that ${why}`),
  ];
});

const severalAreKept = forBackups(({ keep: { count } }, path) => {
  const at = [...path, 'keep', 'count'];
  const message = 'keeps a single backup: when a disk garbles it there is no other';
  return [count > 1 ? null : warning(at, message)];
});

const passwordIsElsewhere = forBackups((backup, path, source) =>
  (
    [
      [backup.password, [...path, 'password']],
      [backup.verify?.login.password ?? null, [...path, 'verify', 'password']],
    ] as const
  ).map(([password, at]) =>
    password !== null && password !== '' && source.isLiteral(at)
      ? warning(at, 'a password in clear: whoever reads this file has it; use ${ENV} or ${file:/path}')
      : null,
  ),
);

export const backupRules: readonly Rule[] = [
  backendFits,
  formatFits,
  compressionIsUsed,
  directoryIsThere,
  severalAreKept,
  passwordIsElsewhere,
];
