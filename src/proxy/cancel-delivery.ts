// Delivers one CancelRequest to one or several servers and waits until they have closed: that is all the answer there is
// (PostgreSQL documentation, 55.2.9 "Canceling Requests in Progress"). Where to is decided in cancel.ts.

import { type Driver, type SecureDial, type SocketOwner } from './driver.ts';
import { type Target } from './session-model.ts';

interface CancelDelivery {
  readonly targets: readonly Target[];
  readonly bytes: Uint8Array;
  readonly timeoutMs: number;
  /** A PROXY header, where the servers expect one. */
  readonly header: Uint8Array | null;
  readonly driver: Driver;
  /** How the servers of which backend are spoken to in TLS; `null`: not. */
  readonly secure: Omit<SecureDial, 'host'> | null;
}

/** The same as soon as the targets are known. */
export function deliverWhenKnown(
  found: readonly Target[] | Promise<readonly Target[]>,
  delivery: Omit<CancelDelivery, 'targets'>,
  done: () => void,
): () => void {
  if (!(found instanceof Promise)) return deliverCancel({ ...delivery, targets: found }, done);
  let abandoned = false;
  let abandon = (): void => undefined;
  void found.then(targets => {
    if (!abandoned) abandon = deliverCancel({ ...delivery, targets }, done);
  });
  return () => {
    abandoned = true;
    abandon();
  };
}

/** Calls `done` once, when the last server has closed or couldn't be reached. Returns how to give up: closes all, without `done`. */
function deliverCancel(
  { targets, bytes, timeoutMs, header, driver, secure }: CancelDelivery,
  done: () => void,
): () => void {
  const closers = new Set<() => void>();
  let open = targets.length;
  let abandoned = false;
  const closed = (): void => {
    open -= 1;
    if (open === 0 && !abandoned) done();
  };
  for (const { address, host = null } of targets) {
    const abort = driver.dial(
      {
        address,
        timeoutMs,
        ...(header !== null && { header }),
        ...(secure !== null && { secure: { ...secure, host } }),
      },
      {
        failed: closed,
        connected(socket) {
          closers.add(() => socket.destroy());
          const owner: SocketOwner = {
            // A server says nothing here; if it does, nobody asked.
            socketData: () => undefined,
            socketEnded: () => socket.destroy(),
            // A reset is an end like any other here; `socketClosed` follows.
            socketFailed: () => undefined,
            socketClosed: closed,
          };
          socket.attach(owner, 'client');
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
