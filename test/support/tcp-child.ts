// Starts tcp-proxy-child.ts with a number of descriptors of its own, and asks it how it is.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Address } from '../../src/core/address.ts';
import { type Engine } from './tcp-proxy.ts';

const SCRIPT = fileURLToPath(new URL('./tcp-proxy-child.js', import.meta.url));

const LOADING_DESCRIPTORS = 1024;

/** Passed to the child as its argument. */
export interface ChildSetup {
  readonly engine: Engine;
  readonly server: number | null;
}

export interface ChildReport {
  readonly connections: number;
  readonly sessions: number;
  readonly held: number;
  /** How often each line of the diary was written. */
  readonly counts: Readonly<Record<string, number>>;
}

export interface ProxyChild {
  readonly address: Address;
  alive(): boolean;
  report(): Promise<ChildReport>;
}

/** `server`: a port on loopback; null: there is none, and clients wait. */
export async function startProxyChild(
  t: TestContext,
  {
    engine,
    descriptors,
    server,
  }: {
    readonly engine: Engine;
    readonly descriptors: number;
    readonly server: number | null;
  },
): Promise<ProxyChild> {
  const setup: ChildSetup = { engine, server };
  // As many as it may have later: Node reads more modules at once than a small limit lets it open.
  const command = `ulimit -n ${Math.max(descriptors, LOADING_DESCRIPTORS)} && exec "$0" --enable-source-maps "$@"`;
  const child = spawn('sh', ['-c', command, process.execPath, SCRIPT, JSON.stringify(setup)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const answer = async (): Promise<unknown> => {
    const ended = exited.then(([code]) => Promise.reject(new Error(`the proxy ended: ${String(code)}`)));
    const [message] = (await Promise.race([once(child, 'message'), ended])) as [unknown];
    return message;
  };
  const port = (await answer()) as number;
  const limited = spawnSync('prlimit', ['--pid', String(child.pid), `--nofile=${descriptors}`]);
  assert.equal(limited.status, 0, String(limited.stderr));
  return {
    address: { host: '127.0.0.1', port },
    alive: () => child.exitCode === null && child.signalCode === null,
    async report() {
      const coming = answer();
      child.send('report');
      return (await coming) as ChildReport;
    },
  };
}
