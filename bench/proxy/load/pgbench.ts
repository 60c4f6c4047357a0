// pgbench as a load: its arguments, its report, its log of every transaction.
// Called by scenarios/pgbench.ts and latency.ts.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Address } from '../../../src/core/address.ts';
import { type Context } from '../model.ts';

export const PGBENCH = '/usr/lib/postgresql/15/bin/pgbench';

/** Beyond the time it was told to run: connecting, the last transactions, a machine that is busy. */
const GRACE_MS = 30_000;
/** Of a run at a fixed rate: statements are being prepared. */
const SKIPPED_US = 500_000;

export interface PgbenchReport {
  readonly transactions: number;
  /** Per second; the time of the first connections left out, or with a connection per transaction that of all included. */
  readonly tps: number;
}

/** One thread: two would take turns on two cores with the proxy and PostgreSQL. */
export async function runPgbench(
  { children, directory }: Context,
  to: Address,
  load: { readonly clients: number; readonly seconds: number; readonly options: readonly string[] },
): Promise<PgbenchReport> {
  const args = [
    ...['-h', to.host, '-p', String(to.port), '-U', 'postgres', '-n', '-j', '1'],
    ...['-c', String(load.clients), '-T', String(load.seconds), ...load.options, 'postgres'],
  ];
  return readReport(await children.run(PGBENCH, args, load.seconds * 1000 + GRACE_MS, { cwd: directory }));
}

/** Throws where a transaction failed or the report is not as version 15 writes it. */
export function readReport(text: string): PgbenchReport {
  const transactions = Number(/^number of transactions actually processed: (\d+)/m.exec(text)?.[1]);
  const failed = /^number of failed transactions: (\d+)/m.exec(text)?.[1];
  const tps = Number(
    /^tps = ([\d.]+) \((?:without initial connection|including reconnection) times?\)/m.exec(text)?.[1],
  );
  if (failed !== '0' || !(transactions > 0) || !(tps > 0)) throw new Error(`pgbench reported:\n${text}`);
  return { transactions, tps };
}

/**
 * Runs at a fixed rate and returns the microseconds of every transaction, ascending, counted from the moment it was due:
 * a transaction that had to wait for the one before it is as late as its user would find it. The first half second, in
 * which statements are prepared, is left out.
 */
export async function runAtRate(
  context: Context,
  to: Address,
  load: { readonly clients: number; readonly seconds: number; readonly perSecond: number },
): Promise<Float64Array> {
  const directory = mkdtempSync(join(context.directory, 'pgbench-'));
  const log = ['-l', '--log-prefix', join(directory, 'log')];
  await runPgbench(context, to, {
    ...load,
    options: ['-S', '-M', 'prepared', '-R', String(load.perSecond), ...log],
  });
  const text = readdirSync(directory)
    .map(name => readFileSync(join(directory, name), 'latin1'))
    .join('');
  rmSync(directory, { recursive: true });
  const latencies = readLog(text, SKIPPED_US);
  const expected = load.perSecond * (load.seconds - SKIPPED_US / 1e6);
  if (latencies.length < expected / 2) {
    throw new Error(
      `${latencies.length} transactions instead of about ${expected}: far too few to keep the rate`,
    );
  }
  return latencies;
}

/** Lines of `client transaction time script epoch_s epoch_us lag`; ascending `time`s but for the first `skipUs`. */
export function readLog(text: string, skipUs: number): Float64Array {
  const rows = text
    .split('\n')
    .filter(line => line !== '')
    .map(line => line.split(' ').map(Number));
  const atUs = ([, , , , seconds = NaN, micros = NaN]: number[]): number => seconds * 1e6 + micros;
  const first = rows.reduce((least, row) => Math.min(least, atUs(row)), Infinity);
  const kept = rows.filter(row => atUs(row) - first >= skipUs);
  return Float64Array.from(kept, ([, , time = NaN]) => time).sort();
}
