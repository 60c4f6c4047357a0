// Runs one backup again and again: due when the newest good one has the age of the interval, also over restarts; after a
// failure it is tried sooner. One at a time. Owned by app/backups.ts.

import { type Clock, type Timer } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';
import { type Logger } from '../core/logger.ts';
import { type BackendView } from '../topology/model.ts';
import { newestGood, runBackup, type BackupPlan, type BackupReport, type NewestBackup } from './run.ts';
import { type ToolDeps } from './tools.ts';

export interface ScheduledPlan extends BackupPlan {
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** Where the programs are; `null`: where PATH leads to. */
  readonly programs: string | null;
}

export interface ScheduleDeps extends Pick<ToolDeps, 'env'> {
  readonly clock: Clock;
  readonly log: Logger;
  view(): BackendView;
  ended(report: BackupReport): void;
}

/** The first try after a failure; the next ones wait twice as long each time, and never longer than the interval. */
const RETRY_FIRST_MS = 10_000;
/** The servers have been asked by then: a backup at the very start would find none. */
const SETTLE_MS = 2000;

export class BackupSchedule {
  readonly #plan: ScheduledPlan;
  readonly #deps: ScheduleDeps;
  readonly #abort = new AbortController();
  #timer: Timer | null = null;
  #running: Promise<void> = Promise.resolve();
  #failures = 0;
  /** `null`: there is none, or none was looked for yet. */
  newest: Pick<NewestBackup, 'takenAtMs' | 'bytes'> | null = null;

  constructor(plan: ScheduledPlan, deps: ScheduleDeps) {
    this.#plan = plan;
    this.#deps = deps;
  }

  start(): void {
    this.#running = this.#lookAround();
  }

  /** Ends a run amid its work; resolves when nothing of it is left. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#timer?.cancel();
    await this.#running;
  }

  async #lookAround(): Promise<void> {
    const { clock, log } = this.#deps;
    const { name, everyMs } = this.#plan;
    try {
      const newest = await newestGood(this.#plan, clock.wall());
      this.newest = newest;
      const words =
        newest === null ? 'there is no good backup yet' : `the newest good backup: ${newest.words}`;
      log.info({ backup: name }, words);
    } catch (thrown) {
      log.warn(
        { backup: name, error: describeError(thrown).message },
        'the directory of the backups cannot be read',
      );
    }
    const ageMs = this.newest === null ? everyMs : clock.wall() - this.newest.takenAtMs;
    this.#next(Math.max(SETTLE_MS, Math.min(everyMs - ageMs, everyMs)));
  }

  #next(delayMs: number): void {
    if (this.#abort.signal.aborted) return;
    this.#timer = this.#deps.clock.schedule(delayMs, () => {
      this.#running = this.#run();
    });
  }

  async #run(): Promise<void> {
    const { clock, log, env, view, ended } = this.#deps;
    const { name, backend, everyMs, timeoutMs, programs } = this.#plan;
    const startedAt = clock.now();
    const deps = { clock, env, signal: this.#abort.signal, timeoutMs, programs };
    const report = await runBackup(this.#plan, view(), deps);
    const { outcome, words, durationMs, made, removed } = report;
    if (this.#abort.signal.aborted) return;
    const isGood = outcome === 'done' || outcome === 'unverified';
    if (isGood && made !== null) {
      this.newest = { takenAtMs: Date.parse(made.manifest.taken_at), bytes: made.manifest.bytes };
    }
    this.#failures = isGood ? 0 : this.#failures + 1;
    const level = outcome === 'done' ? 'info' : 'warn';
    log[level](
      { backup: name, backend, outcome, durationMs: Math.round(durationMs), removed: removed.length },
      words,
    );
    ended(report);
    const retryMs = RETRY_FIRST_MS * 2 ** Math.min(20, this.#failures - 1);
    this.#next(isGood ? Math.max(0, everyMs - (clock.now() - startedAt)) : Math.min(retryMs, everyMs));
  }
}
