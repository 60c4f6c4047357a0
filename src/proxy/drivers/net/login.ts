// Carries out what a login of MySQL asks for while TLS ends or begins here (proxy/mysql-login.ts), on two sockets that are
// joined already; then joins them for good. When the session ends meanwhile, its owner parts them and nothing more happens.
// Called by tls.ts.

import { invariant } from '../../../core/errors.ts';
import { type LoginDial, type Splice } from '../../driver.ts';
import { MysqlLogin, type LoginAction } from '../../mysql-login.ts';
import { splice } from './splice.ts';
import { NetSocket } from './socket.ts';
import { shakeHands, type TlsTerms } from './handshake.ts';

interface Sockets {
  readonly client: NetSocket;
  readonly server: NetSocket;
}

export function joinByLogin(pair: Splice, dial: LoginDial, terms: TlsTerms): void {
  const { client, server } = pair;
  invariant(client instanceof NetSocket && server instanceof NetSocket, 'a driver joins its own sockets');
  relayLogin({ client, server }, pair, dial, terms);
}

function relayLogin(sockets: Sockets, pair: Splice, dial: LoginDial, terms: TlsTerms): void {
  const { client, server } = sockets;
  const { tap, traffic } = pair;
  const login = new MysqlLogin(dial.rules);
  let watcher = tap;
  let parted = false;
  const listeners = {
    client(chunk: Uint8Array): void {
      traffic.bytesUp += chunk.length;
      act(login.receive('client', chunk));
    },
    server(chunk: Uint8Array): void {
      traffic.bytesDown += chunk.length;
      if (watcher !== null && !watcher(chunk)) watcher = null;
      act(login.receive('server', chunk));
    },
  };

  function stopReading(): void {
    client.inner.off('data', listeners.client);
    server.inner.off('data', listeners.server);
  }

  function part(): void {
    parted = true;
    stopReading();
    // What still comes is dropped, so that each can see its peer's end.
    client.inner.resume();
    server.inner.resume();
  }

  function act(actions: readonly LoginAction[]): void {
    let over = false;
    for (const action of actions) {
      if (parted) return;
      switch (action.kind) {
        case 'to-client':
          client.write(action.bytes);
          break;
        case 'to-server':
          server.write(action.bytes);
          break;
        case 'encrypt':
          encrypt(action.side, action.heard);
          break;
        case 'refused':
          part();
          server.seemEnded();
          return;
        case 'broken':
          part();
          client.seemBroken();
          return;
        case 'done':
          over = true;
      }
    }
    if (!over) return;
    stopReading();
    splice({ ...pair, first: new Uint8Array(0), tap: watcher });
  }

  function encrypt(side: 'client' | 'server', heard: Uint8Array): void {
    const socket = sockets[side];
    socket.inner.off('data', listeners[side]);
    const raw = socket.handOver(heard);
    if (side === 'server') {
      const options = () => terms.towards(dial.backend, dial.address, dial.host);
      shakeHands(raw, options, {
        secured(tls) {
          if (parted) return void tls.destroy();
          socket.become(tls);
          tls.on('data', listeners.server);
          act(login.encrypted('server'));
        },
        failed(detail) {
          if (parted) return;
          dial.failed(detail);
          act(login.serverFailed());
        },
      });
      return;
    }
    const terminator = terms.terminator(dial.frontend);
    if (terminator === null) return client.seemBroken();
    terminator.accept(raw, false, handshake => {
      if (parted) return void (handshake.ok && handshake.socket.destroy());
      if (!handshake.ok) return client.seemBroken();
      socket.become(handshake.socket);
      handshake.socket.on('data', listeners.client);
      act(login.encrypted('client', handshake.trusted));
    });
  }

  client.joined(part);
  server.joined(part);
  client.inner.on('data', listeners.client);
  server.inner.on('data', listeners.server);
  client.inner.resume();
}
