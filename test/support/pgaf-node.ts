// One program of a pg_auto_failover cluster: a `pg_autoctl` with the PostgreSQL it keeps, the monitor's or a node's.
// It is started, killed and frozen with all its processes, as a machine would be. Used by pgaf-cluster.ts.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Client, type QueryResultRow } from 'pg';
import { type Address } from '../../src/core/address.ts';
import { chownTree, type PostgresBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { isAlive, signal } from '../../src/cli/demo/postgres-processes.ts';
import { until } from './wait.ts';

const PG_AUTOCTL = '/usr/bin/pg_autoctl';
const STOP_MAX_MS = 20_000;

export interface KeptOptions {
  readonly name: string;
  /** Its own; made below the cluster's. */
  readonly directory: string;
  readonly port: number;
  readonly binaries: PostgresBinaries;
  readonly database: string;
}

/** A PostgreSQL that a `pg_autoctl` keeps running. */
export class KeptPostgres {
  readonly name: string;
  readonly port: number;
  readonly address: Address;
  readonly #options: KeptOptions;
  #child: ChildProcess | null = null;
  readonly #endAtExit = (): void => {
    this.#signalAll('SIGKILL');
  };

  constructor(options: KeptOptions) {
    this.name = options.name;
    this.port = options.port;
    this.address = { host: '127.0.0.1', port: options.port };
    this.#options = options;
    if (!existsSync(PG_AUTOCTL)) {
      throw new Error(`${PG_AUTOCTL} is missing; run: apt-get install pg-auto-failover-cli`);
    }
    mkdirSync(options.directory);
    chownTree(options.directory, options.binaries.owner);
  }

  get dataDirectory(): string {
    return join(this.#options.directory, 'data');
  }

  /** A new, empty cluster with these settings, before `create`; else `pg_autoctl` makes one sized for the whole machine. */
  async initialize(settings: Readonly<Record<string, string>>): Promise<void> {
    const { binaries, directory } = this.#options;
    const log = openSync(join(directory, 'log'), 'a');
    const initdb = spawn(
      join(binaries.bin, 'initdb'),
      ['-D', this.dataDirectory, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
      { ...this.#spawnOptions(), stdio: ['ignore', log, log] },
    );
    closeSync(log);
    const [code] = (await once(initdb, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`initdb of ${this.name} ended with ${code}:\n${this.logText()}`);
    const lines = Object.entries(settings).map(([key, value]) => `${key} = '${value}'\n`);
    appendFileSync(join(this.dataDirectory, 'postgresql.conf'), lines.join(''));
  }

  /** Makes it known to the cluster and goes on to run it; returns at once. */
  create(kind: 'monitor' | 'postgres', options: readonly string[]): void {
    const { binaries } = this.#options;
    const common = ['--pgdata', this.dataDirectory, '--pgport', String(this.port), '--hostname', '127.0.0.1'];
    const auth = ['--auth', 'trust', '--no-ssl', '--pgctl', join(binaries.bin, 'pg_ctl'), '--run'];
    this.#spawn(['create', kind, ...common, ...auth, ...options]);
  }

  /** Again, after a kill. Returns at once. */
  start(): void {
    this.#spawn(['run', '--pgdata', this.dataDirectory]);
  }

  /** kill -9 of every process, as when a machine loses power; resolves when all are gone. */
  async kill(): Promise<void> {
    const killed = this.#signalAll('SIGKILL');
    await until(`${this.name} to be gone`, () => !killed.some(isAlive), { deadlineMs: STOP_MAX_MS });
    this.#child = null;
  }

  /** kill -9 of the postmaster alone: its `pg_autoctl` will start it again. */
  killPostmaster(): void {
    const pid = Number(readFileSync(join(this.dataDirectory, 'postmaster.pid'), 'utf8').split('\n')[0]);
    signal(pid, 'SIGKILL');
  }

  /** Stops every process where it stands: sockets stay open, nobody answers. */
  freeze(): void {
    this.#signalAll('SIGSTOP');
  }

  thaw(): void {
    this.#signalAll('SIGCONT');
  }

  /** Rows of one query on a connection of its own. */
  async query<Row extends QueryResultRow = QueryResultRow>(
    sql: string,
    values: unknown[] = [],
    timeoutMs = 10_000,
  ): Promise<Row[]> {
    const client = new Client({
      ...this.address,
      user: 'postgres',
      database: this.#options.database,
      connectionTimeoutMillis: timeoutMs,
      query_timeout: timeoutMs,
    });
    client.on('error', () => undefined); // a server killed amid a query; the query rejects by itself
    try {
      await client.connect();
      return (await client.query<Row>(sql, values)).rows;
    } finally {
      await client.end().catch(() => undefined); // it is being thrown away either way
    }
  }

  /** All that `pg_autoctl` has logged. */
  logText(): string {
    const path = join(this.#options.directory, 'log');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** Ends every process. */
  async end(): Promise<void> {
    if (this.#child !== null) await this.kill();
  }

  /** Runs a `pg_autoctl` command to its end, with this one's files. */
  async autoctl(...args: readonly string[]): Promise<void> {
    const child = spawn(PG_AUTOCTL, args, { ...this.#spawnOptions(), stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    }
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`pg_autoctl ${args.join(' ')} ended with ${code}:\n${output}`);
  }

  /** A `pg_autoctl` command that whoever may become another user can run, given `commandEnvironment`. */
  autoctlCommand(args: readonly string[]): readonly string[] {
    const { uid, gid } = this.#options.binaries.owner ?? {};
    const become =
      uid === undefined || gid === undefined
        ? []
        : ['/usr/bin/setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
    return [...become, PG_AUTOCTL, ...args];
  }

  commandEnvironment(): Readonly<Record<string, string>> {
    const { directory } = this.#options;
    return {
      HOME: directory,
      XDG_CONFIG_HOME: directory,
      XDG_DATA_HOME: directory,
      XDG_RUNTIME_DIR: directory,
    };
  }

  #spawn(args: readonly string[]): void {
    if (this.#child !== null) throw new Error(`${this.name} runs already`);
    const log = openSync(join(this.#options.directory, 'log'), 'a');
    // setpriv (util-linux): it ends itself even where this process is killed.
    const child = spawn('/usr/bin/setpriv', ['--pdeathsig', 'TERM', PG_AUTOCTL, ...args], {
      ...this.#spawnOptions(),
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    process.on('exit', this.#endAtExit);
    child.once('error', () => undefined); // a program that can't be run is missed by whoever waits for its state
    child.once('exit', () => {
      process.off('exit', this.#endAtExit);
    });
  }

  #spawnOptions(): { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number } {
    const { directory, binaries } = this.#options;
    const env = {
      ...process.env,
      ...binaries.env,
      LC_ALL: 'C',
      PATH: `${binaries.bin}:${process.env['PATH'] ?? ''}`,
      HOME: directory,
      XDG_CONFIG_HOME: directory,
      XDG_DATA_HOME: directory,
      XDG_RUNTIME_DIR: directory,
    };
    return { cwd: directory, env, ...binaries.owner };
  }

  /** Parents first, and again until no new child turns up. Returns them all. */
  #signalAll(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): readonly number[] {
    const root = this.#child?.pid;
    if (root === undefined) return [];
    const found = new Set<number>();
    // Stopped before they are killed: who is stopped forks no more, and a killed parent could not be asked for its children.
    const first = name === 'SIGKILL' ? 'SIGSTOP' : name;
    for (;;) {
      const fresh = treeOf(root).filter(pid => !found.has(pid));
      if (fresh.length === 0) break;
      for (const pid of fresh) {
        found.add(pid);
        signal(pid, first);
      }
    }
    if (name === 'SIGKILL') for (const pid of found) signal(pid, name);
    return [...found];
  }
}

/** A process and all below it, from one look at /proc. */
function treeOf(root: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    const parent = /^\d+$/.test(entry) ? parentOf(entry) : null;
    if (parent !== null) children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

function parentOf(pid: string): number | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return null; // the process has ended between the listing and the reading
  }
}
