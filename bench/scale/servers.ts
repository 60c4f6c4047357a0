// The made-up Redis servers as seen by the bench: their addresses, how they are told to fail over, and their end. They run in a
// process of their own (redis-servers.ts). Used by real-fleet.ts.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Address } from '../../src/core/address.ts';

/** Of each backend. */
export const SERVERS = 3;

export type Command =
  | { readonly kind: 'start'; readonly backends: number; readonly port: number }
  | { readonly kind: 'fail-over'; readonly indexes: readonly number[]; readonly crash: boolean }
  | { readonly kind: 'revive' };

/** When each backend of a `fail-over` did so: milliseconds since the epoch, with fractions. */
export interface Done {
  readonly times: readonly number[];
  readonly failure?: string;
}

export interface RedisServers {
  failOver(indexes: readonly number[], crash: boolean): Promise<readonly number[]>;
  /** Those that crashed listen again, as replicas. */
  revive(): Promise<void>;
  stop(): Promise<void>;
}

/** Each server has an address of its own in 127/8, all on one port. */
export const addressOf = (index: number, member: number, port: number): Address => ({
  host: `127.${100 + member}.${Math.floor(index / 250)}.${1 + (index % 250)}`,
  port,
});

/** As its INFO says; 40 characters. */
export const runIdOf = (index: number, member: number): string =>
  `${member}f${index.toString(16)}`.padStart(40, 'c');

export async function startRedisServers(backends: number, port: number): Promise<RedisServers> {
  const child = fork(fileURLToPath(new URL('./redis-servers.js', import.meta.url)));
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = once(child, 'exit').then(() => void process.off('exit', kill));
  const tell = async (command: Command): Promise<readonly number[]> => {
    const answered = once(child, 'message') as Promise<[Done]>;
    child.send(command);
    const early = ended.then(() => Promise.reject(new Error('the made-up servers have ended')));
    const [{ times, failure }] = await Promise.race([answered, early]);
    if (failure !== undefined) throw new Error(`the made-up servers: ${failure}`);
    return times;
  };
  const stop = async (): Promise<void> => {
    kill();
    await ended;
  };
  try {
    await tell({ kind: 'start', backends, port });
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  return {
    failOver: (indexes, crash) => tell({ kind: 'fail-over', indexes, crash }),
    revive: async () => void (await tell({ kind: 'revive' })),
    stop,
  };
}
