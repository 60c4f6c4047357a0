// Before anything is measured: does every proxy hand on the very bytes, both ways? A figure of one that doesn't is worth
// nothing, so a mismatch stops the bench. Called by run.ts for each contender.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { Client } from 'pg';
import { type Address } from '../../src/core/address.ts';
import { within } from '../../test/support/wait.ts';
import { type Addresses, type ServiceName } from './model.ts';
import { HTTP_BODY } from './peers/nginx-http.ts';
import { PGBENCH_SCALE } from './peers/postgres.ts';

const CHECK_MAX_MS = 30_000;
const ECHO_BYTES = 8 << 20;
const ECHO_AT_ONCE = 4;
const SQL_BYTES = 1 << 20;
const ROWS_PER_SCALE = 100_000;

const checks: Readonly<Record<ServiceName, ((at: Address) => Promise<void>) | null>> = {
  pg: checkPostgres,
  http: checkHttp,
  echo: checkEcho,
  bulk: null, // iperf3's bytes carry no mark; `echo` goes through the same code
};

/** Throws with the name of the service whose bytes came back wrong, or not at all. */
export async function checkBytes(ports: Addresses): Promise<void> {
  for (const [service, at] of ports) {
    const check = checks[service];
    if (check === null) continue;
    try {
      await within('the right bytes', CHECK_MAX_MS, check(at));
    } catch (cause) {
      throw new Error(`${service}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }
}

async function checkPostgres({ host, port }: Address): Promise<void> {
  const client = new Client({ host, port, user: 'postgres', database: 'postgres' });
  await client.connect();
  try {
    const { rows: counted } = await client.query<{ rows: number; sum: string }>(
      'SELECT count(*)::int AS rows, sum(aid)::text AS sum FROM pgbench_accounts',
    );
    const rows = PGBENCH_SCALE * ROWS_PER_SCALE;
    same('pgbench_accounts', `${counted[0]?.rows} ${counted[0]?.sum}`, `${rows} ${(rows * (rows + 1)) / 2}`);
    const sent = randomBytes(SQL_BYTES).toString('hex');
    const { rows: echoed } = await client.query<{ text: string }>('SELECT $1::text AS text', [sent]);
    same('a value of 2 MiB', hash(echoed[0]?.text ?? ''), hash(sent));
  } finally {
    await client.end();
  }
}

async function checkHttp({ host, port }: Address): Promise<void> {
  const response = await fetch(`http://${host}:${port}/`);
  same('the answer', `${response.status} ${await response.text()}`, `200 ${HTTP_BODY}`);
}

async function checkEcho(at: Address): Promise<void> {
  await Promise.all(Array.from({ length: ECHO_AT_ONCE }, () => echo(at)));
}

/** Sends and receives at the same time; the connection stays open until all is back. */
async function echo({ host, port }: Address): Promise<void> {
  const sent = randomBytes(ECHO_BYTES);
  const received = createHash('sha256');
  let missing = ECHO_BYTES;
  const socket = connect({ host, port });
  const back = new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => {
      received.update(chunk);
      missing -= chunk.length;
      if (missing <= 0) resolve();
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`closed with ${missing} bytes missing`)));
  });
  try {
    await Promise.race([once(socket, 'connect'), back]);
    socket.write(sent);
    await back;
    same('8 MiB through the echo', `${missing} ${received.digest('hex')}`, `0 ${hash(sent)}`);
  } finally {
    socket.destroy();
  }
}

const hash = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

function same(what: string, got: string, expected: string): void {
  if (got !== expected) throw new Error(`${what}: ${got.slice(0, 300)} instead of ${expected.slice(0, 300)}`);
}
