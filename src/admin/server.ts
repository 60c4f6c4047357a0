// The admin HTTP server: health endpoints, metrics, state and incidents. Read only; knows HTTP and nothing of databases.
// Owned by app, which passes what each route answers.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type Address, formatAddress } from '../core/address.ts';
import { describeError, PointsmanError } from '../core/errors.ts';
import { type Logger } from '../core/logger.ts';

export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Route = (url: URL) => Reply | Promise<Reply>;

export interface AdminServer {
  readonly address: Address;
  close(): Promise<void>;
}

/** A scraper or a person needs a handful; more is somebody holding sockets. */
const MAX_CONNECTIONS = 128;
const REQUEST_TIMEOUT_MS = 10_000;

export const json = (value: unknown, status = 200): Reply => ({
  status,
  type: 'application/json; charset=utf-8',
  body: `${JSON.stringify(value, null, 2)}\n`,
});

export const text = (body: string, status = 200): Reply => ({
  status,
  type: 'text/plain; charset=utf-8',
  body,
});

/** Throws BIND_FAILED when the address can't be had. */
export async function startAdminServer(
  bind: Address,
  routes: Readonly<Record<string, Route>>,
  log: Logger,
): Promise<AdminServer> {
  const server = createServer((request, response) => void respond(routes, log, request, response));
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.headersTimeout = REQUEST_TIMEOUT_MS;
  await listen(server, bind);
  server.on('error', error =>
    log.error({ ...describeError(error) }, 'admin: a connection could not be accepted'),
  );
  const bound = server.address();
  const address =
    typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : bind;
  return {
    address,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, bind: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    const refused = (error: Error): void => {
      const { code } = describeError(error);
      const message = `admin: can't listen on ${formatAddress(bind)}: ${code}; choose another admin.bind or end what holds it`;
      reject(new PointsmanError('BIND_FAILED', message, { cause: error }));
    };
    server.once('error', refused);
    server.listen(bind.port, bind.host, () => {
      server.off('error', refused);
      resolve();
    });
  });
}

async function respond(
  routes: Readonly<Record<string, Route>>,
  log: Logger,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  request.resume();
  let reply: Reply;
  try {
    reply = await answer(routes, request);
  } catch (thrown) {
    log.error({ url: request.url, error: describeError(thrown).message }, 'admin request failed');
    reply = json({ error: 'internal error; see the log' }, 500);
  }
  response.writeHead(reply.status, {
    'content-type': reply.type,
    'content-length': Buffer.byteLength(reply.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...reply.headers,
  });
  response.end(request.method === 'HEAD' ? undefined : reply.body);
}

function answer(routes: Readonly<Record<string, Route>>, request: IncomingMessage): Reply | Promise<Reply> {
  if (!URL.canParse(request.url ?? '', 'http://admin')) return json({ error: 'malformed URL' }, 400);
  const url = new URL(request.url ?? '', 'http://admin');
  const route = Object.hasOwn(routes, url.pathname) ? routes[url.pathname] : undefined;
  if (route === undefined) {
    return json({ error: `no such path: ${url.pathname}`, paths: Object.keys(routes) }, 404);
  }
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return json({ error: 'only GET and HEAD here' }, 405);
  return route(url);
}
