// One run of one backup, from the choice of the server to the removal of old ones; and what came of it, as a value: a backup
// that fails is nothing that ends anything. Called by schedule.ts and by `pointsman backup`.

import { unlink } from 'node:fs/promises';
import { describeError } from '../core/errors.ts';
import { type BackendView } from '../topology/model.ts';
import { type Backup, type BackupChoice } from './choose.ts';
import { type Login } from './commands.ts';
import {
  findBackup,
  inspectBackup,
  listBackups,
  manifestPath,
  readManifest,
  writeManifest,
} from './files.ts';
import { expired, type Keep } from './keep.ts';
import { makeBackup, patternOf, type MadeBackup, type Recipe } from './make.ts';
import { ProgramFailure } from './program.ts';
import { chooseSource, type SourceWish } from './source.ts';
import { visiting, type ToolDeps } from './tools.ts';
import { verifyBackup, type Contents } from './verify.ts';

export interface BackupPlan extends Recipe {
  readonly protocol: 'postgres' | 'mysql';
  readonly backend: string;
  readonly source: SourceWish;
  readonly user: string;
  readonly password: string | null;
  readonly keep: Keep;
  /** `null`: backups are not restored for proof. */
  readonly verify: { readonly login: Login; readonly minRows: number } | null;
}

export const backupOutcomes = ['done', 'unverified', 'refused', 'failed'] as const;
/** `unverified`: made, but nothing could be said about restoring it; `refused`: there is no right server to take it from. */
type BackupOutcome = (typeof backupOutcomes)[number];

/** The newest good backup, for the metrics. */
export interface NewestBackup {
  readonly takenAtMs: number;
  readonly bytes: number;
  readonly words: string;
}

export interface BackupReport {
  readonly outcome: BackupOutcome;
  /** One sentence. */
  readonly words: string;
  readonly durationMs: number;
  readonly made: MadeBackup | null;
  readonly contents: Contents | null;
  readonly removed: readonly string[];
}

/** Never rejects. */
export async function runBackup(plan: BackupPlan, view: BackendView, deps: ToolDeps): Promise<BackupReport> {
  const startedAt = deps.clock.now();
  const report = (outcome: BackupOutcome, words: string, more: Partial<BackupReport> = {}): BackupReport => {
    return {
      outcome,
      words,
      durationMs: deps.clock.now() - startedAt,
      made: null,
      contents: null,
      removed: [],
      ...more,
    };
  };
  const source = chooseSource(view, plan.source, startedAt);
  if ('refused' in source) return report('refused', `no backup: ${source.refused}`);
  try {
    const { server, lagMs, position } = source;
    const login = { address: server.address, user: plan.user, password: plan.password };
    const origin = { protocol: plan.protocol, login, backend: plan.backend, server: server.name, position };
    const made = await makeBackup(plan, { ...origin, atMs: deps.clock.wall() - lagMs }, deps);
    const words = `backup of ${plan.backend} from ${server.name}: ${made.path}, ${made.manifest.bytes} bytes`;
    const proof = plan.verify === null ? null : await prove(plan, plan.verify, made, deps);
    if (proof !== null && 'unfit' in proof) return report('failed', `${words}, ${proof.unfit}`, { made });
    const removed = await removeExpired(plan, made.path, deps.clock.wall());
    if (proof === null) return report('done', words, { made, removed });
    if ('unknown' in proof) return report('unverified', `${words}, ${proof.unknown}`, { made, removed });
    return report('done', `${words}, ${held(proof.contents)}`, { made, removed, contents: proof.contents });
  } catch (thrown) {
    return report('failed', `no backup: ${describeError(thrown).message}`);
  }
}

type Proof = { readonly contents: Contents } | { readonly unfit: string } | { readonly unknown: string };

