// One listening socket. Hands over accepted clients and tells of errors at a bounded rate; decides nothing about them.
// Without descriptors it says nothing: libuv itself accepts and closes each client then, so that neither loop nor client
// waits. Called by driver.ts.

import { createServer, type Socket } from 'node:net';
import { formatAddress } from '../../../core/address.ts';
import { type Clock } from '../../../core/clock.ts';
import { describeError, PointsmanError } from '../../../core/errors.ts';
import { ACCEPT_ERROR_INTERVAL_MS, LISTEN_BACKLOG } from '../../bounds.ts';
import {
  type IncomingClient,
  type Listener,
  type ListenerEvents,
  type ListenRequest,
  type TcpOptions,
} from '../../driver.ts';
import { createThrottle } from '../../throttle.ts';
import { NetSocket } from './socket.ts';

/** Rejects with BIND_FAILED, naming the frontend, the address and the reason. */
export function listen(
  { frontend, bind, tcp }: ListenRequest,
  events: ListenerEvents,
  clock: Clock,
): Promise<Listener> {
  const server = createServer({
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: tcp.keepaliveIdleSeconds * 1000,
  });
  const throttle = createThrottle(ACCEPT_ERROR_INTERVAL_MS);
  /** Since it was opened they were changed: node:net gives the first ones only. */
  let changed: TcpOptions | null = null;
  return new Promise((resolve, reject) => {
    const onBindError = (thrown: Error): void => {
      const { message } = describeError(thrown);
      const where = `frontend ${frontend}: cannot listen on ${formatAddress(bind)}`;
      reject(new PointsmanError('BIND_FAILED', `${where}: ${message}`, { cause: thrown }));
    };
    server.once('error', onBindError);
    server.listen({ host: bind.host, port: bind.port, backlog: LISTEN_BACKLOG }, () => {
      server.off('error', onBindError);
      server.on('error', thrown => {
        const count = throttle(clock.now());
        if (count === null) return;
        const { code, message } = describeError(thrown);
        events.acceptError(code, `${message} (${count} since the last report)`);
      });
      server.on('connection', socket => {
        const client = incoming(socket, clock);
        if (changed !== null) client?.socket.keepAlive(changed);
        if (client !== null) events.accepted(client);
      });
      const bound = server.address();
      const port = bound !== null && typeof bound === 'object' ? bound.port : bind.port;
      resolve({
        address: { host: bind.host, port },
        keepAlive(next) {
          changed = next;
        },
        close: () => void server.close(),
      });
    });
  });
}

/** Null for a client that has reset the connection already: nobody is left to serve or to tell. */
function incoming(socket: Socket, clock: Clock): IncomingClient | null {
  const { remoteAddress, remotePort } = socket;
  // One that is dropped unheard has nobody else to hear its errors, and they say nothing.
  socket.on('error', () => undefined);
  if (remoteAddress === undefined || remotePort === undefined) {
    socket.destroy();
    return null;
  }
  return {
    address: { host: plainHost(remoteAddress), port: remotePort },
    socket: new NetSocket(socket, clock),
  };
}

/** An IPv4 client on a socket bound to `::` shows as ::ffff:10.0.0.1. */
function plainHost(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}
