// What the net driver can do beside the rest: end the TLS of a client on a socket that it has already. What is shown is
// app/tls's to say. Called by driver.ts.

import { invariant } from '../../../core/errors.ts';
import { type DriverTls } from '../../driver.ts';
import { type TlsTerms } from './handshake.ts';
import { joinByLogin } from './login.ts';
import { NetSocket } from './socket.ts';

export function createDriverTls(terms: TlsTerms): DriverTls {
  return {
    encrypt({ socket, frontend, heard, direct }, events) {
      const terminator = terms.terminator(frontend);
      invariant(
        socket instanceof NetSocket && terminator !== null,
        'a frontend with TLS has its certificates',
      );
      terminator.accept(socket.handOver(heard), direct, handshake => {
        if (!handshake.ok) return events.failed();
        socket.become(handshake.socket);
        events.encrypted(handshake.trusted);
      });
    },
    join: (pair, dial) => joinByLogin(pair, dial, terms),
  };
}