async function prove(
  { protocol, name }: BackupPlan,
  { login, minRows }: NonNullable<BackupPlan['verify']>,
  { path, manifest }: MadeBackup,
  deps: ToolDeps,
): Promise<Proof> {
  const server = { protocol, login };
  try {
    await visiting(server, deps, visit => visit.ask('select 1;'));
  } catch (thrown) {
    if (!(thrown instanceof ProgramFailure)) throw thrown;
    return { unknown: `not verified: ${thrown.message}` };
  }
  const facts = await inspectBackup({ path, bytes: manifest.bytes, takenAtMs: 0 });
  const database = `pointsman_verify_${name.replaceAll(/[^A-Za-z0-9]/g, '_')}`.slice(0, 48).toLowerCase();
  try {
    if (facts.kind === null || facts.checksum !== 'matches')
      throw new ProgramFailure('it is not what was written');
    const backup: Backup = { ...facts, kind: facts.kind, path, bytes: manifest.bytes, takenAtMs: 0 };
    const contents = await verifyBackup(backup, { server, database, minRows }, deps);
    const verified = { at: new Date(deps.clock.wall()).toISOString(), ...contents };
    await writeManifest(path, { ...manifest, verified });
    return { contents };
  } catch (thrown) {
    if (!(thrown instanceof ProgramFailure)) throw thrown;
    // It stays, and is refused when one is chosen: whoever looks for the reason finds both.
    await writeManifest(path, { ...manifest, unfit: thrown.message });
    return { unfit: `which could not be restored: ${thrown.message}` };
  }
}

async function removeExpired(plan: BackupPlan, good: string, nowMs: number): Promise<readonly string[]> {
  const files = await listBackups(patternOf(plan));
  const unfit = new Set<string>();
  for (const { path } of files) if ((await readManifest(path))?.unfit !== undefined) unfit.add(path);
  const gone = expired(files, { good, unfit }, plan.keep, nowMs);
  for (const path of gone) {
    // The file first: what is left of a backup that was half removed is no backup.
    for (const one of [path, manifestPath(path)]) await unlink(one).catch(ignoreMissing);
  }
  return gone;
}

function ignoreMissing(thrown: unknown): void {
  if (describeError(thrown).code !== 'ENOENT') throw thrown;
}

/** Restores the newest good one for proof, without making another. Never rejects. */
export async function verifyNewest(
  plan: BackupPlan,
  deps: ToolDeps,
): Promise<{ readonly isProved: boolean; readonly words: string }> {
  if (plan.verify === null)
    return { isProved: false, words: 'no server to restore it on: the key verify is missing' };
  try {
    const { backup, words } = await newestFit(plan, deps.clock.wall());
    const manifest = backup === null ? null : await readManifest(backup.path);
    if (backup === null || manifest === null) return { isProved: false, words };
    const proof = await prove(plan, plan.verify, { path: backup.path, manifest }, deps);
    if ('unfit' in proof) return { isProved: false, words: `${backup.path}, ${proof.unfit}` };
    if ('unknown' in proof) return { isProved: false, words: `${backup.path}, ${proof.unknown}` };
    return { isProved: true, words: `${words}; ${held(proof.contents)}` };
  } catch (thrown) {
    return { isProved: false, words: describeError(thrown).message };
  }
}

const held = ({ tables, rows }: Contents): string =>
  `restored for proof: ${tables} ${tables === 1 ? 'table' : 'tables'}, ${rows} rows`;

/** The newest good one of a plan: when it was taken and its size; `null`: there is none. */
export async function newestGood(plan: Made, nowMs: number): Promise<NewestBackup | null> {
  const { backup, words } = await newestFit(plan, nowMs);
  return backup === null ? null : { takenAtMs: backup.takenAtMs, bytes: backup.bytes, words };
}

type Made = Pick<BackupPlan, 'name' | 'directory' | 'protocol'>;

function newestFit(plan: Made, nowMs: number): Promise<BackupChoice> {
  return findBackup(
    patternOf(plan),
    { protocol: plan.protocol, maxAgeMs: null, checksum: 'required' },
    nowMs,
  );
}
