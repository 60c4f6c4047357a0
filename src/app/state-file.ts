// The state file: what of the topology survives a restart. Read once at the start, then written whole and atomically, one
// write at a time, the newest state each time. Whatever goes wrong with it after the start is told and never felt by traffic.
// What is in it: topology/saved.ts. Who may write it: state-owner.ts. Owned by app.ts.

import { readdir, readFile, readlink, realpath, rename, stat, unlink } from 'node:fs/promises';
import { type Clock, type Timer } from '../core/clock.ts';
import { describeError, PointsmanError } from '../core/errors.ts';
import { STATE_FILE_MAX_BYTES } from '../core/limits.ts';
import { type Logger } from '../core/logger.ts';
import { type BackendChange, type BackendView } from '../topology/model.ts';
import { readState, writeState, type SavedState } from '../topology/saved.ts';
import { type Topology } from '../topology/topology.ts';
import { directoryOf, replaceFile, StateOwner } from './state-owner.ts';

/** A memory moves with every transaction: that is written now and then. Also how long a failed write waits for the next try. */
const LATER_MS = 5000;
/** A disk that hangs must not hold up the end of the process. */
const CLOSE_MAX_MS = 2000;
/** No room: that passes, and traffic is more than the state. Anything else at the start is a mistake in the set-up. */
const passing = new Set(['ENOSPC', 'EDQUOT']);

export interface StateFileDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

/** What else is to be known of each backend, put beside what the topology says. */
type Extend = (state: SavedState) => SavedState;

interface Followed {
  readonly topology: Topology;
  readonly extend: Extend;
  readonly failed: () => void;
}

export class StateFile {
  /** What was in it at the start; empty if there was none, or none that could be believed. */
  readonly saved: SavedState;
  readonly #path: string;
  readonly #owner: StateOwner;
  readonly #clock: Clock;
  readonly #log: Logger;
  #followed: Followed | null = null;
  #unsubscribe: () => void = () => undefined;
  #timer: Timer | null = null;
  #isDue = false;
  #writing: Promise<void> | null = null;
  #written = '';
  /** Of the newest write; `null`: it went well. */
  #failure: string | null = null;
  #isTakenOver = false;
  #isLent = false;
  #closing: Promise<void> | null = null;

  private constructor(path: string, owner: StateOwner, saved: SavedState, { clock, log }: StateFileDeps) {
    this.#path = path;
    this.#owner = owner;
    this.saved = saved;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Throws STATE_FILE_UNUSABLE where nothing could ever be written, and STATE_FILE_IN_USE where another Pointsman does. A file
   * that can't be believed is set aside, with a warning.
   */
  static async open(configured: string, deps: StateFileDeps): Promise<StateFile> {
    const { clock, log } = deps;
    let failure: string | null = null;
    const path = await usable(configured, () => resolved(configured));
    const owner = new StateOwner(path);
    await usable(path, async () => {
      try {
        await owner.acquire();
      } catch (thrown) {
        if (!passing.has(describeError(thrown).code)) throw thrown;
        failure = describeError(thrown).message;
        log.warn({ file: path, error: failure }, 'the state file cannot be written now');
      }
    });
    try {
      await usable(path, () => removeLeftovers(path));
      const saved = await usable(path, () => readOrSetAside(path, clock.wall(), log));
      const file = new StateFile(path, owner, saved, deps);
      file.#failure = failure;
      return file;
    } catch (thrown) {
      await owner.release().catch(() => undefined); // nothing blocks on it; the first error is the one to tell
      throw thrown;
    }
  }

  /** Writes what there is to be known of the topology from now on; `failed` is called for each write that fails. */
  follow(topology: Topology, failed: () => void, extend: Extend = state => state): void {
    this.#followed = { topology, failed, extend };
    for (const view of topology.views()) tellWhatGoesOn(this.#log, view);
    const known = new Set(topology.views().map(({ name }) => name));
    for (const backend of this.saved.keys()) {
      if (!known.has(backend))
        this.#log.info({ backend }, 'no backend any more: what was saved of it is forgotten');
    }
    this.#unsubscribe = topology.changes.subscribe(change => {
      if (isWeighty(change)) this.#write();
      else this.#writeLater();
    });
    this.#write();
  }

