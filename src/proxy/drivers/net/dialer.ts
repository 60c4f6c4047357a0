// One connection attempt to a server: bounded in time, abortable, and reported exactly once.
// Doesn't choose the server and doesn't try again. Called by driver.ts.

import { connect } from 'node:net';
import { type Clock } from '../../../core/clock.ts';
import { describeError } from '../../../core/errors.ts';
import { truncate } from '../../../core/limits.ts';
import { type DialEvents, type DialRequest } from '../../driver.ts';
import { classifyConnectError } from '../connect-errors.ts';
import { NetSocket } from './socket.ts';

/** Returns how to abort: closes the attempt; after that no event comes. Harmless once an event has come. */
export function dial({ address, timeoutMs }: DialRequest, events: DialEvents, clock: Clock): () => void {
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
    if (settle(true)) events.connected(new NetSocket(socket, clock));
  });
  return () => void settle();
}
