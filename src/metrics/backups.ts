// What the metrics tell of one backup: each run as it ends, and at each scrape how old and how large the newest good one is.
// Called by app/backups.ts.

import { backupOutcomes, type BackupReport, type NewestBackup } from '../backup/run.ts';
import { type Metrics } from './metrics.ts';

export interface BackupObserver {
  readonly ended: (report: BackupReport) => void;
  readonly refresh: (newest: Pick<NewestBackup, 'takenAtMs' | 'bytes'> | null, nowMs: number) => void;
}

export function backupMetrics(metrics: Metrics, backup: string): BackupObserver {
  for (const outcome of backupOutcomes) metrics.backupRuns.inc({ backup, outcome }, 0);
  return {
    ended({ outcome, durationMs, contents }) {
      metrics.backupRuns.inc({ backup, outcome });
      metrics.backupDuration.set({ backup }, durationMs / 1000);
      if (contents !== null) metrics.backupRows.set({ backup }, contents.rows);
    },
    refresh(newest, nowMs) {
      // Absent while there is none: an age of 0 would look like the best of all backups.
      if (newest === null) return;
      metrics.backupAge.set({ backup }, Math.max(0, nowMs - newest.takenAtMs) / 1000);
      metrics.backupSize.set({ backup }, newest.bytes);
    },
  };
}
