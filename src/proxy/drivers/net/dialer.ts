// One connection attempt to a server, the handshake of TLS included where it is wanted: bounded in time, abortable, and
// reported exactly once.
// Doesn't choose the server and doesn't try again. Called by driver.ts.

import { connect } from 'node:net';
import { type Clock } from '../../../core/clock.ts';
import { describeError, invariant } from '../../../core/errors.ts';
import { truncate } from '../../../core/limits.ts';
import { type DialEvents, type DialRequest } from '../../driver.ts';
import { classifyConnectError } from '../connect-errors.ts';
import { NetSocket } from './socket.ts';
import { secure, type TlsTerms } from './handshake.ts';

/** Returns how to abort: closes the attempt; after that no event comes. Harmless once an event has come. */
export function dial(
  { address, timeoutMs, header, secure: asked }: DialRequest,
  events: DialEvents,
  clock: Clock,
  terms: TlsTerms | null,
): () => void {
  const socket = connect({
    host: address.host,
    port: address.port,
    allowHalfOpen: true,
    noDelay: true,
  });
  let settled = false;
  const timer = clock.schedule(timeoutMs, () => {
    if (settle()) events.failed('timeout', `not connected within ${timeoutMs} ms`);
  });

  /** False when it was settled before; a socket that isn't handed over is destroyed. */
  function settle(keep = false): boolean {
    if (settled) return false;
    settled = true;
    timer.cancel();
    if (keep) socket.off('error', onError);
    else socket.destroy();
    return true;
  }

  function onError(thrown: Error): void {
    const { code, message } = describeError(thrown);
    if (settle()) events.failed(classifyConnectError(code), truncate(message));
  }

  // Stays in place on a destroyed socket: a late error there has no other listener.
  socket.on('error', onError);
  socket.once('connect', () => {
    // Before a handshake, too.
    if (header !== undefined && !settled) socket.write(header);
    if (asked === undefined) {
      if (settle(true)) events.connected(new NetSocket(socket, clock));
      return;
    }
    invariant(terms !== null, 'TLS is asked for where there are terms for it');
    // Ended or broken amid the handshake, where no error tells of it.
    socket.once('close', () => {
      if (settle()) events.failed('tls', 'the server closed the connection in the TLS handshake');
    });
    secure(socket, asked, () => terms.towards(asked.backend, address, asked.host), {
      secured: tls => {
        if (settle(true)) events.connected(new NetSocket(tls, clock, socket));
      },
      failed: detail => {
        if (settle()) events.failed('tls', detail);
      },
    });
  });
  return () => void settle();
}
