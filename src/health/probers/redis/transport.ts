// Opens the way to a Redis server or a Sentinel: TCP, and TLS from its first byte where that is configured.
// Not the login, and no timeout: whoever asks has one for the whole question. Used by the session beside it.

import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Address } from '../../../core/address.ts';
import { type WholeTlsConfig } from '../../../config/schema.ts';
import { describeError } from '../../../core/errors.ts';
import { failure, type Failure } from '../failures.ts';
import { tlsOptions } from '../tls.ts';
import { type Phase } from './failures.ts';

const KEEPALIVE_AFTER_MS = 5000;

/**
 * A socket under way; `error` and `close` are the caller's to listen to, at once. `onPhase` is called as it gets on, and
 * `onReady` when it may be written to. A failure that is known without a socket is returned instead.
 */
export function openTransport(
  address: Address,
  tls: WholeTlsConfig,
  onPhase: (phase: Phase) => void,
  onReady: (socket: Socket) => void,
): Socket | Failure {
  onPhase(isIP(address.host) === 0 ? 'resolving' : 'connecting');
  const options = {
    host: address.host,
    port: address.port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_AFTER_MS,
  };
  const watch = (socket: Socket): Socket =>
    socket.once('lookup', error => {
      // A failed look-up is told as an error of the socket as well, and that of a name.
      if (!(error as Error | null)) onPhase('connecting');
    });
  if (tls.mode === 'disable') {
    const plain = watch(connect(options));
    return plain.once('connect', () => onReady(plain));
  }
  try {
    const secure = connectTls({ ...options, ...tlsOptions(address, tls) });
    secure.once('connect', () => onPhase('handshaking')).once('secureConnect', () => onReady(secure));
    return watch(secure);
  } catch (thrown) {
    return failure('L6RSP', `tls.ca_file: ${describeError(thrown).message}`);
  }
}
