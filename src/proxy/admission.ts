// The door of a frontend: who may connect at all, and how many at once. Knows addresses and numbers, no sockets.
// Not the hold's limit (hold.ts). Called by frontend.ts for each accepted client.

import { BlockList, isIPv6 } from 'node:net';
import { addToBlockList } from '../config/addresses.ts';
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
  const networks = new BlockList();
  for (const network of allow ?? []) addToBlockList(networks, network);
  return (host, { admitted, refused }) => {
    // The list's answer to an IPv4-mapped address (::ffff:10.0.0.1) is that of the IPv4 address.
    if (allow !== null && !networks.check(host, isIPv6(host) ? 'ipv6' : 'ipv4')) {
      return { kind: 'drop', reason: 'not-allowed' };
    }
    if (admitted < maxConnections) return { kind: 'admit' };
    return { kind: refused < REFUSALS_MAX ? 'refuse' : 'drop', reason: 'max-connections' };
  };
}
