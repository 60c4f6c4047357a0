// Delivers one CancelRequest to one or several servers and waits until they have closed: that is all the answer there is
// (PostgreSQL documentation, 55.2.9 "Canceling Requests in Progress"). Where to is decided in ../../cancel.ts.

import { type Clock } from '../../../core/clock.ts';
import { type Target } from '../../session-model.ts';
import { dial } from './dialer.ts';

export interface CancelDelivery {
  readonly targets: readonly Target[];
  readonly bytes: Uint8Array;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Calls `done` once, when the last server has closed or couldn't be reached. Returns how to give up: closes all, without `done`. */
export function deliverCancel(
  { targets, bytes, timeoutMs, clock }: CancelDelivery,
  done: () => void,
): () => void {
  const closers = new Set<() => void>();
  let open = targets.length;
  let abandoned = false;
  const closed = (): void => {
    open -= 1;
    if (open === 0 && !abandoned) done();
  };
  for (const { address } of targets) {
    const abort = dial(
      { address, timeoutMs, clock },
      {
        failed: closed,
        connected(socket) {
          closers.add(() => socket.destroy());
          socket.once('close', closed);
          // A reset is an end like any other here; 'close' follows.
          socket.on('error', () => undefined);
          socket.once('end', () => socket.destroy());
          socket.resume();
          socket.write(bytes);
        },
      },
    );
    closers.add(abort);
  }
  if (targets.length === 0) done();
  return () => {
    abandoned = true;
    for (const close of closers) close();
  };
}
