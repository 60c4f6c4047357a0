// One connection attempt to a server: bounded in time, abortable, and reported exactly once.
// Doesn't choose the server and doesn't try again. Called by connection.ts and cancel.ts.

import { connect, type Socket } from 'node:net';
import { type Address } from '../../../core/address.ts';
import { type Clock } from '../../../core/clock.ts';
import { describeError } from '../../../core/errors.ts';
import { truncate } from '../../../core/limits.ts';
import { KEEPALIVE_DELAY_MS } from '../../bounds.ts';
import { type ConnectError } from '../../events.ts';

export interface DialRequest {
  readonly address: Address;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

export interface DialEvents {
  /** The receiver owns the socket from here on, its errors included. */
  connected(socket: Socket): void;
  failed(error: ConnectError, detail: string): void;
}

/** Returns how to abort: closes the attempt; after that no event comes. Harmless once an event has come. */
export function dial({ address, timeoutMs, clock }: DialRequest, events: DialEvents): () => void {
  const socket = connect({
    host: address.host,
    port: address.port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_DELAY_MS,
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
    if (settle()) events.failed(classify(code), truncate(message));
  }

  // Stays in place on a destroyed socket: a late error there has no other listener.
  socket.on('error', onError);
  socket.once('connect', () => {
    if (settle(true)) events.connected(socket);
  });
  return () => void settle();
}

const errorOf: Readonly<Record<string, ConnectError>> = {
  ECONNREFUSED: 'refused',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETUNREACH: 'unreachable',
  ENETDOWN: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
  EMFILE: 'local',
  ENFILE: 'local',
  EADDRNOTAVAIL: 'local',
  EAGAIN: 'local',
  ENOBUFS: 'local',
  ENOMEM: 'local',
};

function classify(code: string): ConnectError {
  return errorOf[code] ?? 'other';
}
