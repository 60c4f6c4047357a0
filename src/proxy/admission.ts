// The door of a frontend: who may connect at all, and how many at once. Knows addresses and numbers, no sockets.
// Not the hold's limit (hold.ts). Called by frontend.ts for each accepted client.

import { networks } from '../config/addresses.ts';
import { REFUSALS_MAX } from '../core/limits.ts';
import { type RejectReason } from './events.ts';

export type Admission =
  | { readonly kind: 'admit' }
  /** Read the client only to tell it why. */
  | { readonly kind: 'refuse'; readonly reason: RejectReason }
  /** Close it unheard. */
  | { readonly kind: 'drop'; readonly reason: RejectReason };

export interface AdmissionPolicy {
  /** Networks whose clients may connect; null: everybody. */
  readonly allow: readonly string[] | null;
  readonly maxConnections: number;
}

export interface Crowd {
  /** Clients that count against `maxConnections`. */
  readonly admitted: number;
  /** Clients beyond it: they wait for their refusal, or carry a CancelRequest. */
  readonly refused: number;
}

/** Throws RangeError or TypeError for an entry that is no network; the schema has refused those before. */
export function createAdmission({
  allow,
  maxConnections,
}: AdmissionPolicy): (host: string, crowd: Crowd) => Admission {
  const isAllowed = allow === null ? null : networks(allow);
  return (host, { admitted, refused }) => {
    if (isAllowed?.(host) === false) return { kind: 'drop', reason: 'not-allowed' };
    if (admitted < maxConnections) return { kind: 'admit' };
    return { kind: refused < REFUSALS_MAX ? 'refuse' : 'drop', reason: 'max-connections' };
  };
}
