// The door of a frontend: who may connect at all, and how many at once. Knows addresses and numbers, no sockets.
// Not the hold's limit (hold.ts), nor how addresses are counted (limits/). Called by frontend.ts for each accepted client.

import { networks } from '../config/addresses.ts';
import { type FrontendConfig } from '../config/schema.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { REFUSALS_MAX } from '../core/limits.ts';
import { type RejectReason } from './events.ts';
import { type ClientLimits, type Entry } from './limits/client-limits.ts';

export type Admission =
  /** `counted`: by the limits of its address, which it is to leave. */
  | { readonly kind: 'admit'; readonly counted: boolean }
  /** Read the client only to tell it why. */
  | { readonly kind: 'refuse'; readonly reason: RejectReason }
  /** Close it unheard. */
  | { readonly kind: 'drop'; readonly reason: RejectReason };

export interface AdmissionPolicy {
  /** Networks whose clients may connect; null: everybody. */
  readonly allow: readonly string[] | null;
  /** Networks whose clients may not, whatever `allow` says. */
  readonly deny: readonly string[] | null;
  readonly maxConnections: number;
}

export interface Crowd {
  /** Clients that count against `maxConnections`. */
  readonly admitted: number;
  /** Clients beyond it: they wait for their refusal, or carry a CancelRequest. */
  readonly refused: number;
}

const unlimited: Entry = { reason: null, counted: false };
const plainlyIn: Admission = { kind: 'admit', counted: false };
const countedIn: Admission = { kind: 'admit', counted: true };

/** Throws RangeError or TypeError for an entry that is no network; the schema has refused those before. */
export function createAdmission(
  { allow, deny, maxConnections }: AdmissionPolicy,
  limits: ClientLimits | null = null,
): (host: string, crowd: Crowd, now: MonotonicMs) => Admission {
  const isAllowed = allow === null ? null : networks(allow);
  const isDenied = deny === null ? null : networks(deny);
  return (host, { admitted, refused }, now) => {
    if (isDenied?.(host) === true) return { kind: 'drop', reason: 'denied' };
    if (isAllowed?.(host) === false) return { kind: 'drop', reason: 'not-allowed' };
    const entry = limits === null ? unlimited : limits.enter(host, now);
    if (entry.reason !== null) {
      const isTold = refused < REFUSALS_MAX && limits?.hasWords(now) === true;
      return { kind: isTold ? 'refuse' : 'drop', reason: entry.reason };
    }
    if (admitted < maxConnections) return entry.counted ? countedIn : plainlyIn;
    if (entry.counted) limits?.leave(host);
    return { kind: refused < REFUSALS_MAX ? 'refuse' : 'drop', reason: 'max-connections' };
  };
}

/** What is made of a peer by its own address: a proxy that says who the client is, the client itself, or nobody for us. */
export type Trust = 'proxy' | 'client' | 'nobody';

export function createTrust(accept: FrontendConfig['acceptProxy']): (peer: string) => Trust {
  if (accept === null) return () => 'client';
  const isProxy = networks(accept.from);
  const other: Trust = accept.otherwise === 'plain' ? 'client' : 'nobody';
  return peer => (isProxy(peer) ? 'proxy' : other);
}
