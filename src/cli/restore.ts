// `pointsman restore`: puts the newest fit backup in the place of a database, whatever was there. Made for the steps of a
// runbook that start a cold standby and bring back what it wrote; of use to people too. Called by cli.ts.

import { findBackup } from '../backup/files.ts';
import { restoreBackup } from '../backup/restore.ts';
import { systemClock } from '../core/clock.ts';
import { describeError, PointsmanError } from '../core/errors.ts';
import { readDuration } from '../config/units.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, out } from './output.ts';
import { readProbeUrl, type ProbeTarget } from './probe-url.ts';

export interface RestoreOptions {
  /** A file, or a pattern. */
  readonly files: string;
  readonly to: string;
  readonly maxAge: string | undefined;
  readonly keepFormer: string | undefined;
  readonly owners: boolean;
  readonly checksum: boolean;
  readonly programs: string | undefined;
}

const TIMEOUT_MS = 24 * 3_600_000;

export async function restore(options: RestoreOptions): Promise<ExitCode> {
  process.title = 'pointsman restore'; // the URL in argv may carry a password
  const { files, to, maxAge, keepFormer, owners, checksum, programs } = options;
  let target: ProbeTarget;
  try {
    target = readProbeUrl(to, process.env, TIMEOUT_MS);
  } catch (thrown) {
    if (!(thrown instanceof PointsmanError)) throw thrown;
    return refuse(thrown.message);
  }
  const { address, backend } = target;
  if (backend.protocol !== 'postgres' && backend.protocol !== 'mysql')
    return refuse('a backup is restored into postgres:// or mysql://');
  const { user, password, database } = backend.check;
  if (database === null) return refuse('the URL must name the database');
  if (backend.protocol === 'mysql' && keepFormer !== undefined)
    return refuse('a database of MySQL can’t get another name: --keep-former is for PostgreSQL');
  const age = maxAge === undefined ? null : readDuration(maxAge);
  if (age !== null && !age.ok) return refuse(`--max-age ${maxAge} ${age.reason}`);
  const abort = new AbortController();
  const end = (): void => abort.abort();
  process.on('SIGTERM', end).on('SIGINT', end);
  try {
    const { protocol } = backend;
    const wish = {
      protocol,
      maxAgeMs: age?.value ?? null,
      checksum: checksum ? 'required' : 'if-present',
    } as const;
    const { backup, words } = await findBackup(files, wish, systemClock.wall());
    if (backup === null) {
      complain(`pointsman restore: ${words}`);
      return exitCodes.no;
    }
    const login = { address, user, password };
    const place = { protocol, login, database, keepsOwners: owners, keepFormer: keepFormer ?? null };
    await restoreBackup(backup, place, {
      clock: systemClock,
      env: process.env,
      signal: abort.signal,
      timeoutMs: TIMEOUT_MS,
      programs: programs ?? null,
    });
    out(`restored ${words}`);
    return exitCodes.done;
  } catch (thrown) {
    complain(`pointsman restore: ${describeError(thrown).message}`);
    return exitCodes.no;
  } finally {
    process.off('SIGTERM', end).off('SIGINT', end);
  }
}

function refuse(why: string): ExitCode {
  complain(`pointsman restore: ${why}`);
  return exitCodes.usage;
}
