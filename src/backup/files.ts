// Backups as files: which there are, when each was taken, and what a look into one tells (its kind, its end, its checksum).
// What makes one fit stands in choose.ts. Called by the restore step of a runbook, by retention and by the metrics.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PassThrough, Writable, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { z } from 'zod';
import { describeError } from '../core/errors.ts';
import { BACKUP_FILES_MAX, BACKUP_MANIFEST_MAX_BYTES } from '../core/limits.ts';
import {
  chooseBackup,
  type BackupChoice,
  type BackupFacts,
  type BackupFile,
  type BackupWish,
} from './choose.ts';
import { completeness, EDGE_BYTES, kindOf } from './dump-marks.ts';

/** Beside a backup of ours stands what is known of it, `FILE.json`; written before the file has its name. */
const manifestSchema = z.object({
  format: z.literal(1),
  taken_at: z.iso.datetime(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().min(0),
  backend: z.string(),
  server: z.string(),
  database: z.string(),
  position: z.string().nullable(),
  /** It was restored for proof, and held this. */
  verified: z.object({ at: z.iso.datetime(), tables: z.int(), rows: z.int() }).optional(),
  /** It could not be restored, and why: it isn't chosen. */
  unfit: z.string().optional(),
});

export type BackupManifest = z.output<typeof manifestSchema>;

const SIDECARS = ['.json', '.sha256', '.tmp'];
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);

export const manifestPath = (backup: string): string => `${backup}.json`;

/** The newest fit backup among the files that `pattern` names (`*` and `?` in its last part), and why newer ones aren't. */
export async function findBackup(pattern: string, wish: BackupWish, nowMs: number): Promise<BackupChoice> {
  return chooseBackup(await listBackups(pattern), wish, nowMs, inspectBackup);
}

/**
 * The files that a pattern names; none where the directory doesn't exist. When each was taken is read from its manifest, else
 * from the moment in its name (`…20261128T225000Z…`), else from the time of its last change.
 */
export async function listBackups(pattern: string): Promise<readonly BackupFile[]> {
  const directory = dirname(pattern);
  const matches = matcher(basename(pattern));
  let names: readonly string[];
  try {
    names = await readdir(directory);
  } catch (thrown) {
    if (describeError(thrown).code === 'ENOENT') return [];
    throw thrown;
  }
  const wanted = names.filter(name => matches(name) && !SIDECARS.some(end => name.endsWith(end)));
  // Names begin alike and go on with the time: the last ones are the newest.
  const files = wanted
    .toSorted()
    .slice(-BACKUP_FILES_MAX)
    .map(name => fileAt(join(directory, name)));
  return (await Promise.all(files)).filter(file => file !== null);
}

async function fileAt(path: string): Promise<BackupFile | null> {
  try {
    const { size, mtimeMs, isFile } = await stat(path).then(s => ({ ...s, isFile: s.isFile() }));
    if (!isFile) return null;
    const manifest = await readManifest(path);
    const told = manifest === null ? momentIn(basename(path)) : Date.parse(manifest.taken_at);
    return { path, bytes: size, takenAtMs: told ?? mtimeMs };
  } catch (thrown) {
    if (describeError(thrown).code === 'ENOENT') return null; // removed meanwhile
    throw thrown;
  }
}

/** In UTC, as our own names tell it; a local time is no moment. */
function momentIn(name: string): number | null {
  const parts = /(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})?Z/.exec(name);
  if (parts === null) return null;
  const [year = 0, month = 1, day, hour, minute, second, ms] = parts.slice(1).map(part => Number(part ?? 0));
  const moment = Date.UTC(year, month - 1, day, hour, minute, second, ms);
  return Number.isNaN(moment) ? null : moment;
}

function matcher(pattern: string): (name: string) => boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const regex = new RegExp(`^${source}$`, 's');
  return name => regex.test(name) && !name.startsWith('.');
}

