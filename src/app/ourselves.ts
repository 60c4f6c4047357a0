// Whether an address that was learned, or that a name stands for, is no other machine's but our own port. The linter sees only
// what is written in the file (config/lint/frontends.ts); this is asked about what turns up later. Used by resolver.ts.

import { networkInterfaces } from 'node:os';
import { isUnspecified, reaches } from '../config/addresses.ts';
import { type Config } from '../config/schema.ts';
import { type Address } from '../core/address.ts';

/**
 * Whoever connects to such an address comes to a port of this very backend, which connects to it: one client would become
 * tens of thousands. And "any address", with which some name servers answer for names that they block, is this machine.
 */
export function isOurselves(frontends: Config['frontends'], backend: string, address: Address): boolean {
  if (isUnspecified(address.host)) return true;
  return Object.values(frontends).some(frontend => {
    if (frontend.backend !== backend) return false;
    const { bind } = frontend;
    if (reaches(address, bind)) return true;
    return isUnspecified(bind.host) && bind.port === address.port && isOfThisMachine(address.host);
  });
}

/** Asked each time: interfaces come and go, as when a virtual address moves. */
function isOfThisMachine(host: string): boolean {
  return Object.values(networkInterfaces()).some(own => own?.some(({ address }) => address === host));
}
