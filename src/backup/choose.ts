// Which of several backups is the one to restore: the newest that is fit, and why each newer one was refused.
// Decides only: files are listed and looked into by files.ts. Called through it by the restore step of a runbook, and by
// whoever asks how old the newest good backup is.

import { formatAge } from './words.ts';

/** What a program that makes backups leaves behind, told by the file's own first bytes. */
export type DumpKind = 'pg-custom' | 'pg-plain' | 'mysql';

export interface BackupFile {
  readonly path: string;
  readonly bytes: number;
  /** Wall time from which on nothing is in it; see files.ts for where that is read. */
  readonly takenAtMs: number;
}

/** What a look into the whole file told. */
export interface BackupFacts {
  /** `null`: no dump at all, whatever its name. */
  readonly kind: DumpKind | null;
  readonly isCompressed: boolean;
  /** Whether the mark that its maker writes last is there; `null`: this kind has none. */
  readonly isComplete: boolean | null;
  readonly checksum: 'matches' | 'differs' | 'absent';
  /** What else the file suffers from, such as a compression that breaks off; `null`: nothing. */
  readonly damage: string | null;
  /** The server's position in its log from which on nothing is in it, as it was told; `null`: nobody wrote it down. */
  readonly position: string | null;
}

export interface BackupWish {
  /** Whose dumps can be used; `null`: any. */
  readonly protocol: 'postgres' | 'mysql' | null;
  /** `null`: however old. */
  readonly maxAgeMs: number | null;
  /** `required`: a file without a checksum is refused; `if-present`: it needs another proof of being whole, if its kind has one. */
  readonly checksum: 'required' | 'if-present';
}

export interface Backup extends BackupFile, BackupFacts {
  readonly kind: DumpKind;
}

interface RefusedBackup {
  readonly path: string;
  /** The second half of a sentence: "is …", "has …". */
  readonly why: string;
}

export interface BackupChoice {
  /** `null`: none is fit. */
  readonly backup: Backup | null;
  /** `null` without a backup. What was written after that moment is not in it: the bound of what is lost. */
  readonly ageMs: number | null;
  /** Those newer than the chosen one, newest first; all, where there is none. */
  readonly refused: readonly RefusedBackup[];
  /** All of it in one sentence, for logs and incidents. */
  readonly words: string;
}

/** Clocks of two machines differ by seconds; more than this, and "newest" means nothing. */
const FUTURE_MAX_MS = 5 * 60_000;

const protocols: Readonly<Record<DumpKind, 'postgres' | 'mysql'>> = {
  'pg-custom': 'postgres',
  'pg-plain': 'postgres',
  mysql: 'mysql',
};

/** Looks at one after another, the newest first, and no further than needed: each look reads a whole file. */
export async function chooseBackup(
  files: readonly BackupFile[],
  wish: BackupWish,
  nowMs: number,
  inspect: (file: BackupFile) => Promise<BackupFacts>,
): Promise<BackupChoice> {
  const refused: RefusedBackup[] = [];
  for (const file of newestFirst(files)) {
    const early = objectionBefore(file, wish, nowMs);
    const facts = early === null ? await inspect(file) : null;
    const why = facts === null ? early : objectionTo(facts, wish);
    if (facts !== null && facts.kind !== null && why === null) {
      const ageMs = Math.max(0, nowMs - file.takenAtMs);
      const backup = { ...file, ...facts, kind: facts.kind };
      return { backup, ageMs, refused, words: sentence(`${file.path}, ${formatAge(ageMs)} old`, refused) };
    }
    refused.push({ path: file.path, why: why ?? 'is no dump' });
  }
  const words =
    refused.length === 0 ? 'no backup is fit: there is none' : sentence('no backup is fit', refused);
  return { backup: null, ageMs: null, refused, words };
}

/** By age, then by name: two of one second are told apart the same way each time. */
export const newestFirst = (files: readonly BackupFile[]): readonly BackupFile[] =>
  files.toSorted((one, other) => other.takenAtMs - one.takenAtMs || (one.path < other.path ? 1 : -1));

function objectionBefore({ bytes, takenAtMs }: BackupFile, wish: BackupWish, nowMs: number): string | null {
  const ageMs = nowMs - takenAtMs;
  if (bytes === 0) return 'is empty';
  if (ageMs < -FUTURE_MAX_MS) return `is of the future, by ${formatAge(-ageMs)}: the clocks disagree`;
  if (wish.maxAgeMs !== null && ageMs > wish.maxAgeMs)
    return `is ${formatAge(ageMs)} old, and ${formatAge(wish.maxAgeMs)} is the most`;
  return null;
}

function objectionTo(facts: BackupFacts, wish: BackupWish): string | null {
  const { kind, checksum, damage, isComplete } = facts;
  // The checksum first: of a file that isn't what was written nothing else means anything.
  if (checksum === 'differs') return 'has another content than its checksum was made of';
  if (damage !== null) return damage;
  if (kind === null) return 'is no dump';
  if (wish.protocol !== null && protocols[kind] !== wish.protocol) {
    return `is a dump of ${protocols[kind]}, and one of ${wish.protocol} is needed`;
  }
  if (isComplete === false) return 'is not whole: the mark at the end of a dump is missing';
  if (checksum === 'absent' && wish.checksum === 'required') return 'has no checksum';
  return null;
}

function sentence(chosen: string, refused: readonly RefusedBackup[]): string {
  return [chosen, ...refused.map(({ path, why }) => `${path} ${why}`)].join('; ');
}
