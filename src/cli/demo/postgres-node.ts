// One real PostgreSQL server that can be started, frozen, killed and promoted.
// Not for production: its superuser is trusted on a local socket. Used by the demo, the integration tests and the benchmark.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Client, type QueryResultRow } from 'pg';
import { systemClock } from '../../core/clock.ts';
import { PointsmanError } from '../../core/errors.ts';
import { freePort } from './free-port.ts';
import { chownTree, makeServerDirectory, type PostgresBinaries } from './postgres-binaries.ts';
import { copyCold, copyHot } from './postgres-copy.ts';
import { childrenOf, isAlive, signal, signalTree } from './postgres-processes.ts';

const START_MAX_MS = 60_000;
const STOP_MAX_MS = 30_000;
const POLL_MS = 10;
/** Ends the server when its parent is gone without a goodbye; part of util-linux, so it is nearly always there. */
const SETPRIV = '/usr/bin/setpriv';

const baseSettings: Settings = {
  listen_addresses: '127.0.0.1',
  shared_buffers: '16MB',
  max_connections: '100',
  wal_level: 'replica',
  max_wal_senders: '10',
  wal_keep_size: '256MB',
  hot_standby: 'on',
  // What a killed process has written, the kernel has; only a machine that loses its power could lose it.
  fsync: 'off',
};

export type Settings = Readonly<Record<string, string>>;

export interface CreateOptions {
  readonly name: string;
  readonly binaries: PostgresBinaries;
  /** Made if missing; its parents must be open to the server's account. Default: a new one below the temporary directory. */
  readonly directory?: string;
  readonly settings?: Settings;
  /** Lines of pg_hba.conf for TCP. Default: everybody from 127.0.0.1, by password if there is one. */
  readonly hba?: readonly string[];
  /** Of the superuser `postgres`. */
  readonly password?: string;
  /** Default: a free one. */
  readonly port?: number;
}

export interface CloneOptions {
  readonly name: string;
  readonly directory?: string;
  /** As the standby calls itself in `pg_stat_replication`. Default: its name. */
  readonly applicationName?: string;
  readonly settings?: Settings;
  readonly port?: number;
}

export class PostgresNode {
  readonly name: string;
  readonly port: number;
  readonly directory: string;
  readonly binaries: PostgresBinaries;
  readonly #password: string | undefined;
  #settings: Settings;
  #child: ChildProcess | null = null;
  /** Children that a killed postmaster left; they hold its shared memory until they notice. */
  #orphans: number[] = [];
  readonly #endAtExit = (): void => {
    if (this.#child?.pid !== undefined) signalTree(this.#child.pid, 'SIGKILL');
  };

