// Programs that steps run: each in a process group of its own, its output kept in part, ended with all it has started.
// Also finds what was left behind by a Pointsman that was killed: its steps go on without it otherwise.

import { spawn, type ChildProcess } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { type Clock } from '../../core/clock.ts';
import { describeError } from '../../core/errors.ts';
import { STEP_OUTPUT_MAX_BYTES } from '../../core/limits.ts';
import { type RunningStep, type StepResult } from '../model.ts';

/** What a process may take to end when it is asked to, before it is killed. */
const GRACE_MS = 5000;
const LEFTOVERS_LOOK_MS = 50;
/** In the environment of every process of a step: which step of which run. */
const MARK = 'POINTSMAN_STEP_KEY';

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Its standard input; left out: none. */
  readonly stdin?: string;
  /** What marks its processes. */
  readonly key: string;
}

/** Throws where there is no such process; a negative id means the group of that id. */
type Signal = (pid: number, name: NodeJS.Signals) => void;

export interface Surroundings {
  readonly clock: Clock;
  readonly signal: Signal;
}

export function runProgram(program: Program, surroundings: Surroundings): RunningStep {
  const { clock } = surroundings;
  let cancel: () => void = () => undefined;
  const done = new Promise<StepResult>(resolve => {
    const child = spawn(program.command, program.args, {
      env: { ...program.env, [MARK]: program.key },
      stdio: [program.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      // A group of its own: it is ended with all that it has started.
      detached: true,
    });
    const output = new Tail(STEP_OUTPUT_MAX_BYTES);
    child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => output.push(chunk));
    if (program.stdin !== undefined) feed(child, program.stdin, output, surroundings);
    cancel = () => endGroup(child, surroundings);
    const finish = (ok: boolean, detail: string): void => resolve({ ok, detail, output: output.text() });
    child.once('error', thrown =>
      finish(false, `${program.command} cannot be run: ${describeError(thrown).message}`),
    );
    child.once('exit', (code, signal) => {
      // What it has started in the background and wants to outlive it keeps its pipes open: that is not waited for.
      clock.afterInput(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        if (code === 0) finish(true, 'it ended with exit code 0');
        else finish(false, signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`);
      });
    });
  });
  return { done, cancel: () => cancel() };
}

function feed(child: ChildProcess, file: string, output: Tail, { signal }: Surroundings): void {
  const source = createReadStream(file);
  source.on('error', thrown => {
    output.push(Buffer.from(`${describeError(thrown).message}\n`));
    signalGroup(child, 'SIGKILL', signal);
  });
  // A program may end before it has read all of it: its exit code tells.
  child.stdin?.on('error', () => source.destroy());
  if (child.stdin !== null) source.pipe(child.stdin);
}

function endGroup(child: ChildProcess, { clock, signal }: Surroundings): void {
  signalGroup(child, 'SIGTERM', signal);
  const timer = clock.schedule(GRACE_MS, () => signalGroup(child, 'SIGKILL', signal));
  child.once('exit', () => {
    timer.cancel();
    signalGroup(child, 'SIGKILL', signal);
  });
}

function signalGroup({ pid }: ChildProcess, name: NodeJS.Signals, signal: Signal): void {
  if (pid === undefined) return;
  attempt(() => signal(-pid, name));
}

function attempt(act: () => void): void {
  try {
    act();
  } catch {
    // it has ended meanwhile, and nobody of its group is left
  }
}

/** The end of what was written: errors come last. */
class Tail {
  readonly #max: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #isCut = false;

  constructor(max: number) {
    this.#max = max;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes > this.#max && this.#chunks.length > 0) {
      const [first] = this.#chunks;
      const surplus = this.#bytes - this.#max;
      this.#isCut = true;
      if (first === undefined) return;
      if (first.length > surplus) this.#chunks[0] = first.subarray(surplus);
      else this.#chunks.shift();
      this.#bytes -= Math.min(surplus, first.length);
    }
  }

  text(): string {
    const text = Buffer.concat(this.#chunks).toString().trim();
    return this.#isCut ? `…${text}` : text;
  }
}

/** Ends what a killed Pointsman left running of the step with that key, and waits until it is gone. Linux only: /proc tells. */
export async function endLeftovers(key: string, { clock, signal }: Surroundings): Promise<number> {
  const first = await leftoversOf(key);
  if (first.length === 0) return 0;
  const until = clock.now() + GRACE_MS;
  let left = first;
  while (left.length > 0) {
    for (const pid of left) attempt(() => signal(pid, clock.now() < until ? 'SIGTERM' : 'SIGKILL'));
    await new Promise<void>(resolve => void clock.schedule(LEFTOVERS_LOOK_MS, resolve));
    left = await leftoversOf(key);
  }
  return first.length;
}

async function leftoversOf(key: string): Promise<readonly number[]> {
  const wanted = `${MARK}=${key}`;
  const found: number[] = [];
  for (const entry of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(entry)) continue;
    // Of other users, or ended meanwhile: not ours.
    const environment = await readFile(`/proc/${entry}/environ`, 'latin1').catch(() => '');
    if (environment.split('\0').includes(wanted)) found.push(Number(entry));
  }
  return found;
}
