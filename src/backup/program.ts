// Runs a program of the database's maker (pg_dump, psql, mariadb …) by its arguments, without a shell, to its end: with a
// deadline, with what it reads and writes as streams, and with its complaint as one line. Nothing here knows what it does.
// Secrets never stand in its arguments, which everybody on the machine can read. Called by dump.ts, restore.ts, verify.ts.

import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Clock } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';
import { PROGRAM_TEXT_MAX_BYTES, truncate } from '../core/limits.ts';

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** Beside the few that every program gets. */
  readonly env: Readonly<Record<string, string>>;
}

export interface ProgramDeps {
  readonly clock: Clock;
  /** Our own; of it a program gets what it needs to run, and none of our secrets. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Ends the program, and with it the call. */
  readonly signal?: AbortSignal;
  readonly timeoutMs: number;
}

export interface Plumbing {
  /** What it reads. Default: nothing. */
  readonly input?: Readable | string;
  /** Where its output goes; ended with it. Default: into the answer, as text, up to a bound. */
  readonly output?: Writable;
}

/** Thrown by whatever runs programs: a sentence that says which one failed, and its own last words. */
export class ProgramFailure extends Error {}

/** Between a polite end and the other one. */
const KILL_AFTER_MS = 5000;

const passedOn =
  /^(PATH|HOME|TMPDIR|TZ|LANG|LD_LIBRARY_PATH|SSL_CERT_FILE|SSL_CERT_DIR|PGSSL\w*|PGSYSCONFDIR)$/;

export function environmentFor(
  { env }: Pick<ProgramDeps, 'env'>,
  more: Command['env'],
): Record<string, string> {
  const ours = Object.entries(env).filter(
    (entry): entry is [string, string] => passedOn.test(entry[0]) && entry[1] !== undefined,
  );
  return { ...Object.fromEntries(ours), LC_ALL: 'C', ...more };
}

/** The first of these programs that there is; the first name if there is none, so that the error names it. */
export function installed(
  names: readonly [string, ...string[]],
  directory: string | null,
  { env }: Pick<ProgramDeps, 'env'>,
): string {
  const places = directory === null ? (env['PATH'] ?? '').split(delimiter) : [directory];
  const found = names.flatMap(name => places.map(place => join(place, name))).find(isProgram);
  return found ?? (directory === null ? names[0] : join(directory, names[0]));
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // the next place may have it
  }
}

/** What it wrote to its output, if that went nowhere else. Rejects with a `ProgramFailure` unless it ends with 0. */
export async function runProgram(
  { program, args, env }: Command,
  { input, output }: Plumbing,
  deps: ProgramDeps,
): Promise<string> {
  const { clock, signal, timeoutMs } = deps;
  if (signal?.aborted === true) throw new ProgramFailure(`${program}: not started: Pointsman ends`);
  const child = spawn(program, args, {
    env: environmentFor(deps, env),
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own: a signal of a terminal is for Pointsman, which ends it in its own time.
    detached: true,
  });
  let ending: string | null = null;
  let kill = clock.schedule(timeoutMs, () => end(`took longer than ${timeoutMs} ms`));
  function end(why: string): void {
    ending ??= why;
    kill.cancel();
    child.kill('SIGTERM');
    kill = clock.schedule(KILL_AFTER_MS, () => child.kill('SIGKILL'));
  }
  const abort = (): void => end('was ended: Pointsman ends');
  signal?.addEventListener('abort', abort, { once: true });

  const said = new Gathered();
  const complaint = new Gathered();
  const ended = new Promise<string | null>(resolve => {
    child.once('error', error =>
      resolve(describeError(error).code === 'ENOENT' ? 'there is no such program' : error.message),
    );
    child.once('close', (code, by) =>
      resolve(code === 0 ? null : by === null ? `ended with ${code}` : `ended by ${by}`),
    );
  });
  // A program that ends early leaves its input unread: how it ended is what counts.
  const fed = pipeline(
    typeof input === 'string' ? Readable.from([input]) : (input ?? Readable.from([])),
    child.stdin,
  ).then(
    () => null,
    (thrown: unknown) => describeError(thrown),
  );
  const drained = [pipeline(child.stdout, output ?? said), pipeline(child.stderr, complaint)].map(flow =>
    flow.then(
      () => null,
      (thrown: unknown) => {
        end('could not be read');
        return describeError(thrown).message;
      },
    ),
  );
  try {
    const how = await ended;
    const lost = (await Promise.all(drained)).find(message => message !== null) ?? null;
    const starved = await fed;
    const words = complaint.text().trim();
    if (lost !== null) throw new ProgramFailure(`${program}: its output could not be written: ${lost}`);
    if (how !== null || ending !== null)
      throw new ProgramFailure(failure(program, ending ?? how ?? '', words));
    if (starved !== null && starved.code !== 'EPIPE') {
      throw new ProgramFailure(`${program}: its input could not be read: ${starved.message}`);
    }
    return said.text();
  } finally {
    kill.cancel();
    signal?.removeEventListener('abort', abort);
  }
}

/** The last line is where programs say what they died of. */
function failure(program: string, how: string, words: string): string {
  const lines = words.split('\n').filter(line => line.trim() !== '');
  return `${program} ${how}${lines.length === 0 ? '' : `: ${truncate(lines.slice(-3).join(' · '))}`}`;
}

/** Keeps the end of what is written, up to a bound. */
class Gathered extends Writable {
  #text = Buffer.alloc(0);

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#text = Buffer.concat([this.#text, chunk]).subarray(-PROGRAM_TEXT_MAX_BYTES);
    done();
  }

  text(): string {
    return this.#text.toString();
  }
}
