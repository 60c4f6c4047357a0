// Which kind of socket a connection gets: one that uses the io_uring where there is one.
// Not the making of the connection. Called by listener.ts and dialer.ts.

import { type Kernel } from './kernel.ts';
import { RingSocket } from './ring-socket.ts';
import { KernelSocket } from './socket.ts';

/** Of a connected descriptor; `start` it when it has an owner, or is about to. */
export function createSocket(kernel: Kernel, fd: number): KernelSocket {
  return kernel.uring === null ? new KernelSocket(kernel, fd) : new RingSocket(kernel, fd, kernel.uring);
}
