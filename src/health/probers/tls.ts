// What `tls` in a check means to Node.js. Not the handshake: that is each prober's own.
// Used by all transports that speak TLS.

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity, type ConnectionOptions } from 'node:tls';
import { type Address } from '../../core/address.ts';
import { type TlsConfig } from '../../config/schema.ts';

/** The file is read at every connection, so that a renewed authority needs no reload. Throws what reading throws. */
export function tlsOptions(address: Address, tls: TlsConfig): ConnectionOptions {
  const name = tls.serverName ?? address.host;
  const verify = tls.mode === 'verify-ca' || tls.mode === 'verify-full';
  return {
    rejectUnauthorized: verify,
    ...(verify && tls.caFile !== null ? { ca: readFileSync(tls.caFile) } : {}),
    ...(isIP(name) === 0 ? { servername: name } : {}),
    checkServerIdentity: (_host, certificate) =>
      tls.mode === 'verify-full' ? checkServerIdentity(name, certificate) : undefined,
  };
}
