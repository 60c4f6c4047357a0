// The proxy's driver on simulated sockets: listens for simulated clients, dials simulated servers, joins the two.
// Tells the oracle of every splice; knows nothing of rules.

import { formatAddress } from '../../src/core/address.ts';
import {
  type Driver,
  type IncomingClient,
  type Listener,
  type ListenerEvents,
  type Splice,
} from '../../src/proxy/driver.ts';
import { type Clock, type Timer } from '../../src/core/clock.ts';
import { ServerConnection } from './connection.ts';
import { type Path } from './network.ts';
import { type SimServer } from './server.ts';
import { SimSocket, type Remote, type SessionWitness, type SocketBooks } from './socket.ts';

export interface DriverWorld {
  readonly clock: Clock;
  /** By `host:port`; `undefined`: no machine has this address. */
  locate(address: string): { readonly server: SimServer; readonly path: Path } | undefined;
  /** A client and a server are being joined. */
  spliced(frontend: string, serverAddress: string): SessionWitness;
}

export class SimDriver implements Driver, SocketBooks {
  readonly clock: Clock;
  readonly #world: DriverWorld;
  readonly #listeners = new Map<string, ListenerEvents>();
  readonly #sockets = new Set<SimSocket>();
  readonly #dials = new Set<() => void>();
  #clients = 0;

  constructor(world: DriverWorld) {
    this.#world = world;
    this.clock = world.clock;
  }

  get openDials(): number {
    return this.#dials.size;
  }

  get openSockets(): number {
    return this.#sockets.size;
  }

  opened(socket: SimSocket): void {
    this.#sockets.add(socket);
  }

  closed(socket: SimSocket): void {
    this.#sockets.delete(socket);
  }

  /** The process is gone: its kernel resets all that was open. */
  kill(): void {
    this.#listeners.clear();
    for (const giveUp of [...this.#dials]) giveUp();
    for (const socket of [...this.#sockets]) socket.destroy();
  }

  listen(request: Parameters<Driver['listen']>[0], events: ListenerEvents): Promise<Listener> {
    this.#listeners.set(request.frontend, events);
    return Promise.resolve({
      address: request.bind,
      descriptors: [],
      keepAlive: () => undefined,
      close: () => void this.#listeners.delete(request.frontend),
    });
  }

  /** A client's SYN; `null`: nobody listens. */
  accept(frontend: string, remote: Remote): SimSocket | null {
    const events = this.#listeners.get(frontend);
    if (events === undefined) return null;
    const socket = new SimSocket(remote, this, { frontend });
    this.#clients += 1;
    const client: IncomingClient = {
      address: { host: '10.1.0.1', port: 1 + (this.#clients % 60_000) },
      socket,
    };
    events.accepted(client);
    return socket;
  }

  dial(
    { address, timeoutMs }: Parameters<Driver['dial']>[0],
    events: Parameters<Driver['dial']>[1],
  ): () => void {
    const serverAddress = formatAddress(address);
    const place = this.#world.locate(serverAddress);
    const connection = place && new ServerConnection(place.server, place.path);
    let timer: Timer | null = this.clock.schedule(timeoutMs, () => {
      if (settle()) events.failed('timeout', 'not connected in time');
      connection?.reset();
    });
    const settle = (): boolean => {
      if (timer === null) return false;
      timer.cancel();
      timer = null;
      this.#dials.delete(giveUp);
      return true;
    };
    const giveUp = (): void => {
      if (settle()) connection?.reset();
    };
    this.#dials.add(giveUp);
    connection?.connect(
      () => {
        if (!settle()) return;
        const socket = new SimSocket(connection, this, { serverAddress });
        connection.opened(socket);
        events.connected(socket);
      },
      () => {
        if (settle()) events.failed('refused', 'connection refused');
      },
    );
    return giveUp;
  }

  splice({ client, server, first, tap, traffic }: Splice): void {
    if (!(client instanceof SimSocket) || !(server instanceof SimSocket)) throw new Error('a foreign socket');
    const witness = this.#world.spliced(client.frontend, server.serverAddress);
    server.write(first);
    server.join(client, traffic, tap, {
      forwarded: () => witness.forwarded(),
      over: ours => witness.over(ours && !client.peerIsDone),
    });
    client.join(server, traffic, null, null);
  }
}
