// The prober of MySQL and MariaDB: a SessionProber with this protocol's interview.
// What is asked stands in interview.ts, the connection in session.ts.

import { type Address } from '../../../core/address.ts';
import { type CheckConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { type ProberFactory } from '../../prober.ts';
import { SessionProber } from '../session-prober.ts';
import { Interview } from './interview.ts';

/**
 * How long a connection that a server took, but doesn't greet, is waited for by one probe after another. To hang up and
 * come again at each would be an interrupted handshake each time, and after `max_connect_errors` of them (100) in a row
 * the server blocks this host, and with it every client of the proxy. A new one now and then must be tried all the same:
 * a machine that lost its power doesn't tell that the old one is gone.
 */
const HANDSHAKE_PATIENCE_MS = 10_000;

export interface MysqlProberOptions {
  readonly address: Address;
  /** A PROXY header, sent before all else; `null` or left out: none. */
  readonly header?: Uint8Array | null;
  readonly check: CheckConfig<'mysql'>;
  readonly clock: Clock;
}

export function createMysqlProber(options: MysqlProberOptions): ProberFactory {
  const { check, clock } = options;
  const connect = (onIdleLoss: (detail: string) => void): Interview => new Interview(options, onIdleLoss);
  return onLost => new SessionProber({ check, clock, patienceMs: HANDSHAKE_PATIENCE_MS, connect }, onLost);
}
