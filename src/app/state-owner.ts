// Who may write the state file: one Pointsman at a time, as FILE.lock says. A lock counts while its process can be seen to
// run, so kill -9 leaves nothing that blocks. Where that can't be seen (another machine or container on a shared volume,
// no /proc), the newcomer takes over, and the one before notices when it wants to write. Used by state-file.ts.

import { randomUUID } from 'node:crypto';
import { open, readFile, readlink, rename, unlink } from 'node:fs/promises';
import { z } from 'zod';
import { describeError, PointsmanError } from '../core/errors.ts';

/** A process, so that it is told from another one of the same id: after a reboot, in another container. */
const processSchema = z.object({
  pid: z.int().min(1),
  /** In clock ticks since the boot (proc(5), /proc/pid/stat, field 22). */
  startedAt: z.string().min(1),
  bootId: z.string().min(1),
  pidNamespace: z.string().min(1),
});
type ProcessId = z.output<typeof processSchema>;

const lockSchema = z.object({ owner: z.string(), process: processSchema.nullable() });
type Lock = z.output<typeof lockSchema>;

export class StateOwner {
  /** Of this process; part of its temporary files' names, so that two never write into one. */
  readonly token: string = randomUUID();
  readonly #file: string;
  readonly #lockFile: string;
  #isHeld = false;

  constructor(file: string) {
    this.#file = file;
    this.#lockFile = `${file}.lock`;
  }

  /** Throws STATE_FILE_IN_USE where another Pointsman runs that holds the lock; what the file system says otherwise. */
  async acquire(): Promise<void> {
    const lock = await this.#read();
    if (lock !== null && lock.process !== null && (await isRunning(lock.process))) {
      throw new PointsmanError(
        'STATE_FILE_IN_USE',
        `state_file ${this.#file}: another Pointsman uses it, process ${lock.process.pid}; give each its own`,
      );
    }
    const own: Lock = { owner: this.token, process: await processIdOf(process.pid) };
    await replaceFile(this.#lockFile, this.token, `${JSON.stringify(own)}\n`);
    this.#isHeld = true;
  }

  /** Whether it is still ours to write; acquires the lock where that has not been possible yet, or it was removed. */
  async mayWrite(): Promise<boolean> {
    const lock = this.#isHeld ? await this.#read() : null;
    if (lock === null) await this.acquire();
    return lock === null || lock.owner === this.token;
  }

  async release(): Promise<void> {
    const lock = this.#isHeld ? await this.#read() : null;
    this.#isHeld = false;
    if (lock?.owner === this.token) await unlink(this.#lockFile);
  }

  /** `null`: there is none, or nothing that one of us has written. */
  async #read(): Promise<Lock | null> {
    const text = await textOf(this.#lockFile);
    try {
      return lockSchema.safeParse(JSON.parse(text ?? 'null')).data ?? null;
    } catch {
      return null; // not JSON: not ours
    }
  }
}

/** Puts a whole file in the place of another, for good: after a power cut it is the one or the other. */
export async function replaceFile(file: string, token: string, text: string): Promise<void> {
  const temporary = `${file}.${token}.tmp`;
  try {
    const handle = await open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (thrown) {
    await unlink(temporary).catch(() => undefined); // it may not be there; the first error is the one to tell
    throw thrown;
  }
  await syncDirectoryOf(file);
}

export function directoryOf(file: string): string {
  const end = file.lastIndexOf('/');
  return end === -1 ? '.' : file.slice(0, end) || '/';
}

async function syncDirectoryOf(file: string): Promise<void> {
  const handle = await open(directoryOf(file), 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** `null`: there is no such file. */
async function textOf(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    if (describeError(thrown).code === 'ENOENT') return null;
    throw thrown;
  }
}

async function isRunning(known: ProcessId): Promise<boolean> {
  const now = await processIdOf(known.pid);
  return (
    now !== null &&
    now.startedAt === known.startedAt &&
    now.bootId === known.bootId &&
    now.pidNamespace === known.pidNamespace
  );
}

/** `null`: it doesn't run any more, or this system doesn't tell (no /proc). */
async function processIdOf(pid: number): Promise<ProcessId | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name of the program, in parentheses, may hold anything.
    const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const startedAt = rest[18];
    if (startedAt === undefined || state === 'Z' || state === 'X') return null;
    return {
      pid,
      startedAt,
      bootId: (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim(),
      // Whose ids we see, not whose the other one sees: it may be another user's, and closed to us.
      pidNamespace: await readlink('/proc/self/ns/pid'),
    };
  } catch {
    return null; // no such process, or no /proc: nothing can be said
  }
}
