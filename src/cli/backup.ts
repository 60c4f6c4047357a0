// `pointsman backup`: makes the configured backups once, now, as a running Pointsman would at their time; with --verify it only
// restores the newest good one of each for proof. Needs no running one: it asks the servers itself. Called by cli.ts.

import { planOf } from '../app/backups.ts';
import { createLog } from '../app/log.ts';
import { lookAt } from '../app/onlooker.ts';
import { version } from '../app/version.ts';
import { runBackup } from '../backup/run.ts';
import { chooseSource } from '../backup/source.ts';
import { type ScheduledPlan } from '../backup/schedule.ts';
import { type ToolDeps } from '../backup/tools.ts';
import { verifyNewest } from '../backup/run.ts';
import { type Config } from '../config/schema.ts';
import { systemClock } from '../core/clock.ts';
import { systemRandom } from '../core/random.ts';
import { ConfigFile, readConfig } from './config-file.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, out } from './output.ts';

/** A server that is lost needs two probes and their timeouts to be called that; then nothing more is to be expected. */
const LOOK_MAX_MS = 10_000;

export async function backup(file: string, name: string | undefined, verifyOnly: boolean): Promise<ExitCode> {
  process.title = 'pointsman backup'; // argv may name files that hold secrets
  const config = readConfig(new ConfigFile(file));
  if (config === null) return exitCodes.no;
  const names = name === undefined ? Object.keys(config.backups) : [name];
  const missing = names.find(one => !Object.hasOwn(config.backups, one));
  if (names.length === 0 || missing !== undefined) {
    const known = Object.keys(config.backups).join(', ');
    complain(
      `pointsman backup: ${missing === undefined ? 'no backups are configured' : `there is no backup ${missing}; known: ${known}`}`,
    );
    return exitCodes.usage;
  }
  const abort = new AbortController();
  const end = (): void => abort.abort();
  process.on('SIGTERM', end).on('SIGINT', end);
  try {
    let allWell = true;
    for (const one of names) {
      const settings = config.backups[one];
      if (settings === undefined) continue;
      const plan = planOf(one, settings, config);
      const { timeoutMs, programs } = plan;
      const deps: ToolDeps = {
        clock: systemClock,
        env: process.env,
        signal: abort.signal,
        timeoutMs,
        programs,
      };
      const isWell = await (verifyOnly ? proveOne(plan, deps) : makeOne(config, plan, deps));
      allWell &&= isWell;
    }
    return allWell ? exitCodes.done : exitCodes.no;
  } finally {
    process.off('SIGTERM', end).off('SIGINT', end);
  }
}

async function makeOne(config: Config, plan: ScheduledPlan, deps: ToolDeps): Promise<boolean> {
  const view = await lookAt(
    config,
    plan.backend,
    now => !('refused' in chooseSource(now, plan.source, systemClock.now())),
    LOOK_MAX_MS,
    { clock: systemClock, random: systemRandom, log: createLog('error'), version, node: process.version },
  );
  const { outcome, words, removed } = await runBackup(plan, view, deps);
  out(`${plan.name}: ${words}`);
  for (const path of removed) out(`${plan.name}: removed ${path}`);
  return outcome === 'done';
}

async function proveOne(plan: ScheduledPlan, deps: ToolDeps): Promise<boolean> {
  const { isProved, words } = await verifyNewest(plan, deps);
  out(`${plan.name}: ${words}`);
  return isProved;
}
