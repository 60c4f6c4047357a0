// What one frontend allows a client address: so many connections, and so many new ones in a time, of it and of all.
// Decides who is turned away and whether they are told: words for a few, since a flood must cost less than serving it.
// The numbers are in address-table.ts, in memory that all workers share. Owned by frontend.ts.

import { type FrontendConfig } from '../../config/schema.ts';
import { type MonotonicMs } from '../../core/clock.ts';
import { REFUSALS_PER_SECOND } from '../../core/limits.ts';
import { type RejectReason } from '../events.ts';
import { addressKey } from './address-key.ts';
import { type AddressLimits, type AddressTable } from './address-table.ts';
import { rateOf } from './gcra.ts';
import { Pacer } from './pacer.ts';

type LimitsConfig = Pick<FrontendConfig, 'maxConnectionsPerIp' | 'rateLimit'>;

/** Whether a frontend needs a table of addresses at all. */
export function limitsClients({ maxConnectionsPerIp, rateLimit }: LimitsConfig): boolean {
  return maxConnectionsPerIp !== null || rateLimit !== null;
}

export interface Entry {
  /** `null`: it may come in. */
  readonly reason: RejectReason | null;
  /** It is to `leave`. */
  readonly counted: boolean;
}

const counted: Entry = { reason: null, counted: true };
const uncounted: Entry = { reason: null, counted: false };
const tooFast: Entry = { reason: 'rate-limit', counted: false };
const tooMany: Entry = { reason: 'max-connections-per-ip', counted: false };

export class ClientLimits {
  readonly #table: AddressTable;
  readonly #limits: AddressLimits;
  readonly #words = new Pacer({ perSecond: REFUSALS_PER_SECOND, burst: REFUSALS_PER_SECOND });

  constructor({ maxConnectionsPerIp, rateLimit }: LimitsConfig, table: AddressTable) {
    this.#table = table;
    this.#limits = {
      maxConnections: maxConnectionsPerIp,
      perIp: rateLimit?.perIp ? rateOf(rateLimit.perIp) : null,
      total: rateLimit?.total ? rateOf(rateLimit.total) : null,
    };
  }

  enter(host: string, now: MonotonicMs): Entry {
    switch (this.#table.enter(addressKey(host), now, this.#limits)) {
      case 'in':
        return this.#limits.perIp === null && this.#limits.maxConnections === null ? uncounted : counted;
      case 'unjudged':
        return uncounted;
      case 'rate-limit':
        return tooFast;
      case 'max-connections-per-ip':
        return tooMany;
    }
  }

  leave(host: string): void {
    this.#table.leave(addressKey(host));
  }

  /** Whether one more may be told why it is turned away. */
  hasWords(now: MonotonicMs): boolean {
    return this.#words.take(now);
  }
}
