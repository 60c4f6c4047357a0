// The scheduled backups of a running Pointsman: one schedule for each, fed with the newest view of its backend, heard by the
// metrics. What a backup does stands in backup/. Owned by app.ts.

import { type BackupConfig, type Config } from '../config/schema.ts';
import { BackupSchedule, type ScheduledPlan } from '../backup/schedule.ts';
import { type Clock } from '../core/clock.ts';
import { PointsmanError } from '../core/errors.ts';
import { type Logger } from '../core/logger.ts';
import { backupMetrics, type BackupObserver } from '../metrics/backups.ts';
import { forgetLabels } from '../metrics/forget.ts';
import { type Metrics } from '../metrics/metrics.ts';
import { type Topology } from '../topology/topology.ts';

export interface BackupsDeps {
  readonly topology: Topology;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly env: Readonly<Record<string, string | undefined>>;
}

interface Kept {
  readonly schedule: BackupSchedule;
  readonly observe: BackupObserver;
  /** What it was made of: another one is another schedule. */
  readonly written: string;
}

export interface Backups {
  start(): void;
  /** The backups of another configuration from now on; those that are the same go on. */
  follow(config: Config): void;
  /** Call before each scrape. */
  refreshMetrics(): void;
  /** Ends what is under way. */
  stop(): Promise<void>;
}

export function planOf(name: string, backup: BackupConfig, { backends }: Config): ScheduledPlan {
  const protocol = backends[backup.backend]?.protocol;
  if (protocol !== 'postgres' && protocol !== 'mysql')
    throw new PointsmanError('INTERNAL', `backup ${name} is of no backend that can be backed up`);
  return { ...backup, name, protocol };
}

export function createBackups(config: Config, { topology, clock, log, metrics, env }: BackupsDeps): Backups {
  const kept = new Map<string, Kept>();
  const ending = new Set<Promise<void>>();

  function add(name: string, backup: BackupConfig, of: Config): Kept {
    const plan = planOf(name, backup, of);
    const observe = backupMetrics(metrics, name);
    const view = () => topology.view(plan.backend);
    const schedule = new BackupSchedule(plan, { clock, log, env, view, ended: observe.ended });
    return { schedule, observe, written: JSON.stringify(plan) };
  }

  function end(name: string, { schedule }: Kept): void {
    kept.delete(name);
    const ended = schedule.stop().then(() => void ending.delete(ended));
    ending.add(ended);
  }

  for (const [name, backup] of Object.entries(config.backups)) kept.set(name, add(name, backup, config));
  return {
    start: () => kept.forEach(({ schedule }) => schedule.start()),
    follow(after) {
      for (const [name, one] of [...kept]) {
        const backup = after.backups[name];
        if (backup !== undefined && JSON.stringify(planOf(name, backup, after)) === one.written) continue;
        end(name, one);
        if (backup === undefined) void forgetLabels(metrics, { backup: name });
      }
      for (const [name, backup] of Object.entries(after.backups)) {
        if (kept.has(name)) continue;
        const one = add(name, backup, after);
        kept.set(name, one);
        one.schedule.start();
      }
    },
    refreshMetrics: () =>
      kept.forEach(({ schedule, observe }) => observe.refresh(schedule.newest, clock.wall())),
    async stop() {
      await Promise.all([...ending, ...[...kept.values()].map(({ schedule }) => schedule.stop())]);
    },
  };
}
