// One listening socket. Hands over accepted clients and tells of errors at a bounded rate; decides nothing about them.
// Without descriptors it says nothing: libuv itself accepts and closes each client then, so that neither loop nor client
// waits. Called by driver.ts.

import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { formatAddress } from '../../../core/address.ts';
import { type Clock } from '../../../core/clock.ts';
import { descriptorOf } from '../../../core/descriptor.ts';
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
import { addressOf, NetSocket } from './socket.ts';

/** Where to listen: at an address, or on a socket that is open. */
type Source = ListenOptions & { readonly fd?: number };

/** Accepts on the inherited sockets, else on a new one. Rejects with BIND_FAILED, naming the frontend, the address and the reason. */
export async function listen(
  request: ListenRequest,
  events: ListenerEvents,
  clock: Clock,
): Promise<Listener> {
  const { bind, inherited, tcp } = request;
  const throttle = createThrottle(ACCEPT_ERROR_INTERVAL_MS);
  /** Since it was opened they were changed: node:net gives the first ones only. */
  let changed: TcpOptions | null = null;
  function serve(): Server {
    const server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: tcp.keepaliveIdleSeconds * 1000,
    });
    // From the first moment on: in a socket that is open already, clients are waiting.
    server.on('connection', socket => {
      const client = incoming(socket, clock);
      if (changed !== null) client?.socket.keepAlive(changed);
      if (client !== null) events.accepted(client);
    });
    server.once('listening', () => {
      server.on('error', thrown => {
        const count = throttle(clock.now());
        if (count === null) return;
        const { code, message } = describeError(thrown);
        events.acceptError(code, `${message} (${count} since the last report)`);
      });
    });
    return server;
  }
  const sources: readonly Source[] =
    inherited.length === 0 ? [{ host: bind.host, port: bind.port }] : inherited.map(({ fd }) => ({ fd }));
  const servers = sources.map(source => ({ source, server: serve() }));
  const close = (): void => servers.forEach(({ server }) => void server.close());
  try {
    await Promise.all(servers.map(({ server, source }) => open(server, request, source)));
  } catch (thrown) {
    close();
    throw thrown;
  }
  const bound = servers[0]?.server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : bind.port;
  return {
    address: { host: bind.host, port },
    descriptors: servers.flatMap(({ server }) => descriptorOf(server)),
    keepAlive(next) {
      changed = next;
    },
    close,
  };
}

function open(server: Server, { frontend, bind }: ListenRequest, source: Source): Promise<void> {
  return new Promise((resolve, reject) => {
    const onBindError = (thrown: Error): void => {
      const { message } = describeError(thrown);
      const where = `frontend ${frontend}: cannot listen on ${formatAddress(bind)}`;
      reject(new PointsmanError('BIND_FAILED', `${where}: ${message}`, { cause: thrown }));
    };
    server.once('error', onBindError);
    server.listen({ ...source, backlog: LISTEN_BACKLOG }, () => {
      server.off('error', onBindError);
      resolve();
    });
  });
}

/** Null for a client that has reset the connection already: nobody is left to serve or to tell. */
function incoming(socket: Socket, clock: Clock): IncomingClient | null {
  const address = addressOf(socket.remoteAddress, socket.remotePort);
  // One that is dropped unheard has nobody else to hear its errors, and they say nothing.
  socket.on('error', () => undefined);
  if (address === null) {
    socket.destroy();
    return null;
  }
  return { address, socket: new NetSocket(socket, clock) };
}
