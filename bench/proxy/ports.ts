// Ports for what the bench starts: chosen below the range that outgoing connections use, since thousands of these are
// open while a fresh proxy is started. Called by peers/ and contenders/.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { until } from '../../test/support/wait.ts';
import { type Server } from './children.ts';

const FIRST = 15_000;
const LAST = 32_000;
const LISTEN = '0A';

let next = FIRST + (process.pid % (LAST - FIRST));

/** A port of 127.0.0.1 that nobody listens on and that this run hasn't given out before. */
export async function takePort(): Promise<number> {
  for (let tried = FIRST; tried < LAST; tried += 1) {
    const port = next;
    next = next + 1 < LAST ? next + 1 : FIRST;
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${FIRST} and ${LAST}`);
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  probe.listen(port, '127.0.0.1');
  try {
    await once(probe, 'listening');
  } catch {
    return false; // in use, or not ours to bind: either way another one will do
  }
  probe.close();
  await once(probe, 'close');
  return true;
}

/** Waits until the server listens on the ports of 127.0.0.1, without connecting to them. */
export async function untilListening(server: Server, ports: readonly number[]): Promise<void> {
  await until(`${server.name} to listen`, () => {
    server.assertRunning();
    const listening = listeningPorts();
    return ports.every(port => listening.has(port));
  });
}

/** From /proc/net/tcp: `sl local_address rem_address st …`, address and port in hexadecimal. */
function listeningPorts(): ReadonlySet<number> {
  const found = new Set<number>();
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n')) {
    const [, local, , state] = line.trim().split(/\s+/);
    if (state === LISTEN && local !== undefined) found.add(Number.parseInt(local.split(':')[1] ?? '', 16));
  }
  return found;
}
