// The processes of the bench: servers, proxies, load generators. Every one is registered here from start to end, so that
// neither a failure nor Ctrl-C leaves one behind. Knows nothing of what they are. Owned by run.ts.

import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isAlive, signal, signalTree } from '../../src/cli/demo/postgres-processes.ts';
import { within } from '../../test/support/wait.ts';

const STOP_MAX_MS = 10_000;
const ANSWER_MAX_MS = 120_000;
const OUTPUT_MAX_CHARACTERS = 200_000;

export interface Server {
  readonly name: string;
  readonly pid: number;
  /** Throws with the end of its output when it is no longer there. */
  assertRunning(): void;
  /** SIGTERM, or the signals given; SIGKILL to it and its children after ten seconds. */
  stop(signals?: readonly NodeJS.Signals[]): Promise<void>;
}

export interface NodeServer extends Server {
  /** Sends a message and waits for the one that answers it; one question at a time. */
  ask<T>(message: object): Promise<T>;
}

export class Children {
  readonly #owned = new Set<ChildProcess>();
  #closed = false;

  constructor() {
    process.once('exit', () => this.#killAll());
  }

  /** Starts a server, which is to stay. Throws when the program can't be run at all. */
  async start(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<Server> {
    const child = await this.#spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    return this.#server(child, basename(command));
  }

  /** Starts one of the bench's own programs with a channel for questions. */
  async startNode(program: URL, args: readonly string[] = []): Promise<NodeServer> {
    const file = fileURLToPath(program);
    const child = await this.#spawn(process.execPath, [file, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const server = this.#server(child, basename(file, '.js'));
    return {
      ...server,
      ask: message => {
        server.assertRunning();
        return within(`${server.name} to answer`, ANSWER_MAX_MS, ask(child, server.name, message));
      },
    };
  }

  /** Runs a command to its end and returns what it wrote on stdout; throws unless it ends with 0 in time. */
  async run(
    command: string,
    args: readonly string[],
    maxMs: number,
    options: SpawnOptions = {},
  ): Promise<string> {
    const child = await this.#spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
    const errors = collect(child, ['stderr']);
    const name = basename(command);
    try {
      const [code, by] = (await within(`${name} to end`, maxMs, once(child, 'close'))) as [
        number | null,
        string,
      ];
      if (code !== 0) {
        throw new Error(`${name} ended with ${code ?? by}:\n${`${stdout.slice(-1000)}\n${errors()}`.trim()}`);
      }
      return stdout;
    } finally {
      child.kill('SIGKILL'); // nothing where it has ended
    }
  }

  /** Ends whatever is still there; nothing can be started any more. */
  async stopAll(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#owned].map(child => stop(child, ['SIGTERM', 'SIGINT'])));
  }

  async #spawn(command: string, args: readonly string[], options: SpawnOptions): Promise<ChildProcess> {
    if (this.#closed) throw new Error('the bench is ending');
    const child = spawn(command, args, options);
    this.#owned.add(child);
    child.once('exit', () => this.#owned.delete(child));
    try {
      await once(child, 'spawn'); // rejects when the program is missing
    } catch (thrown) {
      this.#owned.delete(child);
      throw thrown;
    }
    child.on('error', () => undefined); // a signal or a message that came too late; `exit` tells
    return child;
  }

  #server(child: ChildProcess, name: string): Server {
    const output = collect(child, ['stdout', 'stderr']);
    return {
      name,
      pid: child.pid ?? -1,
      assertRunning() {
        if (!ended(child)) return;
        throw new Error(
          `${name} ended with ${child.exitCode ?? child.signalCode}:\n${output().slice(-2000)}`,
        );
      },
      stop: (signals = ['SIGTERM']) => stop(child, signals),
    };
  }

  #killAll(): void {
    for (const { pid } of this.#owned) if (pid !== undefined && isAlive(pid)) signalTree(pid, 'SIGKILL');
  }
}

/** A child's answers come in the order of its questions, and there is only one of these at a time. */
function ask<T>(child: ChildProcess, name: string, message: object): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onExit = (): void => {
      child.off('message', onMessage);
      reject(new Error(`${name} ended amid a question`));
    };
    const onMessage = (answer: T): void => {
      child.off('exit', onExit);
      resolve(answer);
    };
    child.once('exit', onExit);
    child.once('message', onMessage);
    child.send(message);
  });
}

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

async function stop(child: ChildProcess, signals: readonly NodeJS.Signals[]): Promise<void> {
  const { pid } = child;
  if (pid === undefined || ended(child)) return;
  const exited = once(child, 'exit');
  for (const name of signals) signal(pid, name);
  const limit = setTimeout(() => signalTree(pid, 'SIGKILL'), STOP_MAX_MS);
  await exited;
  clearTimeout(limit);
}

/** Keeps the end of what a child writes. */
function collect(child: ChildProcess, streams: readonly ('stdout' | 'stderr')[]): () => string {
  let text = '';
  for (const name of streams) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk).slice(-OUTPUT_MAX_CHARACTERS);
    });
  }
  return () => text;
}
