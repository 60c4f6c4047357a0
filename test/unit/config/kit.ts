// Loads configurations from text, for the tests beside it: files and environment are plain objects.

import assert from 'node:assert/strict';
import { formatIssue, loadConfig, type Issue, type LoadResult } from '../../../src/config/load.ts';
import { type BackendConfig, type Config } from '../../../src/config/schema.ts';

export const FILE = 'pointsman.yaml';

export interface Surroundings {
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
}

export function load(text: string, { env = {}, files = {} }: Surroundings = {}): LoadResult {
  const all: Readonly<Record<string, string>> = { [FILE]: text, ...files };
  const readFile = (path: string): string => {
    const content = Object.hasOwn(all, path) ? all[path] : undefined;
    if (content === undefined) throw Object.assign(new Error(`ENOENT: open '${path}'`), { code: 'ENOENT' });
    return content;
  };
  return loadConfig(FILE, { readFile, env });
}

export function issuesOf(result: LoadResult): readonly Issue[] {
  return result.ok ? [] : result.issues;
}

/** `line:column path: message` of each error. */
export function errors(text: string, around?: Surroundings): readonly string[] {
  return issuesOf(load(text, around)).map(short);
}

export function warnings(text: string, around?: Surroundings): readonly string[] {
  return load(text, around).warnings.map(short);
}

export const short = (issue: Issue): string => formatIssue(issue).slice(FILE.length + 1);

export function configOf(text: string, around?: Surroundings): Config {
  const result = load(text, around);
  assert.ok(result.ok, issuesOf(result).map(formatIssue).join('\n'));
  return result.config;
}

/** A PostgreSQL backend of a configuration; fails if there is none of this name. */
export function postgresOf(config: Config, name: string): Extract<BackendConfig, { protocol: 'postgres' }> {
  const backend = config.backends[name];
  assert.ok(backend?.protocol === 'postgres', `${name} is a PostgreSQL backend`);
  return backend;
}

/** A valid configuration without warnings; line 4 is `bind`, and so on. */
export const VALID = `admin:
  bind: 127.0.0.1:9101
frontends:
  app-rw:
    bind: 0.0.0.0:5432
    backend: app
    route: primary
    hold: 30s
    hold_max: 500
    max_connections: 1000
    allow: [127.0.0.0/8, 10.0.0.0/8]
    connect_timeout: 2s
    idle_timeout: 0
  app-ro:
    bind: 0.0.0.0:5433
    backend: app
    route: replica-or-primary
    balance: leastconn
    max_lag: 10s
backends:
  app:
    protocol: postgres
    check:
      user: probe
      password: \${PROBE_PASSWORD}
      database: app
      tls: { mode: verify-full, ca_file: /ca.pem, server_name: db.example }
      interval: 1s
      fast_interval: 50ms
      promotion_interval: 10ms
      reconnect_interval: 10s
      timeout: 1s
      rise: 1
      fall: 2
    multiple_writers: newest
    servers:
      pg1: 10.0.0.1:5432
      pg2: { address: 10.0.0.2:5432 }
log:
  level: info
drain_timeout: 30s
`;

export const AROUND = {
  env: { PROBE_PASSWORD: 'correct-horse' },
  files: { '/ca.pem': '-----BEGIN CERTIFICATE-----\n' },
} satisfies Surroundings;

/** The valid configuration with one text replaced; fails if that text isn't there exactly once. */
export function variant(from: string, to: string, text: string = VALID): string {
  assert.equal(text.split(from).length, 2, `"${from}" must be there exactly once`);
  return text.replace(from, () => to);
}
