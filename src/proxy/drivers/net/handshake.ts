// The handshake of TLS with a server: asked for first where its protocol wants that. What is trusted is app/tls's to say.
// Called by dialer.ts before anybody hears of the connection, and by login.ts amid a login of MySQL.

import { type Socket } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { type Address } from '../../../core/address.ts';
import { describeError } from '../../../core/errors.ts';
import { truncate } from '../../../core/limits.ts';
import { SSL_REQUEST } from '../../../protocol/postgres/startup.ts';
import { type SecureDial } from '../../driver.ts';
import { type Terminator } from './terminator.ts';

/** What is shown to clients and asked of servers, by the names of the configuration; the newest at every call. */
export interface TlsTerms {
  terminator(frontend: string): Terminator | null;
  /** Throws what reading the files throws. */
  towards(backend: string, address: Address, host: string | null): ConnectionOptions;
}

interface HandshakeEvents {
  secured(socket: TLSSocket): void;
  failed(detail: string): void;
}

const ACCEPTED = 0x53;

/** Asks the server for TLS, where its protocol wants that, and makes the handshake. One of the two comes, unless `raw` is destroyed. */
export function secure(
  raw: Socket,
  { how }: Pick<SecureDial, 'how'>,
  options: () => ConnectionOptions,
  events: HandshakeEvents,
): void {
  if (how === 'whole') return shakeHands(raw, options, events);
  const ended = (): void => events.failed('the server closed the connection when it was asked for TLS');
  raw.once('end', ended);
  raw.once('data', answer => {
    raw.pause();
    raw.off('end', ended);
    // More than the one byte was sent in the clear, and must not pass for what comes encrypted.
    if (answer[0] === ACCEPTED && answer.length === 1) shakeHands(raw, options, events);
    else events.failed('the server speaks no TLS');
  });
  raw.write(SSL_REQUEST);
}

export function shakeHands(raw: Socket, options: () => ConnectionOptions, events: HandshakeEvents): void {
  let socket: TLSSocket;
  try {
    socket = connect({ ...options(), socket: raw });
  } catch (thrown) {
    return events.failed(truncate(describeError(thrown).message));
  }
  const onError = (thrown: Error): void =>
    events.failed(truncate(`TLS: ${describeError(thrown).message.trim()}`));
  socket.once('error', onError);
  // They stay: a late error has no other listener.
  socket.on('error', () => undefined);
  raw.on('error', () => undefined);
  socket.once('secureConnect', () => {
    socket.off('error', onError);
    events.secured(socket);
  });
}