/** `null`: there is none that can be read as one. */
export async function readManifest(backup: string): Promise<BackupManifest | null> {
  const text = await smallText(manifestPath(backup));
  if (text === null) return null;
  try {
    return manifestSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null; // no JSON: not ours
  }
}

/** Whole or not at all. */
export async function writeManifest(backup: string, manifest: BackupManifest): Promise<void> {
  const temporary = `${manifestPath(backup)}.tmp`;
  await writeFile(temporary, `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600, flush: true });
  await rename(temporary, manifestPath(backup));
}

async function smallText(path: string): Promise<string | null> {
  try {
    if ((await stat(path)).size > BACKUP_MANIFEST_MAX_BYTES) return null;
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (describeError(thrown).code === 'ENOENT') return null;
    throw thrown;
  }
}

/** Reads the whole file once. What can't be read is told as damage: the backup before it may be well. */
export async function inspectBackup({ path }: BackupFile): Promise<BackupFacts> {
  const manifest = await readManifest(path);
  const expected = manifest?.sha256 ?? (await sha256Beside(path));
  const position = manifest?.position ?? null;
  const unknown = { kind: null, isCompressed: false, isComplete: null, position } as const;
  try {
    const { sha256, head, tail, isCompressed, damage } = await readThrough(path);
    const checksum = expected === null ? 'absent' : expected === sha256 ? 'matches' : 'differs';
    const kind = kindOf(head);
    const isComplete = kind === null ? null : completeness(kind, tail);
    const unfit = manifest?.unfit === undefined ? null : `could not be restored before: ${manifest.unfit}`;
    return { kind, isCompressed, isComplete, checksum, damage: damage ?? unfit, position };
  } catch (thrown) {
    const damage = `cannot be read: ${describeError(thrown).message}`;
    return { ...unknown, checksum: 'absent', damage };
  }
}

/** As `sha256sum FILE > FILE.sha256` writes it. */
async function sha256Beside(path: string): Promise<string | null> {
  const text = await smallText(`${path}.sha256`);
  return /^[0-9a-f]{64}(?=\s|$)/.exec(text?.toLowerCase() ?? '')?.[0] ?? null;
}

interface Look {
  readonly sha256: string;
  readonly head: Buffer;
  readonly tail: Buffer;
  readonly isCompressed: boolean;
  readonly damage: string | null;
}

async function readThrough(path: string): Promise<Look> {
  const hash = createHash('sha256');
  const isCompressed = (await firstBytes(path, GZIP_MAGIC.length)).equals(GZIP_MAGIC);
  const content = isCompressed ? createGunzip() : new PassThrough();
  const edges = new Edges();
  let damage: string | null = null;
  const looked = pipeline(content as unknown as Readable, edges).catch((thrown: unknown) => {
    damage = `is not whole: its compression breaks off (${describeError(thrown).code})`;
  });
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    if (damage === null && !content.destroyed && !content.write(chunk)) await drained(content);
  }
  content.end();
  await looked;
  return { sha256: hash.digest('hex'), head: edges.head, tail: edges.tail, isCompressed, damage };
}

/** Also over when the stream is: what decompresses ends at the first thing that is wrong. */
const drained = (stream: Writable): Promise<void> =>
  new Promise(resolve => {
    const done = (): void => {
      stream.off('drain', done).off('close', done);
      resolve();
    };
    stream.once('drain', done).once('close', done);
    if (stream.destroyed) done();
  });

async function firstBytes(path: string, count: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(path, { end: count - 1 }) as AsyncIterable<Buffer>)
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Keeps how a stream begins and how it ends. */
class Edges extends Writable {
  head = Buffer.alloc(0);
  tail = Buffer.alloc(0);

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.head.length < EDGE_BYTES) {
      this.head = Buffer.concat([this.head, chunk.subarray(0, EDGE_BYTES - this.head.length)]);
    }
    this.tail = Buffer.concat([this.tail, chunk.subarray(-EDGE_BYTES)]).subarray(-EDGE_BYTES);
    done();
  }
}
