// An HTTP server of Node in the test's own process, for what clients do with HTTP: bodies both ways, pieces, upgrades.
// One that can be killed is http-backend.ts.

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { type Address } from '../../src/core/address.ts';

export interface WebApp {
  readonly address: Address;
  /** Connections taken since the start. */
  connections(): number;
  close(): Promise<void>;
}

export const PIECES = 500;
export const PIECE = 'x'.repeat(1000);

/**
 * `GET /` says hello, `POST /sum` answers with size and SHA-256 of the body, `POST /back` with the body itself,
 * `GET /pieces` with PIECES chunks of PIECE, and an upgrade to `echo` with every byte that comes after it.
 */
export async function startWebApp(): Promise<WebApp> {
  let count = 0;
  const server = createServer((request, response) => {
    answer(request, response).catch((thrown: unknown) => response.destroy(thrown as Error));
  });
  server.on('connection', () => (count += 1));
  server.on('upgrade', (_request, socket, head) => {
    socket.on('error', () => undefined); // a client that resets is the test's doing
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.write(head);
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { address: { host: '127.0.0.1', port }, connections: () => count, close: () => close(server) };
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  switch (`${request.method} ${request.url}`) {
    case 'GET /':
    case 'HEAD /':
      response.setHeader('Content-Length', '6');
      response.end('hello\n');
      return;
    case 'POST /sum': {
      const hash = createHash('sha256');
      let size = 0;
      for await (const chunk of request as AsyncIterable<Buffer>) {
        hash.update(chunk);
        size += chunk.length;
      }
      response.end(JSON.stringify({ size, sha256: hash.digest('hex') }));
      return;
    }
    case 'POST /back':
      request.pipe(response);
      return;
    case 'GET /pieces':
      for (let piece = 0; piece < PIECES; piece += 1) {
        if (!response.write(PIECE)) await once(response, 'drain');
      }
      response.end();
      return;
    default:
      response.writeHead(404).end();
  }
}
