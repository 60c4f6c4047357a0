// Reads the URL of `pointsman probe` into what a prober needs. Pure; the environment comes in as an argument.
// The conventions of each protocol's own client where they exist: PGPASSWORD, MYSQL_PWD and REDISCLI_AUTH, libpq's sslmode and
// sslrootcert, MySQL's ssl-mode and ssl-ca, rediss:// and https://, default ports. `tcp://host:port` is ours.

import { type Address } from '../core/address.ts';
import { type TlsConfig, type WholeTlsConfig } from '../config/schema.ts';
import { PointsmanError } from '../core/errors.ts';
import { type ProbedBackend } from '../health/probers/create.ts';

export interface ProbeTarget {
  readonly address: Address;
  readonly backend: ProbedBackend;
}

/** Environment variables by name; only those of `passwordVariables` are read. */
export type Environment = Readonly<Record<string, string | undefined>>;

interface Paces {
  readonly intervalMs: number;
  readonly fastIntervalMs: number;
  readonly timeoutMs: number;
  readonly rise: number;
  readonly fall: number;
}

interface Scheme {
  /** `null`: the URL must name it. */
  readonly port: number | null;
  readonly read: (url: URL, environment: Environment, paces: Paces) => ProbedBackend;
}

const postgres: Scheme = { port: 5432, read: readPostgres };
const schemes: Readonly<Record<string, Scheme>> = {
  'postgres:': postgres,
  'postgresql:': postgres,
  'mysql:': { port: 3306, read: readMysql },
  'mariadb:': { port: 3306, read: readMysql },
  'redis:': { port: 6379, read: readRedis },
  'rediss:': { port: 6379, read: readRedis },
  'http:': { port: 80, read: readHttp },
  'https:': { port: 443, read: readHttp },
  'tcp:': { port: null, read: readTcp },
};

const EXAMPLES =
  'write postgres://user@host/database?sslmode=verify-full, mysql://user@host/database?ssl-mode=required, redis://host, rediss://user@host, http://host/path, https://host/path or tcp://host:port, and passwords in PGPASSWORD, MYSQL_PWD or REDISCLI_AUTH';

/** Throws PROBE_URL_INVALID, naming the part that isn't understood; never repeats a password. */
export function readProbeUrl(text: string, environment: Environment, timeoutMs: number): ProbeTarget {
  const url = URL.canParse(text) ? new URL(text) : refuse('this is not a URL');
  const scheme = Object.hasOwn(schemes, url.protocol) ? schemes[url.protocol] : undefined;
  if (scheme === undefined) return refuse(`scheme "${url.protocol.slice(0, -1)}" is not supported`);
  const paces = { intervalMs: timeoutMs, fastIntervalMs: timeoutMs, timeoutMs, rise: 1, fall: 1 };
  const backend = scheme.read(url, environment, paces);
  if (url.hostname === '') refuse('the host is missing');
  const port = Number(url.port) > 0 ? Number(url.port) : url.port === '' ? scheme.port : null;
  if (port === null) return refuse(`a ${url.protocol.slice(0, -1)} URL needs a port`);
  return { address: { host: url.hostname.replace(/^\[|\]$/g, ''), port }, backend };
}

function readPostgres(url: URL, environment: Environment, paces: Paces): ProbedBackend {
  const { sslmode = 'prefer', sslrootcert = null } = parameters(url, ['sslmode', 'sslrootcert']);
  return {
    protocol: 'postgres',
    check: {
      ...database(url, environment['PGPASSWORD'], paces),
      database: decodeURIComponent(url.pathname.slice(1)) || 'postgres',
      user: decodeURIComponent(url.username) || 'postgres',
      tls: {
        mode: chosen('sslmode', sslmode, {
          disable: 'disable',
          prefer: 'prefer',
          require: 'require',
          'verify-ca': 'verify-ca',
          'verify-full': 'verify-full',
        }),
        caFile: sslrootcert,
        serverName: null,
      },
      rest: null,
    },
  };
}