  private constructor(options: CreateOptions, directory: string, port: number) {
    this.name = options.name;
    this.port = port;
    this.directory = directory;
    this.binaries = options.binaries;
    this.#password = options.password;
    this.#settings = {
      ...baseSettings,
      ...options.settings,
      port: String(port),
      unix_socket_directories: directory,
    };
  }

  /** A new, empty cluster with the superuser `postgres`; not started yet. */
  static async create(options: CreateOptions): Promise<PostgresNode> {
    const node = await PostgresNode.#prepare(options);
    const passwordFile = join(node.directory, 'password');
    writeFileSync(passwordFile, `${options.password ?? 'unused'}\n`, { mode: 0o600 });
    chownTree(node.directory, node.binaries.owner);
    await node.#run('initdb', [
      ...['-D', node.dataDirectory, '-U', 'postgres', '--pwfile', passwordFile],
      ...['--auth-local=trust', '--auth-host=scram-sha-256', '-E', 'UTF8', '--locale=C', '--no-sync'],
    ]);
    rmSync(passwordFile);
    const method = options.password === undefined ? 'trust' : 'scram-sha-256';
    const hba = options.hba ?? [`host all all 127.0.0.1/32 ${method}`];
    const lines = ['local all postgres trust', `host replication postgres 127.0.0.1/32 ${method}`, ...hba];
    node.installFile('pg_hba.conf', `${lines.join('\n')}\n`);
    appendFileSync(join(node.dataDirectory, 'postgresql.conf'), "include = 'node.conf'\n");
    node.configure({});
    return node;
  }

  /** A standby that streams from `primary`: copied cold from a stopped server, hot from a running one; not started yet. */
  static async cloneAsStandby(primary: PostgresNode, options: CloneOptions): Promise<PostgresNode> {
    const node = await PostgresNode.#prepare({
      ...options,
      binaries: primary.binaries,
      settings: { ...primary.#settings, ...options.settings },
      ...(primary.#password === undefined ? {} : { password: primary.#password }),
    });
    if (primary.running) {
      await primary.#withClient(client => copyHot(client, primary.dataDirectory, node.dataDirectory));
    } else {
      copyCold(primary.dataDirectory, node.dataDirectory);
    }
    chownTree(node.directory, node.binaries.owner);
    node.installFile('standby.signal', '');
    node.follow(primary, options.applicationName);
    return node;
  }

  static async #prepare(options: CreateOptions): Promise<PostgresNode> {
    const directory = options.directory ?? makeServerDirectory();
    mkdirSync(directory, { recursive: true });
    return new PostgresNode(options, directory, options.port ?? (await freePort()));
  }

  get dataDirectory(): string {
    return join(this.directory, 'data');
  }

  get running(): boolean {
    return this.#child !== null;
  }

  /** Process id of the postmaster. */
  get pid(): number {
    if (this.#child?.pid === undefined)
      throw new PointsmanError('DEMO_UNAVAILABLE', `${this.name} is not running`);
    return this.#child.pid;
  }

  /** Changes settings, in effect at once where a reload is enough. */
  configure(settings: Settings): void {
    this.#settings = { ...this.#settings, ...settings };
    const lines = Object.entries(this.#settings).map(
      ([key, value]) => `${key} = '${value.replaceAll("'", "''")}'`,
    );
    this.installFile('node.conf', `${lines.join('\n')}\n`);
    if (this.#child !== null) signal(this.pid, 'SIGHUP');
  }

  /** Makes a standby stream from another server. */
  follow(upstream: PostgresNode, applicationName: string = this.name): void {
    const quoted = this.#password?.replaceAll(/[\\']/g, '\\$&');
    const password = quoted === undefined ? '' : ` password='${quoted}'`;
    this.configure({
      primary_conninfo: `host=127.0.0.1 port=${upstream.port} user=postgres application_name=${applicationName}${password}`,
    });
  }

  /** Writes a file into the data directory, readable by the server only (as it demands of private keys). */
  installFile(name: string, content: string): void {
    const path = join(this.dataDirectory, name);
    writeFileSync(path, content, { mode: 0o600 });
    const { owner } = this.binaries;
    if (owner !== null) chownSync(path, owner.uid, owner.gid);
  }

  /** Starts the server and waits until a login works, or with `spawned` not at all. */
  async start(until: 'login' | 'spawned' = 'login'): Promise<void> {
    await waitUntil(
      () => !this.#orphans.some(isAlive),
      STOP_MAX_MS,
      () => `${this.name}: old processes did not end`,
    );
    const log = openSync(join(this.directory, 'log'), 'a');
    const program = join(this.binaries.bin, 'postgres');
    const args = ['-D', this.dataDirectory];
    const [command, argv] = existsSync(SETPRIV)
      ? [SETPRIV, ['--pdeathsig', 'INT', program, ...args]]
      : [program, args];
    // A session of its own: Ctrl-C in the terminal is for the demo, which then stops its servers itself.
    const child = spawn(command, argv, {
      ...this.#spawnOptions(),
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#child = child;
    process.on('exit', this.#endAtExit);
    child.once('error', () => this.#ended(child)); // a program that can't be run ends in the check below
    child.once('exit', () => this.#ended(child));
    if (until === 'spawned') return;
    const notStarted = (): string => `${this.name} did not start:\n${this.logText().slice(-2000)}`;
    await waitUntil(() => this.#child !== child || this.#isReady(child), START_MAX_MS, notStarted);
    if (this.#child !== child) {
      throw new PointsmanError(
        'DEMO_UNAVAILABLE',
        `${this.name} did not start:\n${this.logText().slice(-2000)}`,
      );
    }
    await this.query('select 1');
  }

  /** `fast` ends sessions and writes a checkpoint; `immediate` leaves crash recovery to the next start. */
  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const exited = once(child, 'exit');
    signal(this.pid, mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    const limit = systemClock.schedule(STOP_MAX_MS, this.#endAtExit);
    await exited;
    limit.cancel();
  }

  /** kill -9 of the postmaster only; its children notice and end. */
  async kill(): Promise<void> {
    await this.#killWith(pid => {
      this.#orphans = childrenOf(pid);
      signal(pid, 'SIGKILL');
    });
  }

  /** kill -9 of every process at once, as a crash of the machine would. */
  async killAll(): Promise<void> {
    await this.#killWith(pid => {
      this.#orphans = signalTree(pid, 'SIGKILL');
    });
  }

  /** Stops every process where it stands: sockets stay open, nobody answers. */
  freeze(): void {
    signalTree(this.pid, 'SIGSTOP');
  }

  /** Stops the postmaster only: open sessions are served, new ones are not. */
  freezePostmaster(): void {
    signal(this.pid, 'SIGSTOP');
  }

  thaw(): void {
    for (const child of childrenOf(this.pid)) signal(child, 'SIGCONT');
    signal(this.pid, 'SIGCONT');
  }

  /** Makes a standby the primary; resolves when it is out of recovery. */
  async promote(): Promise<void> {
    await this.query('select pg_promote(true, 60)');
  }

  /** Rows of one query, asked as superuser over the local socket. */
  async query<Row extends QueryResultRow = QueryResultRow>(
    sql: string,
    values: unknown[] = [],
  ): Promise<Row[]> {
    return this.#withClient(async client => (await client.query<Row>(sql, values)).rows);
  }

  /** All that the server has logged. */
  logText(): string {
    const path = join(this.directory, 'log');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** Ends the server and removes its directory. */
  async dispose(): Promise<void> {
    await this.killAll();
    await waitUntil(
      () => !this.#orphans.some(isAlive),
      STOP_MAX_MS,
      () => `${this.name}: processes did not end`,
    );
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 });
  }

  async #killWith(kill: (pid: number) => void): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined) return;
    const exited = once(child, 'exit');
    kill(child.pid);
    await exited;
  }

  #ended(child: ChildProcess): void {
    if (this.#child !== child) return;
    this.#child = null;
    process.off('exit', this.#endAtExit);
  }

  /** The eighth line of postmaster.pid is the server's own word: asking by login would fill its log while it starts. */
  #isReady(child: ChildProcess): boolean {
    const path = join(this.dataDirectory, 'postmaster.pid');
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
    return Number(lines[0]) === child.pid && ['ready', 'standby'].includes(lines[7]?.trim() ?? '');
  }

  async #withClient<T>(task: (client: Client) => Promise<T>): Promise<T> {
    const client = new Client({
      host: this.directory,
      port: this.port,
      user: 'postgres',
      database: 'postgres',
      connectionTimeoutMillis: START_MAX_MS,
    });
    client.on('error', () => undefined); // a server killed amid a query; the query rejects by itself
    await client.connect();
    try {
      return await task(client);
    } finally {
      await client.end();
    }
  }

  async #run(program: string, args: string[]): Promise<void> {
    const child = spawn(join(this.binaries.bin, program), args, {
      ...this.#spawnOptions(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0)
      throw new PointsmanError('DEMO_UNAVAILABLE', `${program} failed:\n${output.slice(-2000)}`);
  }

  #spawnOptions(): { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number } {
    return { cwd: '/', env: { ...process.env, ...this.binaries.env, LC_ALL: 'C' }, ...this.binaries.owner };
  }
}

async function waitUntil(condition: () => boolean, maxMs: number, complaint: () => string): Promise<void> {
  const deadline = systemClock.now() + maxMs;
  while (!condition()) {
    if (systemClock.now() > deadline) throw new PointsmanError('DEMO_UNAVAILABLE', complaint());
    await new Promise<void>(resolve => systemClock.schedule(POLL_MS, resolve));
  }
}
