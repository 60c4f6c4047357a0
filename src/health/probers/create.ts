// Where a protocol's name becomes a prober. Called for the monitors of a running Pointsman, by `pointsman probe` and by
// `pointsman check --live`, so that all three ask in the same way.

import { formatAddress, type Address } from '../../core/address.ts';
import {
  type BackendConfig,
  type SendProxy,
  type TlsConfig,
  type WholeTlsConfig,
} from '../../config/schema.ts';
import { type Clock } from '../../core/clock.ts';
import { encodeOwn } from '../../protocol/proxy-protocol/encode.ts';
import { type ProberFactory } from '../prober.ts';
import { createHttpProber } from './http/prober.ts';
import { createMysqlProber } from './mysql/prober.ts';
import { createPostgresProber } from './postgres/prober.ts';
import { createRedisProber } from './redis/prober.ts';
import { createTcpProber } from './tcp/prober.ts';

type KeysOf<T> = T extends unknown
  ? Pick<T, Extract<keyof T, 'protocol' | 'check'>> & { readonly sendProxy?: SendProxy | null }
  : never;

/** What of a backend says how its servers are probed. */
export type ProbedBackend = KeysOf<BackendConfig>;

/** What of a server does. */
export interface ProbedServer {
  readonly address: Address;
  /** The name that stands for the host of the address: what certificates and HTTP servers know it by. */
  readonly host?: string | null;
  /** Own SQL of this server, instead of that of its backend. */
  readonly writable?: string | null;
}

export function createProber(
  backend: ProbedBackend,
  { address, host = null, writable = null }: ProbedServer,
  clock: Clock,
): ProberFactory {
  // They refuse a connection without one; of ours it names nobody.
  const { sendProxy = null } = backend;
  const header = sendProxy === null ? null : encodeOwn(sendProxy === 'v1' ? 'v1' : 'v2');
  switch (backend.protocol) {
    case 'postgres': {
      const check = named(backend.check, host);
      const rest = check.rest && named(check.rest, host);
      return createPostgresProber({
        address,
        check: { ...check, rest, writable: writable ?? check.writable },
        clock,
      });
    }
    case 'mysql': {
      const check = named(backend.check, host);
      return createMysqlProber({
        address,
        header,
        check: { ...check, writable: writable ?? check.writable },
        clock,
      });
    }
    case 'redis':
      return createRedisProber({ address, check: named(backend.check, host), clock });
    case 'http': {
      const check = named(backend.check, host);
      const asked = host === null ? null : formatAddress({ host, port: address.port });
      return createHttpProber({ address, header, check: { ...check, host: check.host ?? asked }, clock });
    }
    case 'tcp':
      return createTcpProber({ address, header, check: backend.check, clock });
  }
}

/** The name is what the certificate must carry, unless the configuration says another. */
function named<T extends { readonly tls: TlsConfig | WholeTlsConfig }>(check: T, host: string | null): T {
  return { ...check, tls: { ...check.tls, serverName: check.tls.serverName ?? host } };
}
