// What a rule between keys is made of: where it looks, what it finds, and how findings are made.
// Not the rules: frontends.ts and backends.ts beside this.

import { type Path } from '../path.ts';
import { type BackendConfig, type Config, type FrontendConfig, type Protocol } from '../schema.ts';
import { formatDuration } from '../units.ts';

export interface LintSource {
  /** Whether the key stands in the file, rather than being a default. */
  has(path: Path): boolean;
  /** Whether the value's text stands in the file itself, rather than coming from `${…}`. */
  isLiteral(path: Path): boolean;
  /** The value as it may be shown to people. */
  show(path: Path): string;
  /** `null`, or why the file can't serve as a list of certificates. */
  whyNoCertificates(file: string): string | null;
  /** `null`, or what is wrong with a certificate and its key, and with which file; `usable`: they work all the same. */
  whyNoKeyPair(certFile: string, keyFile: string): KeyPairProblem | null;
  /** `null`, or why the file can't serve as a list of authorities, each of its certificates read. */
  whyNoAuthorities(file: string): string | null;
  /** `null`, or why no file can be made in that directory. */
  whyUnwritable(directory: string): string | null;
}

export interface KeyPairProblem {
  readonly part: 'cert' | 'key';
  readonly usable: boolean;
  readonly reason: string;
}

export interface LintFinding {
  readonly severity: 'error' | 'warning';
  readonly path: Path;
  /** Everything the finding rests on; it falls if any of that is invalid itself. */
  readonly about: readonly Path[];
  readonly message: string;
}

export type Rule = (config: Config, source: LintSource) => readonly LintFinding[];

export const error = (path: Path, message: string, ...also: readonly Path[]): LintFinding => ({
  severity: 'error',
  path,
  about: [path, ...also],
  message,
});

export const warning = (path: Path, message: string, ...also: readonly Path[]): LintFinding => ({
  ...error(path, message, ...also),
  severity: 'warning',
});

/** One rule on every frontend: finds at most one thing. */
export const forFrontends =
  (
    find: (frontend: FrontendConfig, path: Path, source: LintSource, config: Config) => LintFinding | null,
  ): Rule =>
  (config, source) =>
    Object.entries(config.frontends).flatMap(
      ([name, frontend]) => find(frontend, ['frontends', name], source, config) ?? [],
    );

/** One rule on every backend: finds at most one thing. */
export const forBackends =
  (find: (backend: BackendConfig, path: Path, source: LintSource) => LintFinding | null): Rule =>
  (config, source) =>
    Object.entries(config.backends).flatMap(
      ([name, backend]) => find(backend, ['backends', name], source) ?? [],
    );

/** Where there is no primary. */
export const rolesAbsent: ReadonlySet<Protocol> = new Set(['http', 'tcp']);

export const backendOf = (config: Config, name: string): BackendConfig | undefined =>
  Object.hasOwn(config.backends, name) ? config.backends[name] : undefined;

/** `50ms`, or `50ms by default`, or where it comes from. */
export const duration = (ms: number, path: Path, source: LintSource): string =>
  source.has(path) ? source.show(path) : `${formatDuration(ms)} by default`;
