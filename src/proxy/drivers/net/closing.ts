// The ways to close a socket that TCP has: politely with a bound, or by a reset. The one place that knows their traps.
// Called by connection.ts.

import { type Socket } from 'node:net';
import { type Clock } from '../../../core/clock.ts';

/**
 * FIN after everything already written; what the peer still sends is read and dropped. A socket closed with unread
 * input would send a reset, and that would cost the peer what it hasn't read yet. Destroyed after `boundMs`.
 */
export function endWithin(socket: Socket, boundMs: number, clock: Clock): void {
  if (socket.destroyed) return;
  const timer = clock.schedule(boundMs, () => socket.destroy());
  socket.once('close', () => timer.cancel());
  socket.resume();
  socket.end();
}

/**
 * RST at once, whatever waits to be written: bytes that a frozen server hasn't read yet are thrown away by its kernel
 * too, so it can't act on them when it thaws.
 */
export function resetNow(socket: Socket): void {
  if (!socket.destroyed) socket.resetAndDestroy();
}
