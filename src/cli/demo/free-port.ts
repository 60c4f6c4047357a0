// Ports for servers that are started for a while: the demo's, and those of the tests.
// Not for our own listeners, which take port 0: a server that is killed and started again needs the same port twice, and
// meanwhile no other program must be given it.

import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/** Below the ports that systems give out by themselves (Linux: from 32768, IANA: from 49152). */
const FIRST = 10_000;
const LAST = 31_999;
const PER_PROCESS = 200;

let taken = 0;
let share: Promise<number> | null = null;

/** A port that nobody listens on now: the next of this process's own share, so that two processes get different ones. */
export async function freePort(): Promise<number> {
  share ??= takeShare();
  const first = await share;
  for (let tries = 0; tries < PER_PROCESS; tries += 1) {
    const port = first + (taken % PER_PROCESS);
    taken += 1;
    const server = await listen(port);
    if (server === null) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
  throw new RangeError(`no free port from ${first} to ${first + PER_PROCESS - 1}`);
}

/** A share is whose process listens on the port below it, and that for as long as it lives. Returns the share's first port. */
async function takeShare(): Promise<number> {
  const shares = Math.floor((LAST + 1 - FIRST) / (PER_PROCESS + 1));
  for (let tries = 0; tries < shares; tries += 1) {
    const mark = FIRST + ((process.pid + tries) % shares) * (PER_PROCESS + 1);
    const server = await listen(mark);
    if (server === null) continue;
    server.on('connection', socket => socket.destroy()).unref();
    return mark + 1;
  }
  throw new RangeError(`${shares} processes have taken all ports from ${FIRST} to ${LAST}`);
}

/** `null`: somebody else does. */
async function listen(port: number): Promise<Server | null> {
  const server = createServer().listen(port, '127.0.0.1');
  return once(server, 'listening').then(
    () => server,
    () => null, // taken: the next one may not be
  );
}
