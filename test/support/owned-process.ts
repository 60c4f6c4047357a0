// A server program that is started, killed and started again by a test, with its output in a file.
// It ends with the test at the latest: with the process that owns it, however that ends.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { type PostgresBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { signal } from '../../src/cli/demo/postgres-processes.ts';

interface OwnedOptions {
  readonly log: string;
  readonly owner: PostgresBinaries['owner'];
  readonly env?: NodeJS.ProcessEnv;
}

export class OwnedProcess {
  readonly #program: string;
  readonly #args: readonly string[];
  readonly #options: OwnedOptions;
  #child: ChildProcess | null = null;
  readonly #endAtExit = (): void => this.signal('SIGKILL');

  constructor(program: string, args: readonly string[], options: OwnedOptions) {
    this.#program = program;
    this.#args = args;
    this.#options = options;
  }

  start(): void {
    if (this.#child !== null) throw new Error(`${this.#program} runs already`);
    const { log, owner, env } = this.#options;
    const output = openSync(log, 'a');
    // setpriv (util-linux): ended even where this process is killed itself.
    const child = spawn('/usr/bin/setpriv', ['--pdeathsig', 'TERM', this.#program, ...this.#args], {
      cwd: '/',
      env: { ...process.env, LC_ALL: 'C', ...env },
      stdio: ['ignore', output, output],
      detached: true,
      ...owner,
    });
    closeSync(output);
    this.#child = child;
    process.on('exit', this.#endAtExit);
    const ended = (): void => {
      if (this.#child !== child) return;
      this.#child = null;
      process.off('exit', this.#endAtExit);
    };
    child.once('error', ended); // a program that can't be run is missed by whoever waits for its answer
    child.once('exit', ended);
  }

  /** Nothing happens where it doesn't run. */
  signal(name: NodeJS.Signals): void {
    if (this.#child?.pid !== undefined) signal(this.#child.pid, name);
  }

  /** kill -9, and waits until it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const exited = once(child, 'exit');
    this.signal('SIGKILL');
    await exited;
  }

  logText(): string {
    return existsSync(this.#options.log) ? readFileSync(this.#options.log, 'utf8') : '';
  }
}
