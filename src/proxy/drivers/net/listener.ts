// One listening socket. Hands over accepted clients and tells of errors at a bounded rate; decides nothing about them.
// Called by frontend.ts.

import { createServer, type Socket } from 'node:net';
import { type Address, formatAddress } from '../../../core/address.ts';
import { type Clock } from '../../../core/clock.ts';
import { describeError, PointsmanError } from '../../../core/errors.ts';
import { ACCEPT_ERROR_INTERVAL_MS, KEEPALIVE_DELAY_MS } from '../../bounds.ts';
import { createThrottle } from '../../throttle.ts';

/** Clients that connect while the loop is busy wait here, as far as the kernel allows (somaxconn). */
const BACKLOG = 4096;

export interface IncomingClient {
  readonly address: Address;
  readonly socket: Socket;
  /** Closes it unheard. */
  drop(): void;
}

export interface ListenerEvents {
  accepted(client: IncomingClient): void;
  /**
   * Told at most once in ACCEPT_ERROR_INTERVAL_MS; `detail` says how many there were since. Without descriptors there
   * is no error: libuv itself accepts and closes each client then, so that neither the loop nor the client waits.
   */
  acceptError(code: string, detail: string): void;
}

export interface Listener {
  /** The bound address: the port is the real one where the configured is 0. */
  readonly address: Address;
  /** Stops accepting. Accepted sockets are their owner's and go on. */
  close(): void;
}

/** Rejects with BIND_FAILED, naming the frontend, the address and the reason. */
export function listen(
  frontend: string,
  bind: Address,
  clock: Clock,
  events: ListenerEvents,
): Promise<Listener> {
  const server = createServer({
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_DELAY_MS,
  });
  const throttle = createThrottle(ACCEPT_ERROR_INTERVAL_MS);
  return new Promise((resolve, reject) => {
    const onBindError = (thrown: Error): void => {
      const { message } = describeError(thrown);
      const where = `frontend ${frontend}: cannot listen on ${formatAddress(bind)}`;
      reject(new PointsmanError('BIND_FAILED', `${where}: ${message}`, { cause: thrown }));
    };
    server.once('error', onBindError);
    server.listen({ host: bind.host, port: bind.port, backlog: BACKLOG }, () => {
      server.off('error', onBindError);
      server.on('error', thrown => {
        const count = throttle(clock.now());
        if (count === null) return;
        const { code, message } = describeError(thrown);
        events.acceptError(code, `${message} (${count} since the last report)`);
      });
      server.on('connection', socket => {
        const client = incoming(socket);
        if (client !== null) events.accepted(client);
      });
      const bound = server.address();
      const port = bound !== null && typeof bound === 'object' ? bound.port : bind.port;
      resolve({ address: { host: bind.host, port }, close: () => void server.close() });
    });
  });
}

/** Null for a client that has reset the connection already: nobody is left to serve or to tell. */
function incoming(socket: Socket): IncomingClient | null {
  const { remoteAddress, remotePort } = socket;
  const drop = (): void => {
    socket.on('error', () => undefined); // it is being destroyed unheard; its errors say nothing
    socket.destroy();
  };
  if (remoteAddress === undefined || remotePort === undefined) {
    drop();
    return null;
  }
  return { address: { host: plainHost(remoteAddress), port: remotePort }, socket, drop };
}

/** An IPv4 client on a socket bound to `::` shows as ::ffff:10.0.0.1. */
function plainHost(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}