/** Modes as of the `mysql` program, in lower or upper case. */
function readMysql(url: URL, environment: Environment, paces: Paces): ProbedBackend {
  const { 'ssl-mode': mode = 'preferred', 'ssl-ca': caFile = null } = parameters(url, ['ssl-mode', 'ssl-ca']);
  return {
    protocol: 'mysql',
    check: {
      ...database(url, environment['MYSQL_PWD'], paces),
      database: decodeURIComponent(url.pathname.slice(1)) || null,
      user: decodeURIComponent(url.username) || 'root',
      tls: {
        mode: chosen('ssl-mode', mode.toLowerCase(), {
          disabled: 'disable',
          preferred: 'prefer',
          required: 'require',
          verify_ca: 'verify-ca',
          verify_identity: 'verify-full',
        }),
        caFile,
        serverName: null,
      },
    },
  };
}

const database = (url: URL, password: string | undefined, paces: Paces) => ({
  ...paces,
  settleMs: 0,
  password: decodeURIComponent(url.password) || (password ?? null),
  writable: null,
  promotionIntervalMs: paces.timeoutMs,
  reconnectIntervalMs: 0,
});

function readRedis(url: URL, environment: Environment, paces: Paces): ProbedBackend {
  parameters(url, []);
  if (url.pathname.replace('/', '') !== '') refuse('a redis URL has no path: a probe asks no database');
  return {
    protocol: 'redis',
    check: {
      ...paces,
      user: decodeURIComponent(url.username) || null,
      password: decodeURIComponent(url.password) || (environment['REDISCLI_AUTH'] ?? null),
      tls: wholeTls(url.protocol === 'rediss:'),
      settleMs: 0,
      promotionIntervalMs: paces.timeoutMs,
      reconnectIntervalMs: 0,
    },
  };
}

function readHttp(url: URL, _environment: Environment, paces: Paces): ProbedBackend {
  if (url.username + url.password + url.hash !== '') refuse('an http URL here has no user and no fragment');
  return {
    protocol: 'http',
    check: {
      ...paces,
      path: `${url.pathname}${url.search}`,
      status: Array.from({ length: 100 }, (_, index) => 200 + index),
      body: null,
      json: null,
      host: null,
      headers: {},
      tls: wholeTls(url.protocol === 'https:'),
    },
  };
}

function readTcp(url: URL, _environment: Environment, paces: Paces): ProbedBackend {
  if (url.username + url.password + url.pathname.replace('/', '') + url.search + url.hash !== '')
    refuse('a tcp URL has a host and a port, and nothing else');
  return { protocol: 'tcp', check: { ...paces, send: null, expect: null } };
}

/** The whole certificate is checked: whoever writes rediss:// or https:// expects no less. */
const wholeTls = (wanted: boolean): WholeTlsConfig => ({
  mode: wanted ? 'verify-full' : 'disable',
  caFile: null,
  serverName: null,
});

function parameters<Key extends string>(url: URL, known: readonly Key[]): Partial<Record<Key, string>> {
  const given: Partial<Record<string, string>> = {};
  for (const [key, value] of url.searchParams) {
    if (!known.some(name => name === key)) refuse(`parameter "${key}" is not known`);
    given[key] = value;
  }
  return given as Partial<Record<Key, string>>;
}

function chosen(
  key: string,
  given: string,
  modes: Readonly<Record<string, TlsConfig['mode']>>,
): TlsConfig['mode'] {
  const mode = Object.hasOwn(modes, given) ? modes[given] : undefined;
  return mode ?? refuse(`${key} "${given}" is not one of ${Object.keys(modes).join(', ')}`);
}

function refuse(reason: string): never {
  throw new PointsmanError('PROBE_URL_INVALID', `${reason}; ${EXAMPLES}`);
}
