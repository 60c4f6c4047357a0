// The application of http-backend.ts, as its process: two routes over node:http, a mysql2 pool behind one of them.
// Sends its port when it listens and lives until it is killed.

import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo } from 'node:net';
import { createPool, type Pool, type ResultSetHeader } from 'mysql2/promise';
import { type BackendSetup } from './http-backend.ts';

const BODY_MAX_BYTES = 10_000;

const { name, port, database } = JSON.parse(process.argv[2] ?? '') as BackendSetup;
const pool: Pool | null = database === null ? null : createPool(database);

async function read(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > BODY_MAX_BYTES) throw new Error('the body is too long');
  }
  return JSON.parse(text);
}

async function answer(request: IncomingMessage): Promise<{ status: number; body: object }> {
  switch (`${request.method} ${request.url}`) {
    case 'GET /health':
      return { status: 200, body: { status: 'ok', backend: name } };
    case 'POST /register': {
      const given = (await read(request)) as { name?: unknown };
      if (typeof given.name !== 'string') return { status: 400, body: { error: 'a name is needed' } };
      if (pool === null) return { status: 503, body: { error: 'there is no database' } };
      const [{ insertId }] = await pool.execute<ResultSetHeader>('insert into users (name) values (?)', [
        given.name,
      ]);
      return { status: 201, body: { id: insertId, name: given.name, backend: name } };
    }
    default:
      return { status: 404, body: { error: 'there is no such route' } };
  }
}

const server = createServer((request, response) => {
  answer(request)
    .catch((thrown: unknown) => ({ status: 500, body: { error: String(thrown) } }))
    .then(({ status, body }) => {
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    })
    .catch((thrown: unknown) => response.destroy(thrown as Error));
});
server.listen(port, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
