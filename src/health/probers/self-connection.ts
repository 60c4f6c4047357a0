// A connection that met itself: it shows nobody, and while it is there the port is taken from the server that comes back.
// Used by probers of protocols in which an echo could pass for an answer.

import { type Socket } from 'node:net';
import { failure } from './failures.ts';

export const selfConnection = failure('L4CON', 'the connection met itself: nobody listens on this port');

/**
 * Whether a connection's two ends are one. To a port of this machine where nobody listens, the system may choose that
 * very port as the source, and TCP's simultaneous open (RFC 9293, section 3.5) joins the socket with itself.
 */
export function isSelfConnected({
  localAddress,
  localPort,
  remoteAddress,
  remotePort,
}: Pick<Socket, 'localAddress' | 'localPort' | 'remoteAddress' | 'remotePort'>): boolean {
  return localPort !== undefined && localPort === remotePort && localAddress === remoteAddress;
}
