// A MariaDB server, Pointsman before it on each engine, and the programs that users connect with: `mariadb` (which `mysql` is
// a name of), `mariadb-dump`, sysbench. The stage of clients-mysql.test.ts.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection, type Connection, type ConnectionOptions } from 'mysql2/promise';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { makeCertificate } from './clients.ts';
import { Fleet } from './fleet.ts';
import { accounts, MariadbNode } from './mariadb.ts';
import { run, start, type Ended, type Running } from './program.ts';

export interface MysqlStage {
  readonly server: MariadbNode;
  readonly fleet: Fleet;
  /** PEM file that vouches for the server as `localhost` and 127.0.0.1. */
  readonly caFile: string;
  /** For what a test writes; gone with the stage. */
  readonly directory: string;
  dispose(): Promise<void>;
}

/** Clients of `rw` wait as long as usual, those of `brief` for BRIEF_MS; `small` takes SMALL clients. */
export const BRIEF_MS = 300;
export const SMALL = 3;

export async function startMysqlStage(): Promise<MysqlStage> {
  const owned: (() => void | Promise<void>)[] = [];
  const dispose = async (): Promise<void> => {
    for (const end of owned.splice(0).reverse()) await end();
  };
  try {
    const directory = mkdtempSync(join(tmpdir(), 'pointsman-mysql-clients-'));
    owned.push(() => rmSync(directory, { recursive: true, force: true }));
    const caFile = join(directory, 'server.crt');
    makeCertificate(caFile, join(directory, 'server.key'));
    const server = await MariadbNode.create({
      options: { 'max-connections': 1000, 'max-allowed-packet': '64M', 'skip-log-bin': true },
    });
    owned.push(() => server.dispose());
    server.configure({
      'ssl-cert': server.installFile('server.crt', readFileSync(caFile, 'utf8')),
      'ssl-key': server.installFile('server.key', readFileSync(join(directory, 'server.key'), 'utf8')),
    });
    await server.start();
    const frontends = {
      rw: { backend: 'app' },
      brief: { backend: 'app', hold: `${BRIEF_MS}ms` },
      small: { backend: 'app', max_connections: SMALL },
    };
    const app = {
      protocol: 'mysql',
      check: { user: accounts.probe.user, password: accounts.probe.password },
      servers: { db1: formatAddress(server) },
    };
    const fleet = await Fleet.start({ frontends, backends: { app } });
    owned.push(() => fleet.stop());
    return { server, fleet, caFile, directory, dispose };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

/** mysql2's own connection options; `root` may do everything. */
export const as = (account: 'app' | 'root', { host, port }: Address) => ({
  ...{ host, port, ...accounts[account], database: 'app' },
});

/** A connection that is closed after `use`, whatever happens. */
export async function withConnection<T>(
  at: Address,
  use: (connection: Connection) => Promise<T>,
  options: ConnectionOptions = {},
): Promise<T> {
  const connection = await createConnection({ ...as('app', at), ...options });
  try {
    return await use(connection);
  } finally {
    await connection.end();
  }
}

interface Refusal {
  readonly code: string | undefined;
  readonly errno: number | undefined;
  readonly sqlState: string | undefined;
  readonly message: string;
}

/** What mysql2 says of a connection that it doesn't get. */
export async function refusalOf(at: Address): Promise<Refusal> {
  try {
    await withConnection(at, async () => undefined);
  } catch (thrown) {
    const { code, errno, sqlState, message } = thrown as Refusal & { sqlState?: string };
    return { code, errno, sqlState, message };
  }
  return assert.fail('the client was served');
}

const loginOf = (account: 'app' | 'root', { host, port }: Address): string[] => [
  '--no-defaults',
  ...['-h', host, '-P', String(port), '-u', accounts[account].user, `-p${accounts[account].password}`],
];

/** The command line client, rows without frames. `input` is what somebody typed, or a file. */
export const cli = (
  at: Address,
  input: string | Buffer,
  args: readonly string[] = [],
  account: 'app' | 'root' = 'app',
): Promise<Ended> =>
  run('mysql', [...loginOf(account, at), '--batch', '--skip-column-names', ...args, 'app'], { input });

/** All of the database `app`, the same for the same content. */
export const dump = (at: Address): Promise<Ended> =>
  run('mysqldump', [...loginOf('root', at), '--skip-dump-date', '--single-transaction', '--hex-blob', 'app']);

interface SysbenchTotals {
  readonly read: number;
  readonly write: number;
  readonly other: number;
  readonly transactions: number;
  readonly ignored: number;
  readonly reconnects: number;
}

interface SysbenchOptions {
  readonly threads?: number;
  readonly seconds?: number;
}

export const SYSBENCH_TABLES = 2;
export const SYSBENCH_ROWS = 500;

export function startSysbench(
  at: Address,
  command: 'prepare' | 'run' | 'cleanup',
  { threads = 1, seconds = 1 }: SysbenchOptions = {},
): Running {
  const { user, password } = accounts.app;
  return start('sysbench', [
    'oltp_read_write',
    `--mysql-host=${at.host}`,
    `--mysql-port=${at.port}`,
    ...[`--mysql-user=${user}`, `--mysql-password=${password}`, '--mysql-db=app'],
    ...[`--tables=${SYSBENCH_TABLES}`, `--table-size=${SYSBENCH_ROWS}`],
    ...[`--threads=${threads}`, `--time=${seconds}`],
    command,
  ]);
}

/** What sysbench says that it did. */
export function totalsOf({ code, stdout, stderr }: Ended): SysbenchTotals {
  const text = stdout.toString();
  assert.equal(code, 0, text + stderr);
  const count = (name: string): number => {
    const found = new RegExp(`^\\s*${name}:\\s+(\\d+)`, 'm').exec(text)?.[1];
    return found === undefined ? assert.fail(`no "${name}" in:\n${text}`) : Number(found);
  };
  return {
    read: count('read'),
    write: count('write'),
    other: count('other'),
    transactions: count('transactions'),
    ignored: count('ignored errors'),
    reconnects: count('reconnects'),
  };
}
