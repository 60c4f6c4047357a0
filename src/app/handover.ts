// The end of this process as far as its ports go: starts the same program with them, gives it the state, and waits until it
// says that it is ready. Until then nothing has changed; if it never is, all goes on as before. The successor's side is
// predecessor.ts, what it inherits inherited.ts. Called by app.ts.

import { spawn, type ChildProcess } from 'node:child_process';
import { type Clock } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';
import { truncate } from '../core/limits.ts';
import { type ListeningSocket } from '../proxy/driver.ts';
import { HANDOVER_ENV, type HandoverNote } from './inherited.ts';
import { type FromSuccessor, type ToSuccessor } from './predecessor.ts';

/** Starting takes a second and a round of probes some more; on a machine that is busy far beyond its means, many times that. */
const READY_MAX_MS = 60_000;

export type Succession =
  { readonly ok: true; readonly pid: number } | { readonly ok: false; readonly why: string };

interface HandedSocket extends ListeningSocket {
  readonly isKept: boolean;
}

export interface Estate {
  sockets(): readonly HandedSocket[];
  /** Lends it what only one process may have, and returns the state as text. */
  lend(): Promise<string>;
  /** It failed, and is gone. */
  takeBack(): void;
}

/** Never rejects. `takenOver` is called in the same turn in which the successor is heard, and before it hears of that. */
export async function findSuccessor(
  { sockets, lend, takeBack }: Estate,
  clock: Clock,
  takenOver: (pid: number) => void,
): Promise<Succession> {
  let lent = false;
  const child = start(sockets());
  const exited = new Promise<string>(resolve => {
    child.once('error', thrown => resolve(`it could not be started: ${describeError(thrown).message}`));
    child.once('exit', (code, signal) =>
      resolve(`it ended before it was ready (${signal ?? `exit code ${code}`})`),
    );
  });
  const why = await new Promise<string | null>(resolve => {
    const timer = clock.schedule(READY_MAX_MS, () =>
      resolve(`it was not ready after ${READY_MAX_MS / 1000} s`),
    );
    let said: string | null = null;
    child.on('message', (message: FromSuccessor) => {
      switch (message.kind) {
        case 'claim':
          lent = true;
          lend().then(
            state => child.connected && child.send({ kind: 'state', state } satisfies ToSuccessor),
            thrown => resolve(`the state could not be given to it: ${describeError(thrown).message}`),
          );
          return;
        case 'failed':
          said = truncate(message.why);
          return;
        case 'ready':
          if (child.pid !== undefined) takenOver(child.pid);
          timer.cancel();
          resolve(null);
      }
    });
    void exited.then(end => {
      timer.cancel();
      resolve(said ?? end);
    });
  });
  if (why === null && child.pid !== undefined) {
    // It is on its own: neither keeps this process from ending.
    child.unref();
    if (child.connected) child.disconnect();
    return { ok: true, pid: child.pid };
  }
  child.kill('SIGKILL');
  await exited;
  if (lent) takeBack();
  return { ok: false, why: why ?? 'it has no process' };
}

/** The program on disk may be another by now. */
function start(sockets: readonly HandedSocket[]): ChildProcess {
  const note: HandoverNote = {
    parent: process.pid,
    sockets: sockets.map(({ name, address, isKept }) => ({ name, address, isKept })),
  };
  return spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    env: { ...process.env, [HANDOVER_ENV]: JSON.stringify(note) },
    stdio: ['inherit', 'inherit', 'inherit', ...sockets.map(({ fd }) => fd), 'ipc'],
  });
}
