// Servers, a Pointsman in front of them and the programs that users connect with (psql, pgbench): the stage of the
// client tests. The failover tests have a stage of their own (pair.ts).

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext } from 'node:test';
import { stringify } from 'yaml';
import { type Address } from '../../src/core/address.ts';
import { debianBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { runPointsman, type PointsmanProcess } from './pointsman.ts';
import { start, type Ended, type ProgramOptions, type Running } from './program.ts';
import { until } from './wait.ts';

export const STAGE_PASSWORD = 'Stage-5ecret-Passw0rd';

export interface Stage {
  readonly pg1: PostgresNode;
  readonly pg2: PostgresNode;
  /** PEM file that vouches for both servers as `localhost` and 127.0.0.1. */
  readonly caFile: string;
  dispose(): Promise<void>;
}

/** A primary and its streaming standby, PostgreSQL 15 of Debian. With `ssl` they take TLS and plain text. */
export async function startStage({ ssl = true }: { ssl?: boolean } = {}): Promise<Stage> {
  const owned: (() => void | Promise<void>)[] = [];
  const dispose = async (): Promise<void> => {
    for (const end of owned.splice(0).reverse()) await end();
  };
  try {
    const directory = mkdtempSync(join(tmpdir(), 'pointsman-stage-'));
    owned.push(() => rmSync(directory, { recursive: true, force: true }));
    const caFile = join(directory, 'server.crt');
    const keyFile = join(directory, 'server.key');
    makeCertificate(caFile, keyFile);
    const tls = { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' };
    const pg1 = await PostgresNode.create({
      name: 'pg1',
      binaries: debianBinaries(),
      password: STAGE_PASSWORD,
      settings: { max_connections: '700', ...(ssl ? tls : {}) },
    });
    owned.push(() => pg1.dispose());
    pg1.installFile('server.crt', readFileSync(caFile, 'utf8'));
    pg1.installFile('server.key', readFileSync(keyFile, 'utf8'));
    const pg2 = await PostgresNode.cloneAsStandby(pg1, { name: 'pg2' });
    owned.push(() => pg2.dispose());
    await pg1.start();
    await pg2.start();
    return { pg1, pg2, caFile, dispose };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

/** Vouches for itself as `localhost` and 127.0.0.1. */
export function makeCertificate(certificateFile: string, keyFile: string): void {
  const made = spawnSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
      ...['-out', certificateFile, '-keyout', keyFile],
    ],
    { encoding: 'utf8' },
  );
  assert.equal(made.status, 0, `openssl: ${made.stderr}`);
}

/** The configuration for the stage; `frontends` by name, their `bind` and `backend` are filled in. */
export function stageConfig(
  { pg1, pg2 }: Stage,
  options: { frontends?: Record<string, object>; check?: object } = {},
): object {
  const frontends = options.frontends ?? { 'app-rw': {}, 'app-ro': { route: 'replica-or-primary' } };
  return {
    frontends: Object.fromEntries(
      Object.entries(frontends).map(([name, own]) => [name, { bind: '127.0.0.1:0', backend: 'app', ...own }]),
    ),
    backends: {
      app: {
        protocol: 'postgres',
        check: { user: 'postgres', password: '${STAGE_PASSWORD}', ...options.check },
        servers: { pg1: `127.0.0.1:${pg1.port}`, pg2: `127.0.0.1:${pg2.port}` },
      },
    },
  };
}

/** `pointsman run` before the stage, as soon as it knows pg1 as the primary and pg2 as its replica. */
export async function runBefore(
  stage: Stage,
  options: Parameters<typeof stageConfig>[1] = {},
): Promise<PointsmanProcess> {
  const pointsman = await runPointsman(stageConfig(stage, options), { env: { STAGE_PASSWORD } });
  try {
    await until('pg1 to be primary and pg2 to stream', async () => {
      const [backend] = (await pointsman.state()).backends;
      return backend?.primary === 'pg1' && backend.servers[1]?.replicating === true;
    });
  } catch (thrown) {
    await pointsman.stop();
    throw thrown;
  }
  return pointsman;
}

/** Where a node listens, for what is done without Pointsman. */
export const directly = ({ port }: PostgresNode): Address => ({ host: '127.0.0.1', port });

/** What `new Client(…)` of node-postgres takes. */
export const clientOptions = ({ host, port }: Address) => ({
  ...{ host, port, user: 'postgres', password: STAGE_PASSWORD, database: 'postgres' },
});

/** Starts a program of PostgreSQL 15 as user `postgres` of `at`, without TLS unless `env` has another PGSSLMODE. */
export function startProgram(
  program: 'psql' | 'pgbench',
  at: Address,
  args: readonly string[],
  { env, ...options }: ProgramOptions = {},
): Running {
  return start(join(debianBinaries().bin, program), args, {
    ...options,
    env: {
      ...{ PGHOST: at.host, PGPORT: String(at.port), PGUSER: 'postgres', PGDATABASE: 'postgres' },
      ...{ PGPASSWORD: STAGE_PASSWORD, PGSSLMODE: 'disable' },
      ...env,
    },
  });
}

/** One psql command, without the user's own settings, unaligned rows only. */
export function startPsql(at: Address, sql: string, options: ProgramOptions = {}): Running {
  return startProgram('psql', at, ['-X', '-A', '-t', '-q', '-v', 'VERBOSITY=verbose', '-c', sql], options);
}

/** The same, to its end. */
export const psql = (at: Address, sql: string, options: ProgramOptions = {}): Promise<Ended> =>
  startPsql(at, sql, options).ended;

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Resident memory of a process in MiB. Linux only. */
export function residentMiB(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) / 1024;
}

/** Every frontend of Pointsman is without a client. */
export async function untilEmpty(pointsman: PointsmanProcess): Promise<void> {
  await until('all clients to be gone', async () =>
    (await pointsman.state()).frontends.every(
      ({ connections, sessions, held }) => connections + sessions + held === 0,
    ),
  );
}

/** A configuration file that is gone after the test. */
export function configFile(t: TestContext, content: object | string): string {
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-cli-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'pointsman.yaml');
  writeFileSync(file, typeof content === 'string' ? content : stringify(content));
  return file;
}

/** A listener that accepts and never says a word. */
export async function muteServer(t: TestContext): Promise<{ server: Server; port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    socket.on('error', () => undefined); // resets are fine
    sockets.add(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // Unread they would not see their end, and hold nothing but the closing of the server.
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise(resolve => server.close(resolve));
  });
  return { server, port: (server.address() as AddressInfo).port };
}
