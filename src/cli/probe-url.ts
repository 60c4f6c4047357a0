// Reads the URL of `pointsman probe` into what a prober needs. Pure; the environment comes in as an argument.
// libpq's conventions where they exist: PGPASSWORD, sslmode, sslrootcert, default port and database. `tcp://host:port` is ours.

import { type Address } from '../core/address.ts';
import { type TlsConfig } from '../config/schema.ts';
import { PointsmanError } from '../core/errors.ts';
import { type ProbedBackend } from '../health/probers/create.ts';

export interface ProbeTarget {
  readonly address: Address;
  readonly backend: ProbedBackend;
}

const tlsModes: readonly TlsConfig['mode'][] = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'];
const POSTGRES_PORT = 5432;

/** Throws PROBE_URL_INVALID, naming the part that isn't understood; never repeats a password. */
export function readProbeUrl(text: string, password: string | undefined, timeoutMs: number): ProbeTarget {
  const url = URL.canParse(text) ? new URL(text) : refuse('this is not a URL');
  const backend = readBackend(url, password, timeoutMs);
  if (url.hostname === '') refuse('the host is missing');
  return {
    address: { host: url.hostname.replace(/^\[|\]$/g, ''), port: readPort(url) },
    backend,
  };
}

function readBackend(url: URL, password: string | undefined, timeoutMs: number): ProbedBackend {
  const paces = { intervalMs: timeoutMs, fastIntervalMs: timeoutMs, timeoutMs, rise: 1, fall: 1 };
  switch (url.protocol) {
    case 'tcp:':
      if (url.username + url.password + url.pathname.replace('/', '') + url.search + url.hash !== '')
        refuse('a tcp URL has a host and a port, and nothing else');
      return { protocol: 'tcp', check: paces };
    case 'postgres:':
    case 'postgresql:':
      for (const key of url.searchParams.keys()) {
        if (!['sslmode', 'sslrootcert'].includes(key)) refuse(`parameter "${key}" is not known`);
      }
      return {
        protocol: 'postgres',
        check: {
          ...paces,
          user: decodeURIComponent(url.username) || 'postgres',
          password: decodeURIComponent(url.password) || (password ?? null),
          database: decodeURIComponent(url.pathname.slice(1)) || 'postgres',
          tls: { mode: tlsMode(url), caFile: url.searchParams.get('sslrootcert'), serverName: null },
          promotionIntervalMs: timeoutMs,
          reconnectIntervalMs: 0,
        },
      };
    default:
      return refuse(`scheme "${url.protocol.slice(0, -1)}" is not supported`);
  }
}

function readPort({ protocol, port }: URL): number {
  if (Number(port) > 0) return Number(port);
  return protocol === 'tcp:' ? refuse('a tcp URL needs a port') : POSTGRES_PORT;
}

function tlsMode(url: URL): TlsConfig['mode'] {
  const given = url.searchParams.get('sslmode') ?? 'prefer';
  return (
    tlsModes.find(mode => mode === given) ?? refuse(`sslmode "${given}" is not one of ${tlsModes.join(', ')}`)
  );
}

function refuse(reason: string): never {
  throw new PointsmanError(
    'PROBE_URL_INVALID',
    `${reason}; write postgres://user@host:port/database?sslmode=verify-full, and the password in PGPASSWORD, or tcp://host:port`,
  );
}