  /** Resolves when what there is to be known now is on disk; rejects with why it can't be put there. */
  async persist(): Promise<void> {
    this.#write();
    await this.#writing;
    if (this.#isTakenOver) throw new Error('another Pointsman writes it');
    if (this.#isLent) throw new Error('a successor has it');
    if (this.#failure !== null) throw new Error(this.#failure);
  }

  /** Writes what there is, and lets a successor have the file. Rejects where that can't be. */
  async lend(): Promise<void> {
    this.#write();
    await this.#writing;
    this.#isLent = true;
    await this.#owner.release();
  }

  /** The successor is gone. */
  takeBack(): void {
    this.#isLent = false;
    this.#written = '';
    this.#write();
  }

  /** Writes a last time, and lets others have the file. Never rejects; waits two seconds at most. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#unsubscribe();
    if (this.#followed !== null) this.#write();
    await new Promise<void>(resolve => {
      const limit = this.#clock.schedule(CLOSE_MAX_MS, () => {
        this.#log.warn({ file: this.#path }, 'the state file hangs: its end is not waited for');
        resolve();
      });
      void this.#end().then(() => {
        limit.cancel();
        resolve();
      });
    });
    this.#timer?.cancel();
  }

  async #end(): Promise<void> {
    await this.#writing;
    try {
      await this.#owner.release();
    } catch (thrown) {
      this.#log.warn({ file: this.#path, error: describeError(thrown).message }, 'the lock stays behind');
    }
  }

  #writeLater(): void {
    this.#timer ??= this.#clock.schedule(LATER_MS, () => this.#write());
  }

  #write(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#isDue = true;
    this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    // Whoever has to hear of a change first, the proxy above all, has then heard of it.
    await Promise.resolve();
    while (this.#isDue && !this.#isTakenOver && !this.#isLent && this.#followed !== null) {
      this.#isDue = false;
      await this.#writeOnce(this.#followed);
    }
    this.#writing = null;
  }

  async #writeOnce({ topology, failed, extend }: Followed): Promise<void> {
    const text = writeState(extend(topology.save()));
    if (text === this.#written && this.#failure === null) return;
    try {
      const bytes = Buffer.byteLength(text);
      if (bytes > STATE_FILE_MAX_BYTES)
        throw new Error(`the state takes ${bytes} bytes, more than would be read again`);
      if (!(await this.#owner.mayWrite())) {
        this.#giveUp();
        failed();
        return;
      }
      await replaceFile(this.#path, this.#owner.token, text);
      this.#written = text;
      this.#recovered();
    } catch (thrown) {
      this.#failed(describeError(thrown).message);
      failed();
    }
  }

  #giveUp(): void {
    this.#isTakenOver = true;
    this.#log.error(
      { file: this.#path },
      'another Pointsman writes the state file now: this one does not any more, until it is restarted',
    );
  }

  #failed(error: string): void {
    if (this.#failure === null) {
      this.#log.warn(
        { file: this.#path, error },
        'the state file cannot be written: a restart would go on from an older state; traffic is not affected',
      );
    }
    this.#failure = error;
    if (this.#closing === null) this.#writeLater();
  }

  #recovered(): void {
    if (this.#failure !== null) this.#log.info({ file: this.#path }, 'the state file is written again');
    this.#failure = null;
  }
}

/** Whether it must be on disk at once: the choice itself, or what an operator decided. */
function isWeighty({ before, after }: BackendChange): boolean {
  if (before.epoch !== after.epoch || before.primary !== after.primary) return true;
  return after.servers.some(
    (server, index) =>
      server !== before.servers[index] &&
      server.admin !== (before.servers.find(({ name }) => name === server.name)?.admin ?? 'ready'),
  );
}

function tellWhatGoesOn(log: Logger, { name: backend, primary, epoch, servers }: BackendView): void {
  if (primary !== null) {
    const words = `${primary} was the primary before the restart: it is followed once it says so itself`;
    log.info({ backend, primary, epoch }, words);
  }
  for (const { name: server, admin } of servers) {
    if (admin !== 'ready')
      log.info({ backend, server, admin }, `${server} is in ${admin}, as before the restart`);
  }
}

async function usable<T>(configured: string, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (thrown) {
    if (thrown instanceof PointsmanError) throw thrown;
    const { code, message } = describeError(thrown);
    const directory = directoryOf(configured);
    const why =
      code === 'ENOENT'
        ? `the directory ${directory} does not exist`
        : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
          ? `the directory ${directory} cannot be written to (${code})`
          : message;
    throw new PointsmanError('STATE_FILE_UNUSABLE', `state_file ${configured}: ${why}`, { cause: thrown });
  }
}

/** The file itself where a link was configured. Only an ordinary file may be replaced. */
async function resolved(configured: string): Promise<string> {
  let path: string;
  try {
    path = await realpath(configured);
  } catch (thrown) {
    if (describeError(thrown).code !== 'ENOENT') throw thrown;
    // A link may have been put there before the first start: it leads to nothing yet.
    const target = await readlink(configured).catch(() => null); // no link, or no directory: said when it is written
    if (target === null) return configured;
    return resolved(target.startsWith('/') ? target : `${directoryOf(configured)}/${target}`);
  }
  if (!(await stat(path)).isFile()) {
    throw new PointsmanError('STATE_FILE_UNUSABLE', `state_file ${configured}: it is not an ordinary file`);
  }
  return path;
}

/** What writers left that were killed amid a write. */
async function removeLeftovers(path: string): Promise<void> {
  const directory = directoryOf(path);
  const name = path.slice(path.lastIndexOf('/') + 1);
  // Another Pointsman may write a file beside it whose name begins alike: what is its own stays.
  const leftovers = (await readdir(directory)).filter(
    entry => entry.startsWith(name) && /^(\.lock)?\.[0-9a-f-]{36}\.tmp$/.test(entry.slice(name.length)),
  );
  for (const entry of leftovers) await unlink(`${directory}/${entry}`);
}

async function readOrSetAside(path: string, wall: number, log: Logger): Promise<SavedState> {
  const read = await readWhole(path);
  if (read === null) return new Map();
  if (read.ok) return read.state;
  const aside = `${path}.damaged-${new Date(wall).toISOString().replaceAll(':', '-')}`;
  await rename(path, aside);
  log.warn(
    { file: path, aside, reason: read.why },
    `the state file is not believed (${read.why}) and was set aside as ${aside}: nothing is known of before the restart`,
  );
  return new Map();
}

async function readWhole(path: string): Promise<ReturnType<typeof readState> | null> {
  try {
    const { size } = await stat(path);
    if (size > STATE_FILE_MAX_BYTES)
      return { ok: false, why: `it is larger than ${STATE_FILE_MAX_BYTES} bytes` };
    return readState(await readFile(path, 'utf8'));
  } catch (thrown) {
    if (describeError(thrown).code === 'ENOENT') return null;
    // It may be good: whoever can't read it must not put it aside.
    throw thrown;
  }
}
