// A program that users have, run to its end: what it wrote, and its exit code. For the tests with clients of other makers.

import { spawn, type ChildProcess } from 'node:child_process';

/** A program that still runs then hangs: it is killed, and `code` is null. */
const LONGEST_MS = 60_000;

export interface Ended {
  /** `null`: ended by a signal. */
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

export interface ProgramOptions {
  /** Beside our own. */
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: Buffer | string;
  /** Don't read its output yet: the caller does, with `child.stdout`. */
  readonly unread?: boolean;
}

/** `ended` rejects when there is no such program. */
export function start(
  program: string,
  args: readonly string[],
  { env, input, unread = false }: ProgramOptions = {},
): Running {
  const child = spawn(program, args, {
    env: { ...process.env, LC_ALL: 'C', ...env },
    timeout: LONGEST_MS,
    killSignal: 'SIGKILL',
  });
  const chunks: Buffer[] = [];
  let stderr = '';
  if (!unread) child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  child.stdin.on('error', () => undefined); // a program that ended early: its exit code tells
  child.stdin.end(input);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', code => resolve({ code, stdout: Buffer.concat(chunks), stderr }));
  });
  return { child, ended };
}

/** The same, to its end. */
export const run = (program: string, args: readonly string[], options: ProgramOptions = {}): Promise<Ended> =>
  start(program, args, options).ended;
