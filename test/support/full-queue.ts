// A TCP server whose accept queue is full: the kernel drops what else wants to connect, as if nobody were there.
// A process of its own that is stopped (SIGSTOP) and resumed, since a Node.js server accepts whatever comes.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { type TestContext } from 'node:test';
import { type Address } from '../../src/core/address.ts';

const LISTEN =
  "require('net').createServer(s => s.on('error', () => {}).resume())" +
  ".listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () { console.log(this.address().port) })";
/** On loopback a connection that is accepted at all is accepted at once. */
const QUIET_MS = 300;
const FILLERS_MAX = 64;

export interface FullQueue {
  readonly address: Address;
  /** The server accepts again, and all who waited. */
  resume(): void;
}

/** Ended with the test, whatever its state. */
export async function fullQueue(t: TestContext): Promise<FullQueue> {
  const child = spawn(process.execPath, ['-e', LISTEN], { stdio: ['ignore', 'pipe', 'inherit'] });
  const fillers: Socket[] = [];
  t.after(async () => {
    for (const filler of fillers) filler.destroy();
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const address = { host: '127.0.0.1', port: Number(line) };
  child.kill('SIGSTOP');
  let full = false;
  while (!full && fillers.length < FILLERS_MAX) {
    const filler = connect(address);
    fillers.push(filler);
    filler.on('error', () => undefined); // reset when the test ends
    full = await new Promise<boolean>(resolve => {
      const quiet = setTimeout(() => resolve(true), QUIET_MS);
      filler.once('connect', () => {
        clearTimeout(quiet);
        resolve(false);
      });
    });
  }
  if (!full) throw new Error(`the queue took ${FILLERS_MAX} connections`);
  return { address, resume: () => void child.kill('SIGCONT') };
}
