// Makes one backup: the dump goes into a file beside its place, through to the disk, and gets its name only when it is whole,
// with what is known of it (its checksum, its moment, its position) written before. So a file with the name of a backup is one.
// Which server it is taken from is decided before (source.ts). Called by job.ts.

import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { describeError } from '../core/errors.ts';
import { type DumpFormat } from './commands.ts';
import { completeness, EDGE_BYTES, kindOf } from './dump-marks.ts';
import { manifestPath, writeManifest, type BackupManifest } from './files.ts';
import { ProgramFailure } from './program.ts';
import { visiting, type Server, type ToolDeps } from './tools.ts';

export interface Recipe {
  /** First part of each file's name. */
  readonly name: string;
  readonly directory: string;
  readonly database: string;
  readonly format: DumpFormat;
  readonly compress: boolean;
  /** Further arguments of the dump program. */
  readonly arguments: readonly string[];
}

export interface Origin extends Server {
  readonly backend: string;
  readonly server: string;
  /** As it was told just before: all up to here is in the backup. */
  readonly position: string | null;
  /** Wall time up to which all is in the backup: now, less what a replica is behind. */
  readonly atMs: number;
}

export interface MadeBackup {
  readonly path: string;
  readonly manifest: BackupManifest;
}

const TEMPORARY = '.tmp';

/** Rejects with a sentence; leaves nothing behind then. */
export async function makeBackup(recipe: Recipe, origin: Origin, deps: ToolDeps): Promise<MadeBackup> {
  await removeLeftovers(recipe, deps);
  const moment = new Date(origin.atMs).toISOString();
  const path = join(recipe.directory, fileName(recipe, origin.protocol, moment));
  const temporary = `${path}${TEMPORARY}`;
  try {
    const written = await write(temporary, recipe, origin, deps);
    const { sha256, bytes } = written;
    const { backend, server, position } = origin;
    const { database } = recipe;
    const manifest: BackupManifest = {
      format: 1,
      taken_at: moment,
      sha256,
      bytes,
      backend,
      server,
      database,
      position,
    };
    await writeManifest(path, manifest);
    await rename(temporary, path);
    await syncDirectory(recipe.directory);
    return { path, manifest };
  } catch (thrown) {
    for (const left of [temporary, manifestPath(path)]) await unlink(left).catch(() => undefined); // may not be there
    throw thrown;
  }
}

/** Of this recipe, whatever the moment. */
export const patternOf = ({ name, directory }: Pick<Recipe, 'name' | 'directory'>): string =>
  join(directory, `${name}-*Z.*`);

function fileName({ name, format, compress }: Recipe, protocol: Server['protocol'], moment: string): string {
  const custom = protocol === 'postgres' && format === 'custom';
  return `${name}-${moment.replaceAll(/[-:.]/g, '')}${custom ? '.dump' : compress ? '.sql.gz' : '.sql'}`;
}

async function write(
  path: string,
  { database, format, compress, arguments: more }: Recipe,
  origin: Origin,
  deps: ToolDeps,
): Promise<{ sha256: string; bytes: number }> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    const content = new Observed(null);
    const stored = new Observed(createHash('sha256'));
    const gzip = compress && !(origin.protocol === 'postgres' && format === 'custom') ? [createGzip()] : [];
    const written = pipeline([content, ...gzip, stored, sinkOf(file)]);
    const dumped = visiting(origin, deps, visit =>
      visit.dump(database, { format, arguments: more }, content),
    );
    dumped.catch(() => content.destroy()); // a program that never ran ends no stream
    // Both: a program that ends well is no backup if the disk is full.
    const [dump, disk] = await Promise.allSettled([dumped, written]);
    if (disk.status === 'rejected' && describeError(disk.reason).code === 'ENOSPC') throw disk.reason;
    for (const result of [dump, disk]) if (result.status === 'rejected') throw result.reason;
    const kind = kindOf(content.head);
    if (kind === null || completeness(kind, content.tail) === false)
      throw new ProgramFailure('what the dump program wrote is no whole dump');
    await file.sync();
    return { sha256: stored.sha256(), bytes: stored.bytes };
  } finally {
    await file.close();
  }
}

/** Left by a process that was killed; another one may be at work on a young one. */
async function removeLeftovers({ name, directory }: Recipe, { clock, timeoutMs }: ToolDeps): Promise<void> {
  for (const entry of await readdir(directory)) {
    if (!entry.startsWith(`${name}-`) || !entry.endsWith(TEMPORARY)) continue;
    const path = join(directory, entry);
    const { mtimeMs } = await stat(path);
    if (clock.wall() - mtimeMs > timeoutMs) await unlink(path).catch(() => undefined); // gone meanwhile
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Passes everything on, and remembers how it began and ended. */
class Observed extends Transform {
  head = Buffer.alloc(0);
  tail = Buffer.alloc(0);
  bytes = 0;
  readonly #hash: Hash | null;

  constructor(hash: Hash | null) {
    super();
    this.#hash = hash;
  }

  override _transform(chunk: Buffer, _encoding: string, done: (error: null, chunk: Buffer) => void): void {
    this.bytes += chunk.length;
    this.#hash?.update(chunk);
    if (this.head.length < EDGE_BYTES) this.head = Buffer.concat([this.head, chunk]).subarray(0, EDGE_BYTES);
    this.tail = Buffer.concat([this.tail, chunk.subarray(-EDGE_BYTES)]).subarray(-EDGE_BYTES);
    done(null, chunk);
  }

  sha256(): string {
    return this.#hash?.digest('hex') ?? '';
  }
}

/** Leaves the file open: it is synced before it is closed. (A stream that Node makes of it would hold up the closing.) */
const sinkOf = (file: FileHandle): Writable =>
  new Writable({
    write(chunk: Buffer, _encoding, done) {
      file.writeFile(chunk).then(() => done(), done); // from where the last one ended
    },
  });
