// The check agent that HAProxy needs beside it: answers 200 while its PostgreSQL server takes writes, else 503.
// A thread of the bench, so that the bench's own writers don't delay its answers. Started and ended by haproxy.ts;
// tells its port in its first message.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { Client } from 'pg';
import { type WriterTarget } from '../../src/cli/demo/ledger-writer.ts';

/** HAProxy itself gives up after its `inter`; this is when a session that doesn't answer is replaced. */
const ANSWER_MAX_MS = 1000;
const QUESTION = `SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS writable`;

const target = workerData as WriterTarget;
let session: Client | null = null;
let asking: Promise<boolean> | null = null;

function forget(client: Client): void {
  if (session === client) session = null;
}

async function connected(): Promise<Client> {
  if (session !== null) return session;
  const client = new Client({
    ...target,
    connectionTimeoutMillis: ANSWER_MAX_MS,
    query_timeout: ANSWER_MAX_MS,
  });
  // a server that dies between two questions; the next question connects anew
  client.on('error', () => forget(client));
  client.on('end', () => forget(client));
  await client.connect();
  session = client;
  return client;
}

async function ask(): Promise<boolean> {
  let client: Client | null = null;
  try {
    client = await connected();
    return (await client.query<{ writable: boolean }>(QUESTION)).rows[0]?.writable === true;
  } catch {
    // whatever the reason: a server that can't be asked is not known to be writable, and 503 says so
    if (client !== null) {
      forget(client);
      client.end().catch(() => undefined); // it is being thrown away
    }
    return false;
  }
}

const server = createServer((_request, response) => {
  asking ??= ask().finally(() => (asking = null));
  void asking.then(writable => response.writeHead(writable ? 200 : 503).end());
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
parentPort?.postMessage((server.address() as AddressInfo).port);
