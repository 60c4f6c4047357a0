// A Pointsman that is restarted by successors, as one thing: whichever process serves now, what all of them have logged, and
// that none stays. Which process it is stands in the lock of the state file. For test/scenario/restart.test.ts.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext } from 'node:test';
import { stringify } from 'yaml';
import { MAIN } from './pointsman.ts';
import { until } from './wait.ts';

type Line = Record<string, unknown>;

export class Chain {
  readonly directory = mkdtempSync(join(tmpdir(), 'pointsman-chain-'));
  readonly file = join(this.directory, 'pointsman.yaml');
  readonly #lines: Line[] = [];
  readonly #pids = new Set<number>();

  constructor(t: TestContext) {
    t.after(() => this.#end());
  }

  /** `keys`: of the configuration, beside the state file. */
  configure(keys: object): void {
    writeFileSync(this.file, stringify({ state_file: join(this.directory, 'state.json'), ...keys }));
  }

  /** `command`: what runs the program and its arguments; left out, Node itself. */
  async start(env: NodeJS.ProcessEnv = {}, command: readonly string[] = []): Promise<void> {
    const [program = '', ...args] = [...command, ...(command.length === 0 ? this.program : [])];
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.#collect(child);
    if (child.pid !== undefined) this.#pids.add(child.pid);
    if (command.length === 0) await this.runs(1);
  }

  get program(): readonly string[] {
    return [process.execPath, MAIN, 'run', '-c', this.file];
  }

  /** Until that many have said that they run. */
  async runs(count: number): Promise<void> {
    const runs = (): boolean => this.count('pointsman runs') >= count;
    await until(`${count} to run`, runs, { deadlineMs: 120_000 }).catch((thrown: unknown) => {
      const said = this.#lines.slice(-20).map(line => JSON.stringify(line));
      throw new Error(`${String(thrown)}; it said:\n${said.join('\n')}`);
    });
    this.#pids.add(this.pid);
  }

  /** The one that serves. */
  get pid(): number {
    const lock = JSON.parse(readFileSync(join(this.directory, 'state.json.lock'), 'utf8')) as {
      process: { pid: number };
    };
    return lock.process.pid;
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name);
  }

  /** With the words given; without the ends of sessions of `web`, of which there are thousands. */
  lines(words: string): readonly Line[] {
    return this.#lines.filter(line => String(line['msg']).includes(words));
  }

  count(words: string): number {
    return this.lines(words).length;
  }

  #collect(child: ChildProcess): void {
    let rest = '';
    const take = (chunk: string): void => {
      const [...whole] = (rest + chunk).split('\n');
      rest = whole.pop() ?? '';
      for (const text of whole) {
        const line = text.startsWith('{') ? (JSON.parse(text) as Line) : { msg: text };
        if (line['frontend'] !== 'web' || !String(line['msg']).startsWith('session ended'))
          this.#lines.push(line);
      }
    };
    child.stdout?.setEncoding('utf8').on('data', take);
    child.stderr?.setEncoding('utf8').on('data', take);
  }

  async #end(): Promise<void> {
    for (const line of this.lines('has taken over')) this.#pids.add(Number(line['successor']));
    for (const pid of this.#pids) {
      kill(pid, 'SIGTERM');
      kill(pid, 'SIGINT');
    }
    await until('all of them to end', () => [...this.#pids].every(pid => !kill(pid, 0)));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Whether there was somebody to get it. */
export function kill(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false; // it is gone
  }
}
