// Client of the echo service in a process of its own. {idle: n} opens n connections and keeps them; {storm: n} opens n at
// once, each asks one question and leaves. One message, one answer; ends with its parent. Arguments: host and port.
// Started by scenarios/memory.ts and storm.ts.

import { connect, type Socket } from 'node:net';
import { quantile } from '../stats.ts';

const QUESTION = Buffer.from('0123456789abcdef');
/** Connections that the idle ones are opened with at a time. */
const AT_ONCE = 100;
const ANSWER_MAX_MS = 20_000;

const [host = '', port = ''] = process.argv.slice(2);
const kept: Socket[] = [];

export interface StormAnswer {
  /** From the first connection attempt to the last answer. */
  readonly ms: number;
  readonly p99Ms: number;
  readonly failed: number;
}

/** Connects and asks; resolves when the whole answer is there, rejects when it is wrong or doesn't come. */
function visit(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), noDelay: true });
    const fail = (why: string): void => {
      socket.destroy();
      reject(new Error(why));
    };
    let answer = '';
    socket.setTimeout(ANSWER_MAX_MS, () => fail('no answer in time'));
    socket.once('error', error => fail(error.message));
    socket.once('close', () => fail('closed before the answer'));
    socket.write(QUESTION);
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      if (answer.length < QUESTION.length) return;
      if (answer !== QUESTION.toString('latin1')) return fail('a wrong answer');
      socket.setTimeout(0);
      socket.removeAllListeners('error').on('error', () => undefined); // cut while idle: `reset` in echo-child.ts
      socket.removeAllListeners('close');
      resolve(socket);
    });
  });
}

async function idle(count: number): Promise<{ failed: number }> {
  let left = count;
  let failed = 0;
  const open = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await visit().then(
        socket => kept.push(socket),
        () => (failed += 1),
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, open));
  return { failed };
}

async function storm(count: number): Promise<StormAnswer> {
  const start = performance.now();
  const ends: number[] = [];
  let failed = 0;
  const one = async (): Promise<void> => {
    try {
      const socket = await visit();
      ends.push(performance.now() - start);
      socket.destroy();
    } catch {
      failed += 1; // counted: the scenario reports them
    }
  };
  await Promise.all(Array.from({ length: count }, one));
  const sorted = Float64Array.from(ends).sort();
  return { ms: sorted.at(-1) ?? NaN, p99Ms: quantile(sorted, 0.99), failed };
}

process.on('message', (message: { readonly idle?: number; readonly storm?: number }) => {
  const work = message.idle !== undefined ? idle(message.idle) : storm(message.storm ?? 0);
  void work.then(answer => process.send?.(answer));
});
process.once('disconnect', () => process.exit());
