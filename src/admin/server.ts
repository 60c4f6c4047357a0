// The admin HTTP server: listens, finds the route for a method and a path, and sends what it answers, whole or as a stream.
// Knows HTTP and nothing of databases. Owned by app, which passes the routes.

import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type SecureContextOptions } from 'node:tls';
import { type Address, formatAddress } from '../core/address.ts';
import { descriptorOf } from '../core/descriptor.ts';
import { describeError, PointsmanError } from '../core/errors.ts';
import { ADMIN_STREAM_MAX_BYTES } from '../core/limits.ts';
import { type Logger } from '../core/logger.ts';
import { findRoute, type Reply, type Route, type StreamReply } from './route.ts';

export interface AdminServer {
  readonly address: Address;
  readonly descriptors: readonly number[];
  /** Listens no more; requests that are under way go on until it is closed. */
  stop(): void;
  close(): Promise<void>;
}

/** A scraper or a person needs a handful; more is somebody holding sockets. */
const MAX_CONNECTIONS = 128;
const REQUEST_TIMEOUT_MS = 10_000;
/** Node.js looks for those who are late every 30 s otherwise. */
const LATENESS_INTERVAL_MS = 1000;

export const json = (value: unknown, status = 200, headers: Reply['headers'] = {}): Reply => ({
  status,
  type: 'application/json; charset=utf-8',
  body: `${JSON.stringify(value, null, 2)}\n`,
  headers,
});

export const text = (body: string, status = 200): Reply => ({
  status,
  type: 'text/plain; charset=utf-8',
  body,
});

/** What the server shows; asked again after `follow` told that it is another. */
export interface AdminTls {
  /** With `ca`, nobody is answered who shows no certificate that it vouches for. */
  readonly admin: SecureContextOptions | null;
  followAdmin(renewed: () => void): void;
}

/** Throws BIND_FAILED when the address can't be had. */
export async function startAdminServer(
  bind: Address,
  routes: readonly Route[],
  log: Logger,
  inherited: readonly { readonly fd: number }[] = [],
  tls: AdminTls | null = null,
): Promise<AdminServer> {
  const server = createFor((request, response) => void respond(routes, log, request, response), tls);
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.headersTimeout = REQUEST_TIMEOUT_MS;
  await listen(server, bind, inherited[0]);
  server.on('error', error =>
    log.error({ ...describeError(error) }, 'admin: a connection could not be accepted'),
  );
  const bound = server.address();
  const address =
    typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : bind;
  return {
    address,
    descriptors: descriptorOf(server),
    stop() {
      server.close();
      server.closeIdleConnections();
    },
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** HTTP, or HTTPS where there is something to show. */
function createFor(answers: RequestListener, tls: AdminTls | null): Server {
  const options = { connectionsCheckingInterval: LATENESS_INTERVAL_MS };
  const shown = tls?.admin ?? null;
  if (tls === null || shown === null) return createServer(options, answers);
  const requestCert = shown.ca !== undefined;
  const server = createSecureServer(
    { ...options, ...shown, requestCert, rejectUnauthorized: true, handshakeTimeout: REQUEST_TIMEOUT_MS },
    answers,
  );
  tls.followAdmin(() => {
    if (tls.admin !== null) server.setSecureContext(tls.admin);
  });
  return server;
}

function listen(server: Server, bind: Address, inherited?: { readonly fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    const refused = (error: Error): void => {
      const { code } = describeError(error);
      const message = `admin: can't listen on ${formatAddress(bind)}: ${code}; choose another admin.bind or end what holds it`;
      reject(new PointsmanError('BIND_FAILED', message, { cause: error }));
    };
    server.once('error', refused);
    server.listen(inherited ?? { port: bind.port, host: bind.host }, () => {
      server.off('error', refused);
      resolve();
    });
  });
}

async function respond(
  routes: readonly Route[],
  log: Logger,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // No call of ours needs a body: whatever comes is thrown away as it comes, so none is ever held.
  request.resume();
  let reply: Reply | StreamReply;
  try {
    reply = await answer(routes, request);
  } catch (thrown) {
    log.error({ url: request.url, error: describeError(thrown).message }, 'admin request failed');
    reply = json({ error: 'internal error; see the log' }, 500);
  }
  const headers = {
    'content-type': reply.type,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  };
  if ('open' in reply) {
    response.writeHead(200, headers);
    if (request.method === 'HEAD') response.end();
    else stream(reply, response);
    return;
  }
  response.writeHead(reply.status, {
    ...headers,
    'content-length': Buffer.byteLength(reply.body),
    ...reply.headers,
  });
  response.end(request.method === 'HEAD' ? undefined : reply.body);
}

/** A reader that doesn't take what is sent is cut off: what waits for it is held in memory. */
function stream({ open }: StreamReply, response: ServerResponse): void {
  response.flushHeaders();
  const end = open(chunk => {
    if (response.destroyed) return;
    response.write(chunk);
    if (response.writableLength > ADMIN_STREAM_MAX_BYTES) response.destroy();
  });
  response.on('close', end);
}

function answer(
  routes: readonly Route[],
  request: IncomingMessage,
): Reply | StreamReply | Promise<Reply | StreamReply> {
  const { url: target = '', method = '', headers, socket } = request;
  if (!URL.canParse(target, 'http://admin')) return json({ error: 'malformed URL' }, 400);
  const url = new URL(target, 'http://admin');
  const found = findRoute(routes, method === 'HEAD' ? 'GET' : method, url.pathname);
  switch (found.kind) {
    case 'malformed':
      return json({ error: 'malformed path' }, 400);
    case 'none':
      return json({ error: `no such path: ${url.pathname}`, paths: routes.map(({ path }) => path) }, 404);
    case 'other-method': {
      const allow = found.methods.flatMap(one => (one === 'GET' ? ['GET', 'HEAD'] : [one])).join(', ');
      return json({ error: `only ${allow} here` }, 405, { allow });
    }
    case 'route':
      return found.route.answer({
        url,
        params: found.params,
        authorization: headers.authorization ?? null,
        remote: formatAddress({ host: socket.remoteAddress ?? 'unknown', port: socket.remotePort ?? 0 }),
      });
  }
}
