// A real MariaDB server for tests: started, frozen, killed, set up to replicate. Data directories are copies of one that is
// installed once per process. Not for production: every password stands below. Needs Debian's mariadb-server.

import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext } from 'node:test';
import {
  createConnection,
  type Connection,
  type ConnectionOptions,
  type RowDataPacket,
} from 'mysql2/promise';
import { chownTree, type Owner } from '../../src/cli/demo/postgres-binaries.ts';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { signal } from '../../src/cli/demo/postgres-processes.ts';
import { until } from './wait.ts';

const SERVER = '/usr/sbin/mariadbd';
const INSTALLER = '/usr/bin/mariadb-install-db';
/** Ends the server when its parent is gone without a goodbye. */
const SETPRIV = '/usr/bin/setpriv';
const ID_MAX = 1_000_000;

/** Accounts that every node has, from anywhere; `root` has all rights. */
export const accounts = {
  root: { user: 'root', password: 'root-secret' },
  /** Sees the state of replication; nothing else. */
  probe: { user: 'probe', password: 'probe-secret' },
  /** May connect, and nothing else. */
  plain: { user: 'plain', password: 'plain-secret' },
  /** May do all in the database `app`. */
  app: { user: 'app', password: 'app-secret' },
  /** Replicates. */
  repl: { user: 'repl', password: 'repl-secret' },
} as const;

/** Options of the server by name: `true` gives the bare option. Dashes and underscores mean the same. */
export type ServerOptions = Readonly<Record<string, string | number | boolean>>;

export interface MariadbOptions {
  /** For messages. Default: `db` and the server id. */
  readonly name?: string;
  /** Default: 1, 2, 3 … in the order of creation. */
  readonly serverId?: number;
  /** Default: a free one. */
  readonly port?: number;
  /** Beside the usual ones: a binary log in row format, `log_slave_updates`, `gtid_strict_mode`, no syncing to disk. */
  readonly options?: ServerOptions;
  /** The directory it starts from. Default: a fresh installation with `accounts` and the empty database `app`. */
  readonly copyOf?: MariadbNode;
}

export interface FollowOptions {
  /** `MASTER_USE_GTID`. Default: `slave_pos`. */
  readonly gtid?: 'slave_pos' | 'current_pos' | 'no';
  /** Name of the channel. Default: the unnamed one. */
  readonly channel?: string;
  /** Default: true. */
  readonly start?: boolean;
}

let created = 0;
let template: string | null = null;

export class MariadbNode {
  readonly name: string;
  readonly serverId: number;
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly directory: string;
  #options: ServerOptions;
  #child: ChildProcess | null = null;
  readonly #endAtExit = (): void => {
    if (this.#child?.pid !== undefined) signal(this.#child.pid, 'SIGKILL');
  };

  private constructor(options: MariadbOptions, directory: string, port: number) {
    created += 1;
    this.serverId = options.serverId ?? (created % ID_MAX) + 1;
    this.name = options.name ?? `db${this.serverId}`;
    this.directory = directory;
    this.port = port;
    this.#options = options.options ?? {};
  }

  /** A new server with the accounts above and the empty database `app`; not started yet. */
  static async create(options: MariadbOptions = {}): Promise<MariadbNode> {
    const source = options.copyOf?.dataDirectory ?? templateDirectory();
    assert.ok(options.copyOf?.running !== true, 'a running server cannot be copied by its files');
    const node = new MariadbNode(options, makeDirectory(), options.port ?? (await freePort()));
    cpSync(source, node.dataDirectory, { recursive: true });
    mkdirSync(join(node.directory, 'tmp'));
    chownTree(node.directory, serverOwner());
    return node;
  }

  get dataDirectory(): string {
    return join(this.directory, 'data');
  }

  get socketPath(): string {
    return join(this.directory, 'socket');
  }

  get running(): boolean {
    return this.#child !== null;
  }

  get pid(): number {
    assert.ok(this.#child?.pid !== undefined, `${this.name} is not running`);
    return this.#child.pid;
  }

  /** Changes options; in effect at the next start. */
  configure(options: ServerOptions): void {
    this.#options = { ...this.#options, ...options };
  }

  /** Writes a file that only the server may read, and returns its path. */
  installFile(name: string, content: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, content, { mode: 0o600 });
    const owner = serverOwner();
    if (owner !== null) chownSync(path, owner.uid, owner.gid);
    return path;
  }

