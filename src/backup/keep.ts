// Which backups may go: those beyond the number to keep, and those too old; never the newest good one, whatever the rules say.
// Pure. Called by run.ts after a backup was made, and only then: without a new one nothing is thrown away.

import { newestFirst, type BackupFile } from './choose.ts';

export interface Keep {
  readonly count: number;
  /** `null`: however old. */
  readonly ageMs: number | null;
}

/** `good`: the newest one that is known to be fit. `unfit`: those that could not be restored; they count for nothing. */
export function expired(
  files: readonly BackupFile[],
  { good, unfit }: { readonly good: string; readonly unfit: ReadonlySet<string> },
  { count, ageMs }: Keep,
  nowMs: number,
): readonly string[] {
  const fit = newestFirst(files.filter(({ path }) => !unfit.has(path)));
  const gone = fit.filter(
    ({ path, takenAtMs }, index) =>
      path !== good && (index >= count || (ageMs !== null && nowMs - takenAtMs > ageMs)),
  );
  return [...gone, ...files.filter(({ path }) => unfit.has(path) && path !== good)].map(({ path }) => path);
}
