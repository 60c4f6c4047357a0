// Reads the URL of `pointsman probe` into what a prober needs. Pure; the environment comes in as an argument.
// libpq's conventions where they exist: PGPASSWORD, sslmode, sslrootcert, default port and database.

import { type Address } from '../core/address.ts';
import { type CheckConfig, type TlsConfig } from '../config/schema.ts';
import { PointsmanError } from '../core/errors.ts';

export interface ProbeTarget {
  readonly address: Address;
  readonly check: CheckConfig;
}

const tlsModes: readonly TlsConfig['mode'][] = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'];
const POSTGRES_PORT = 5432;

/** Throws PROBE_URL_INVALID, naming the part that isn't understood; never repeats a password. */
export function readProbeUrl(text: string, password: string | undefined, timeoutMs: number): ProbeTarget {
  const url = URL.canParse(text) ? new URL(text) : refuse('this is not a URL');
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') {
    refuse(`scheme "${url.protocol.slice(0, -1)}" is not supported`);
  }
  if (url.hostname === '') refuse('the host is missing');
  for (const key of url.searchParams.keys()) {
    if (!['sslmode', 'sslrootcert'].includes(key)) refuse(`parameter "${key}" is not known`);
  }
  return {
    address: {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? POSTGRES_PORT : Number(url.port),
    },
    check: {
      user: decodeURIComponent(url.username) || 'postgres',
      password: decodeURIComponent(url.password) || (password ?? null),
      database: decodeURIComponent(url.pathname.slice(1)) || 'postgres',
      tls: { mode: tlsMode(url), caFile: url.searchParams.get('sslrootcert'), serverName: null },
      intervalMs: timeoutMs,
      fastIntervalMs: timeoutMs,
      promotionIntervalMs: timeoutMs,
      reconnectIntervalMs: 0,
      timeoutMs,
      rise: 1,
      fall: 1,
    },
  };
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
    `${reason}; write postgres://user@host:port/database?sslmode=verify-full, and the password in PGPASSWORD`,
  );
}
