// The PostgreSQL prober: a SessionProber with this protocol's interview, and with Patroni's word beside it where that is asked.
// What is asked stands in interview.ts, the connection in session.ts, the REST API in rest.ts.

import { type Address } from '../../../core/address.ts';
import { type CheckConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { type ProberFactory } from '../../prober.ts';
import { SessionProber } from '../session-prober.ts';
import { Interview } from './interview.ts';
import { ConfirmedProber } from './rest.ts';

export interface PostgresProberOptions {
  readonly address: Address;
  readonly check: CheckConfig<'postgres'>;
  readonly clock: Clock;
}

export function createPostgresProber(options: PostgresProberOptions): ProberFactory {
  const { address, check, clock } = options;
  const connect = (onIdleLoss: (detail: string) => void): Interview => new Interview(options, onIdleLoss);
  return onLost => {
    const prober = new SessionProber({ check, clock, patienceMs: 0, connect }, onLost);
    return check.rest === null
      ? prober
      : new ConfirmedProber(prober, { ...check, rest: check.rest, address, clock });
  };
}
