// Ports for servers that are started for a while: the demo's, and those of the tests.
// Not for our own listeners, which take port 0: a server that is killed and started again needs the same port twice, and
// meanwhile no other program must be given it.

import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports that systems give out by themselves (Linux: from 32768, IANA: from 49152). */
const FIRST = 10_000;
const LAST = 31_999;
const PER_PROCESS = 200;

let taken = 0;

/** A port that nobody listens on now: the next of this process's own share, so that two processes get different ones. */
export async function freePort(): Promise<number> {
  const shares = Math.floor((LAST + 1 - FIRST) / PER_PROCESS);
  const first = FIRST + (process.pid % shares) * PER_PROCESS;
  for (let tries = 0; tries < PER_PROCESS; tries += 1) {
    const port = first + (taken % PER_PROCESS);
    taken += 1;
    if (await isFree(port)) return port;
  }
  throw new RangeError(`no free port from ${first} to ${first + PER_PROCESS - 1}`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  const listens = once(server, 'listening').then(
    () => true,
    () => false, // taken: the next one may not be
  );
  if (!(await listens)) return false;
  server.close();
  await once(server, 'close');
  return true;
}
