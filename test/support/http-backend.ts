// A real HTTP application as a process of its own: GET /health, and POST /register {"name": …}, which inserts a row into
// `users` through a pool of database connections. Can be killed, frozen and started again on its port.
// Needs a table such as USERS_TABLE, made by whoever has the database. Its health doesn't depend on the database.

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Address } from '../../src/core/address.ts';

const APP = fileURLToPath(new URL('./http-backend-app.js', import.meta.url));

export const USERS_TABLE =
  'create table users (id bigint primary key auto_increment, name varchar(255) not null)';

/** As mysql2's `createPool` takes it. */
export interface BackendDatabase {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly connectionLimit?: number;
  /** How long an unused connection stays in the pool. */
  readonly idleTimeout?: number;
}

/** Passed to the process as its argument. */
export interface BackendSetup {
  /** It calls itself so in every answer. */
  readonly name: string;
  /** 0: the system chooses one, which is kept from then on. */
  readonly port: number;
  /** `null`: /register answers 503. */
  readonly database: BackendDatabase | null;
}

export class HttpBackend {
  #setup: BackendSetup;
  #child: ChildProcess | null = null;
  readonly #endAtExit = (): void => void this.#child?.kill('SIGKILL');

  constructor(setup: BackendSetup) {
    this.#setup = setup;
  }

  get name(): string {
    return this.#setup.name;
  }

  get address(): Address {
    return { host: '127.0.0.1', port: this.#setup.port };
  }

  get url(): string {
    return `http://127.0.0.1:${this.#setup.port}`;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    if (this.#child !== null) throw new Error(`${this.name} runs already`);
    const child = fork(APP, [JSON.stringify(this.#setup)], { execArgv: ['--enable-source-maps'] });
    this.#child = child;
    process.once('exit', this.#endAtExit);
    const gone = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`${this.name} ended: ${String(code ?? signal)}`);
    });
    const [port] = (await Promise.race([once(child, 'message'), gone])) as [number];
    gone.catch(() => undefined); // from here on its end is the test's doing
    this.#setup = { ...this.#setup, port };
  }

  /** Ends it at once (kill -9): its sockets are closed by the kernel. Harmless when it doesn't run. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    process.off('exit', this.#endAtExit);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** SIGSTOP: connections are still accepted by the kernel, and nobody answers. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }
}

/** A started one that is gone after the test. */
export async function startHttpBackend(
  t: TestContext,
  { name, port = 0, database = null }: Partial<BackendSetup> & { readonly name: string },
): Promise<HttpBackend> {
  const backend = new HttpBackend({ name, port, database });
  t.after(() => backend.kill());
  await backend.start();
  return backend;
}
