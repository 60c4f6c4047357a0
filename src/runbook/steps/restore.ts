// The step `restore`: the newest backup that can be trusted, else the one before, and so on; each refusal is told.
// Which backup that is decides backup/choose.ts; the program that restores it is the step's, and run by run-step.ts.

import { chooseBackup } from '../../backup/choose.ts';
import { inspectBackup, listBackups } from '../../backup/files.ts';
import { type BackendConfig, type StepAction } from '../../config/schema.ts';
import { type StepResult } from '../model.ts';

type RestoreAction = Extract<StepAction, { kind: 'restore' }>;

export interface RestoreSurroundings {
  readonly protocol: BackendConfig['protocol'];
  /** Wall time. */
  wall(): number;
}

/** `run`: restores one file. */
export async function restore(
  { files: pattern, maxAgeMs, checksum }: RestoreAction,
  { protocol, wall }: RestoreSurroundings,
  run: (file: string) => Promise<StepResult>,
): Promise<StepResult> {
  const wish = {
    protocol: protocol === 'postgres' || protocol === 'mysql' ? protocol : null,
    maxAgeMs,
    checksum,
  };
  let files = await listBackups(pattern);
  const told: string[] = [];
  for (;;) {
    const choice = await chooseBackup(files, wish, wall(), inspectBackup);
    const { backup, refused } = choice;
    told.push(...refused.map(({ path, why }) => `${path} ${why}`));
    if (backup === null) {
      const why = told.length === 0 ? `there is none like ${pattern}` : told.join('; ');
      return { ok: false, detail: `no backup is fit: ${why}`, output: '' };
    }
    const result = await run(backup.path);
    const [chosen = backup.path] = choice.words.split('; ');
    if (result.ok) {
      const words = [`restored ${chosen}: what was written since is not in it`, ...told].join('; ');
      return { ok: true, detail: words, output: result.output };
    }
    told.push(`${backup.path} could not be restored: ${result.detail}`);
    const tried = new Set([backup.path, ...refused.map(({ path }) => path)]);
    files = files.filter(({ path }) => !tried.has(path));
    if (files.length === 0) return { ok: false, detail: told.join('; '), output: result.output };
  }
}
