// The `kernel` driver as the proxy sees it: listeners that the main thread opened, dials, and joined sockets.
// Runs in a worker, on its loop. Made by worker.ts.

import { invariant } from '../../../core/errors.ts';
import { type Driver } from '../../driver.ts';
import { dial } from './dialer.ts';
import { type Kernel } from './kernel.ts';
import { acceptFrom } from './listener.ts';
import { type WorkerListeners } from './messages.ts';
import { KernelSocket } from './socket.ts';

/** `listeners` by frontend; those of a changed configuration are added. */
export function createKernelDriver(kernel: Kernel, listeners: WorkerListeners): Driver {
  return {
    listen({ frontend }, events) {
      const own = listeners.get(frontend) ?? [];
      const [first] = own;
      invariant(first !== undefined, 'the main thread opened a socket for every frontend');
      const accepting = own.map(listener => acceptFrom(kernel, listener, events));
      return Promise.resolve({
        address: first.address,
        descriptors: own.map(({ fd }) => fd),
        // What its clients inherit is set on the descriptors by the main thread.
        keepAlive: () => undefined,
        close: () => accepting.forEach(stop => stop()),
      });
    },
    dial: (request, events) => dial(kernel, request, events),
    splice({ client, server, first, tap, traffic }) {
      invariant(
        client instanceof KernelSocket && server instanceof KernelSocket,
        'a driver joins its own sockets',
      );
      client.join(server, traffic, null);
      server.join(client, traffic, tap);
      if (first.length > 0) server.write(first);
      client.resume();
      server.resume();
    },
  };
}