  /** Starts the server and waits until root's login works, or with `spawned` not at all. */
  async start(ready: 'login' | 'spawned' = 'login', extra: ServerOptions = {}): Promise<void> {
    assert.ok(existsSync(SERVER), `${SERVER} is missing; run: apt-get install mariadb-server`);
    assert.ok(!this.running, `${this.name} is running already`);
    rmSync(this.socketPath, { force: true }); // one that a killed server left would be taken for a listening one
    const log = openSync(join(this.directory, 'log'), 'a');
    const args = ['--no-defaults', ...argumentsOf({ ...this.#baseOptions(), ...this.#options, ...extra })];
    const [command, argv] = existsSync(SETPRIV)
      ? [SETPRIV, ['--pdeathsig', 'KILL', SERVER, ...args]]
      : [SERVER, args];
    const child = spawn(command, argv, { ...spawnOptions(), detached: true, stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    process.on('exit', this.#endAtExit);
    child.once('error', () => this.#ended(child)); // a program that can't be run ends in the check below
    child.once('exit', () => this.#ended(child));
    if (ready === 'login') await this.untilReady();
  }

  /** Resolves when root's login works. */
  async untilReady(deadlineMs = 60_000): Promise<void> {
    const child = this.#child;
    const ready = async (): Promise<boolean> => {
      if (this.#child !== child) assert.fail(`${this.name} did not start:\n${this.logText().slice(-3000)}`);
      if (!existsSync(this.socketPath)) return false;
      return this.sql('select 1').then(
        () => true,
        () => false,
      );
    };
    await until(`${this.name} to be ready`, ready, { deadlineMs });
  }

  /** An orderly shutdown. */
  async stop(): Promise<void> {
    await this.#endWith('SIGTERM');
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#endWith('SIGKILL');
  }

  /** Stops it where it stands: the kernel still accepts connections, nobody answers. */
  freeze(): void {
    signal(this.pid, 'SIGSTOP');
  }

  thaw(): void {
    signal(this.pid, 'SIGCONT');
  }

  /** Rows of one statement, asked as root over the socket, on a connection of its own. `null` values are SQL nulls. */
  async sql<Row = Record<string, unknown>>(statement: string, values: unknown[] = []): Promise<Row[]> {
    const connection = await createConnection({ socketPath: this.socketPath, ...accounts.root });
    connection.on('error', () => undefined); // a server killed amid a query; the query rejects by itself
    try {
      const [rows] = await connection.query<RowDataPacket[]>(statement, values);
      return (Array.isArray(rows) ? rows : []) as unknown as Row[];
    } finally {
      await connection.end(); // not just closed: the server would log that
    }
  }

  /** Statements one after another on one connection of root, for `SET SESSION` and transactions. */
  async run(...statements: readonly string[]): Promise<void> {
    const connection = await createConnection({ socketPath: this.socketPath, ...accounts.root });
    connection.on('error', () => undefined); // as above
    try {
      for (const statement of statements) await connection.query(statement);
    } finally {
      await connection.end(); // not just closed: the server would log that
    }
  }

  /** A client over TCP; the caller ends it. Default: the account `app` in the database `app`. */
  async connect(options: ConnectionOptions = {}): Promise<Connection> {
    const connection = await createConnection({
      host: this.host,
      port: this.port,
      ...accounts.app,
      database: 'app',
      ...options,
    });
    connection.on('error', () => undefined); // a lost idle connection; its next query rejects
    return connection;
  }

  /** Replicates from `source` from now on, `repl` being the account. */
  async follow(source: MariadbNode, options: FollowOptions = {}): Promise<void> {
    const { gtid = 'slave_pos', channel = '', start = true } = options;
    const { user, password } = accounts.repl;
    await this.run(
      `change master '${channel}' to master_host = '${source.host}', master_port = ${source.port},
         master_user = '${user}', master_password = '${password}', master_connect_retry = 1, master_use_gtid = ${gtid}`,
      ...(start ? [`start slave '${channel}'`] : []),
    );
  }

  /** One row for each channel of replication, as `SHOW ALL SLAVES STATUS` tells it. */
  async slaveStatus(): Promise<Record<string, unknown>[]> {
    return this.sql('show all slaves status');
  }

  /** Resolves when it has all that `source` has now. */
  async untilCaughtUp(source: MariadbNode, deadlineMs = 20_000): Promise<void> {
    const [row] = await source.sql<{ at: string }>('select @@global.gtid_current_pos as at');
    const at = row?.at ?? '';
    const caughtUp = async (): Promise<boolean> => {
      const [answer] = await this.sql<{ late: number }>('select master_gtid_wait(?, 0.2) as late', [at]);
      return answer?.late === 0;
    };
    await until(`${this.name} to have ${at} of ${source.name}`, caughtUp, { deadlineMs });
  }

  /** All that the server has logged since its first start. */
  logText(): string {
    const path = join(this.directory, 'log');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** Kills the server and removes its directory. */
  async dispose(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 });
  }

  #baseOptions(): ServerOptions {
    return {
      datadir: this.dataDirectory,
      tmpdir: join(this.directory, 'tmp'),
      socket: this.socketPath,
      'pid-file': join(this.directory, 'pid'),
      'bind-address': this.host,
      port: this.port,
      'server-id': this.serverId,
      'log-bin': 'binlog',
      'relay-log': 'relay',
      'binlog-format': 'row',
      'log-slave-updates': true,
      'gtid-strict-mode': 1,
      'slave-net-timeout': 5,
      'innodb-buffer-pool-size': '16M',
      'innodb-log-file-size': '8M',
      // The tests kill processes, not machines: what the kernel has is safe.
      'innodb-flush-log-at-trx-commit': 2,
      'key-buffer-size': '1M',
      'aria-pagecache-buffer-size': '1M',
    };
  }

  async #endWith(how: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined) return;
    const exited = once(child, 'exit');
    if (how === 'SIGTERM') signal(child.pid, 'SIGCONT');
    signal(child.pid, how);
    await exited;
  }

  #ended(child: ChildProcess): void {
    if (this.#child !== child) return;
    this.#child = null;
    process.off('exit', this.#endAtExit);
  }
}

/** A started server that is gone after the test. */
export async function startedMariadb(t: TestContext, options: MariadbOptions = {}): Promise<MariadbNode> {
  const node = await MariadbNode.create(options);
  t.after(() => node.dispose());
  await node.start();
  return node;
}

/** Two that replicate from each other, started and gone after the test. Default: one domain, as most people have it. */
export async function masterMasterPair(
  t: TestContext,
  { options = {}, ...follow }: FollowOptions & { readonly options?: ServerOptions } = {},
): Promise<readonly [MariadbNode, MariadbNode]> {
  const [first, second] = await Promise.all([
    startedMariadb(t, { name: 'db1', serverId: 1, options }),
    startedMariadb(t, { name: 'db2', serverId: 2, options }),
  ]);
  await Promise.all([first.follow(second, follow), second.follow(first, follow)]);
  return [first, second];
}

function argumentsOf(options: ServerOptions): string[] {
  return Object.entries(options)
    .filter(([, value]) => value !== false)
    .map(([name, value]) => (value === true ? `--${name}` : `--${name}=${value}`));
}

/** The files of a freshly installed server; made once per process, removed at its end. */
function templateDirectory(): string {
  if (template !== null) return template;
  assert.ok(existsSync(INSTALLER), `${INSTALLER} is missing; run: apt-get install mariadb-server`);
  const directory = makeDirectory();
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const data = join(directory, 'data');
  const grants = join(directory, 'accounts.sql');
  writeFileSync(grants, accountStatements());
  const run = spawnSync(
    INSTALLER,
    [
      ...['--no-defaults', `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db'],
      ...['--skip-name-resolve', '--innodb-log-file-size=8M', `--extra-file=${grants}`],
    ],
    { ...spawnOptions(), encoding: 'utf8' },
  );
  assert.equal(run.status, 0, `${INSTALLER}: ${run.error?.message ?? run.stderr}${run.stdout}`);
  template = data;
  return data;
}

function accountStatements(): string {
  const { root, probe, plain, app, repl } = accounts;
  return [
    'flush privileges', // without it the installer's server knows no accounts
    'create database app',
    ...[root, probe, plain, app, repl].map(
      ({ user, password }) => `create user ${user}@'%' identified by '${password}'`,
    ),
    `alter user root@localhost identified by '${root.password}'`,
    "grant all on *.* to root@'%' with grant option",
    "grant replica monitor, binlog monitor on *.* to probe@'%'",
    "grant all on app.* to app@'%'",
    "grant replication slave on *.* to repl@'%'",
    // root and the anonymous user of the host's own names would shadow the accounts above.
    "delete from mysql.global_priv where user in ('root', '') and host not in ('localhost', '%')",
    'flush privileges',
    '',
  ].join(';\n');
}

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-mdb-'));
  const owner = serverOwner();
  if (owner !== null) chownSync(directory, owner.uid, owner.gid);
  return directory;
}

/** MariaDB refuses to run as root: the account for it then. */
function serverOwner(): Owner | null {
  if (process.getuid?.() !== 0) return null;
  const account = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map(line => line.split(':'))
    .find(([name]) => name === 'mysql');
  assert.ok(account !== undefined, 'there is no account "mysql"; run: apt-get install mariadb-server');
  return { uid: Number(account[2]), gid: Number(account[3]) };
}

function spawnOptions(): { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number } {
  return { cwd: '/', env: { ...process.env, LC_ALL: 'C' }, ...serverOwner() };
}
