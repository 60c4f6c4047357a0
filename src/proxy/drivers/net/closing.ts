// The ways to close a socket that TCP has: politely with a bound, or by a reset. The one place that knows their traps.
// Called by socket.ts.

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
 * RST at once, whatever waits to be written: what a server hasn't been sent yet, or hasn't acknowledged, never reaches
 * it. What its kernel holds already, it may still read (Linux keeps it), but nobody hears the answer.
 *
 * `resetAndDestroy` alone may wait for pending writes, which a frozen peer never takes; `destroy` makes it immediate.
 * `raw`: the TCP socket under one of TLS, which can't be reset itself.
 * While a FIN is under way libuv refuses the reset (EINVAL) and Node then never closes the socket: closed plainly then.
 */
export function resetNow(socket: Socket, raw: Socket = socket): void {
  if (raw.destroyed) return;
  if (!socket.writableEnded || socket.writableFinished) raw.resetAndDestroy();
  raw.destroy();
}
