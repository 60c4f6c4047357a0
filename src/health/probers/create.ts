// Where a protocol's name becomes a prober. Called for the monitors of a running Pointsman, by `pointsman probe` and by
// `pointsman check --live`, so that all three ask in the same way.

import { type Address } from '../../core/address.ts';
import { type BackendConfig } from '../../config/schema.ts';
import { type Clock } from '../../core/clock.ts';
import { type ProberFactory } from '../prober.ts';
import { createHttpProber } from './http/prober.ts';
import { createMysqlProber } from './mysql/prober.ts';
import { createPostgresProber } from './postgres/prober.ts';
import { createRedisProber } from './redis/prober.ts';
import { createTcpProber } from './tcp/prober.ts';

type KeysOf<T> = T extends unknown ? Pick<T, Extract<keyof T, 'protocol' | 'check'>> : never;

/** What of a backend says how its servers are probed. */
export type ProbedBackend = KeysOf<BackendConfig>;

/** What of a server does. */
export interface ProbedServer {
  readonly address: Address;
  /** Own SQL of this server, instead of that of its backend. */
  readonly writable?: string | null;
}

export function createProber(
  backend: ProbedBackend,
  { address, writable = null }: ProbedServer,
  clock: Clock,
): ProberFactory {
  switch (backend.protocol) {
    case 'postgres': {
      const check = { ...backend.check, writable: writable ?? backend.check.writable };
      return createPostgresProber({ address, check, clock });
    }
    case 'mysql': {
      const check = { ...backend.check, writable: writable ?? backend.check.writable };
      return createMysqlProber({ address, check, clock });
    }
    case 'redis':
      return createRedisProber({ address, check: backend.check, clock });
    case 'http':
      return createHttpProber({ address, check: backend.check, clock });
    case 'tcp':
      return createTcpProber({ address, check: backend.check, clock });
  }
}
