// `pointsman demo`: two real PostgreSQL servers, Pointsman in front, a writer; kills the primary, promotes the standby,
// brings the old one back, and tells what the writer saw. Everything runs on loopback and is removed at the end.

import { formatAddress } from '../../core/address.ts';
import { startApp, type App } from '../../app/app.ts';
import { version } from '../../app/version.ts';
import { configSchema } from '../../config/schema.ts';
import { systemClock } from '../../core/clock.ts';
import { PointsmanError } from '../../core/errors.ts';
import { silentLogger } from '../../core/logger.ts';
import { systemRandom } from '../../core/random.ts';
import { describeChange } from '../../topology/describe.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import { complain, out } from '../output.ts';
import { CREATE_LEDGER, LedgerWriter } from './ledger-writer.ts';
import { embeddedBinaries } from './postgres-binaries.ts';
import { PostgresNode } from './postgres-node.ts';
import { summarize } from './summary.ts';

const PASSWORD = 'demo';
const WRITE_BEFORE_MS = 3000;
/** The demo plays the orchestrator: this long after the kill it promotes the standby. */
const PROMOTE_AFTER_MS = 1000;
const WRITE_AFTER_MS = 3000;
const OLD_PRIMARY_BACK_MS = 2000;
const READY_TIMEOUT_MS = 30_000;

export async function demo(): Promise<ExitCode> {
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const owned: (() => Promise<void>)[] = [];
  try {
    return await perform(interrupted.signal, owned);
  } catch (thrown) {
    if (interrupted.signal.aborted) complain('interrupted: cleaning up');
    else if (thrown instanceof PointsmanError && thrown.code === 'DEMO_UNAVAILABLE') complain(thrown.message);
    else throw thrown;
    return exitCodes.no;
  } finally {
    for (const dispose of owned.reverse()) await dispose();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

async function perform(signal: AbortSignal, owned: (() => Promise<void>)[]): Promise<ExitCode> {
  const startedAt = systemClock.now();
  const tell = (text: string): void => {
    out(`${((systemClock.now() - startedAt) / 1000).toFixed(2).padStart(6)} s  ${text}`);
  };
  tell('starting pg1 (primary) and pg2 (streaming standby, synchronous) …');
  const { pg1, pg2 } = await startServers(owned);
  signal.throwIfAborted();
  const app = await startPointsman(pg1, pg2);
  owned.push(() => app.close());
  app.topology.changes.subscribe(change => {
    for (const sentence of describeChange(change)) tell(`pointsman: ${sentence}`);
  });
  const address = app.frontends.get('app-rw');
  if (address === undefined) throw new PointsmanError('INTERNAL', 'the demo frontend did not start');
  tell(
    `pointsman listens on ${formatAddress(address)}; state: http://${formatAddress(app.admin)}/api/v1/state`,
  );
  await until(() => app.topology.view('app').primary === 'pg1', signal);

  const writer = new LedgerWriter(
    { ...address, user: 'postgres', password: PASSWORD, database: 'postgres' },
    1,
    systemClock,
  );
  writer.start();
  owned.push(() => writer.stop());
  await pause(WRITE_BEFORE_MS, signal);
  tell(`writer: ${writer.acknowledged.length} writes acknowledged`);

  tell('>>> kill -9 of the primary, pg1');
  const killedAt = systemClock.now();
  await pg1.kill();
  await pause(PROMOTE_AFTER_MS, signal);
  tell('>>> the orchestrator (here: this demo) promotes pg2');
  await pg2.promote();
  await until(() => writer.acknowledged.some(({ at }) => at > killedAt + PROMOTE_AFTER_MS), signal);
  tell('writer: the first write after the failover is acknowledged');
  await pause(WRITE_AFTER_MS, signal);

  tell('>>> pg1 comes back, still thinking that it is the primary');
  const before = await pg2.query('SELECT count(*)::int AS n FROM ledger');
  await pg1.start();
  await until(() => app.topology.view('app').splitBrain, signal);
  await pause(OLD_PRIMARY_BACK_MS, signal);
  await writer.stop();

  const rows = await pg2.query('SELECT seq::int AS n FROM ledger ORDER BY seq');
  const strays = await pg1.query(
    `SELECT count(*)::int AS n FROM ledger WHERE seq > ${String(before[0]?.['n'])}`,
  );
  const [incident] = app.incidents.list().filter(({ outcome }) => outcome === 'failover');
  const summary = summarize(
    writer,
    rows.map(row => Number(row['n'])),
    Number(strays[0]?.['n']),
    incident ?? null,
  );
  out(`\n${summary.text}\n`);
  return summary.good ? exitCodes.done : exitCodes.no;
}

async function startServers(owned: (() => Promise<void>)[]) {
  const pg1 = await PostgresNode.create({ name: 'pg1', binaries: embeddedBinaries(), password: PASSWORD });
  owned.push(() => pg1.dispose());
  const pg2 = await PostgresNode.cloneAsStandby(pg1, { name: 'pg2' });
  owned.push(() => pg2.dispose());
  await pg1.start();
  await pg2.start();
  await pg1.query(CREATE_LEDGER);
  await pg1.query(`ALTER SYSTEM SET synchronous_standby_names = 'pg2'`);
  await pg1.query('SELECT pg_reload_conf()');
  return { pg1, pg2 };
}

function startPointsman(pg1: PostgresNode, pg2: PostgresNode): Promise<App> {
  const config = configSchema.parse({
    admin: { bind: '127.0.0.1:0' },
    frontends: { 'app-rw': { bind: '127.0.0.1:0', backend: 'app', route: 'primary' } },
    backends: {
      app: {
        protocol: 'postgres',
        check: { user: 'postgres', password: PASSWORD },
        servers: { pg1: `127.0.0.1:${pg1.port}`, pg2: `127.0.0.1:${pg2.port}` },
      },
    },
  });
  return startApp(config, {
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    version,
    node: process.version,
    source: null,
    birth: null,
  });
}

/** Waits, or throws when the demo is interrupted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const abort = (): void => {
      timer.cancel();
      reject(signal.reason as Error);
    };
    const timer = systemClock.schedule(ms, () => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
    signal.addEventListener('abort', abort, { once: true });
  });
}

async function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
  const deadline = systemClock.now() + READY_TIMEOUT_MS;
  while (!condition()) {
    if (systemClock.now() > deadline) {
      throw new PointsmanError(
        'DEMO_UNAVAILABLE',
        `the demo waited ${READY_TIMEOUT_MS / 1000} s in vain; is the machine overloaded?`,
      );
    }
    await pause(5, signal);
  }
}
