// Where a protocol's name becomes a prober. Called for the monitors of a running Pointsman, by `pointsman probe` and by
// `pointsman check --live`, so that all three ask in the same way.

import { type Address } from '../../core/address.ts';
import { type BackendConfig } from '../../config/schema.ts';
import { type Clock } from '../../core/clock.ts';
import { type ProberFactory } from '../prober.ts';
import { createPostgresProber } from './postgres/prober.ts';
import { createTcpProber } from './tcp/prober.ts';

type KeysOf<T> = T extends unknown ? Pick<T, Extract<keyof T, 'protocol' | 'check'>> : never;

/** What of a backend says how its servers are probed. */
export type ProbedBackend = KeysOf<BackendConfig>;

export function createProber(backend: ProbedBackend, address: Address, clock: Clock): ProberFactory {
  return backend.protocol === 'postgres'
    ? createPostgresProber({ address, check: backend.check, clock })
    : createTcpProber({ address, check: backend.check, clock });
}
