// One worker thread and what outlives it: its eventfd, the record of its descriptors, its restarts. When it dies its
// connections are closed here, since nobody else can, and another takes its place. Owned by pool.ts.

import { writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { type Clock, type MonotonicMs, type Timer } from '../../../core/clock.ts';
import { describeError, invariant, PointsmanError } from '../../../core/errors.ts';
import { WORKER_RESTART_MAX_MS, WORKER_RESTART_MIN_MS, WORKER_STEADY_MS } from '../../bounds.ts';
import * as linux from './libc.ts';
import { int32, type Libc } from './libc.ts';
import {
  type FromWorker,
  type Reconfiguration,
  type ToWorker,
  type VersionedView,
  type WorkerStart,
} from './messages.ts';

/** Descriptors are numbered from the lowest free: this many can be open in one process (fs.nr_open's default). */
const DESCRIPTORS_MAX = 1024 * 1024;
/** Memory mappings of a worker: those of its io_uring. */
const MAPPINGS_MAX = 8;
/** Most of a worker's memory is its connections; a small nursery keeps garbage from looking like more of them. */
const NURSERY_MB = 3;

export interface ThreadHost {
  /** What the next worker starts with. */
  birth(): Omit<WorkerStart, 'wake' | 'open' | 'mappings'>;
  told(message: FromWorker): void;
  /** It died; its descriptors are closed. Another follows unless the pool is ending. */
  lost(detail: string): void;
}

export class WorkerThread {
  /** By version of a configuration: who waits for it to be in force here. */
  readonly #awaited = new Map<number, () => void>();
  readonly #index: number;
  readonly #libc: Libc;
  readonly #clock: Clock;
  readonly #host: ThreadHost;
  readonly #wake: number;
  readonly #open = new SharedArrayBuffer(DESCRIPTORS_MAX);
  readonly #mappings = new SharedArrayBuffer(MAPPINGS_MAX * 16);
  #worker: Worker | null = null;
  #startedAt: MonotonicMs = -Infinity;
  #restart: Timer | null = null;
  #restartMs = 0;
  #shown = 0;
  #applied = 0;
  #appliedBefore = 0;
  #ready = false;
  #strikes = 0;
  #failure = 'it ended';
  #ending = false;
  /** The eventfd is closed; its number may be another's by now. */
  #freed = false;
  #gone: (() => void)[] = [];
  #released: (() => void)[] = [];

  constructor(index: number, libc: Libc, clock: Clock, host: ThreadHost) {
    this.#index = index;
    this.#libc = libc;
    this.#clock = clock;
    this.#host = host;
    this.#wake = libc.eventfd(0, linux.EFD_NONBLOCK | linux.EFD_CLOEXEC);
    invariant(this.#wake !== -1, 'the main thread has a descriptor for an eventfd');
  }

  /** Resolves when it accepts clients; rejects when it dies before. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#spawn(resolve, reject);
    });
  }

  send(message: ToWorker): void {
    this.#worker?.postMessage(message);
    this.#rouse();
  }

  show(view: VersionedView): void {
    if (this.#worker === null) return;
    this.#shown = view.version;
    this.send({ kind: 'view', ...view });
  }

  /** Resolves when it is in force; or the worker is gone, since the next one is born with it. */
  reconfigure(change: Reconfiguration): Promise<void> {
    if (this.#worker === null) return Promise.resolve();
    return new Promise(resolve => {
      this.#awaited.set(change.version, resolve);
      this.send({ kind: 'reconfigure', ...change });
    });
  }

  /**
   * Called at intervals: ends a worker that has views to apply and has applied none for `strikes` calls in a row. One
   * that is shown another whenever we look, as in a failover, works; one that is still starting has its own time.
   */
  check(strikes: number): void {
    const hangs = this.#ready && this.#applied < this.#shown && this.#applied === this.#appliedBefore;
    this.#appliedBefore = this.#applied;
    this.#strikes = hangs ? this.#strikes + 1 : 0;
    if (this.#strikes < strikes) return;
    this.#failure = 'it hung';
    void this.terminate();
  }

  /** Kills it, as a failure would. */
  async terminate(): Promise<void> {
    const ended = this.#worker?.terminate();
    this.#rouse();
    await ended;
  }

  /** It accepts clients, and applies the views that it is shown. */
  get isAlive(): boolean {
    return this.#ready && this.#strikes === 0;
  }

  /** Resolves when it has nothing to do with its listening sockets any more: it was told to end, or died. */
  released(): Promise<void> {
    if (this.#worker === null) return Promise.resolve();
    return new Promise(resolve => this.#released.push(resolve));
  }

  /** Tells it to end, waits, ends it at the bound, and frees what outlives it. */
  async end(message: ToWorker, boundMs: number): Promise<void> {
    this.#restart?.cancel();
    this.#ending = true;
    if (this.#worker !== null) {
      const gone = new Promise<void>(resolve => this.#gone.push(resolve));
      const timer = this.#clock.schedule(boundMs, () => void this.terminate());
      this.send(message);
      await gone;
      timer.cancel();
    }
    if (!this.#freed) this.#libc.close(this.#wake);
    this.#freed = true;
  }

  #spawn(ready: () => void, failed: (thrown: unknown) => void): void {
    const workerData: WorkerStart = {
      ...this.#host.birth(),
      wake: this.#wake,
      open: this.#open,
      mappings: this.#mappings,
    };
    this.#startedAt = this.#clock.now();
    this.#failure = 'it ended';
    this.#shown = this.#applied = this.#appliedBefore = this.#strikes = 0;
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData,
      name: `data plane ${this.#index}`,
      resourceLimits: { maxYoungGenerationSizeMb: NURSERY_MB },
    });
    this.#worker = worker;
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'ready') {
        this.#ready = true;
        ready();
      }
      if (message.kind === 'applied') this.#applied = message.version;
      if (message.kind === 'released') this.#letGo();
      if (message.kind === 'reconfigured') this.#reconfigured(message.version);
      this.#host.told(message);
    });
    worker.on('error', thrown => {
      this.#failure = describeError(thrown).message;
      failed(thrown);
    });
    worker.on('exit', () => {
      failed(new PointsmanError('INTERNAL', `data plane ${this.#index}: ${this.#failure}`));
      this.#exited();
    });
  }

  #exited(): void {
    this.#worker = null;
    this.#ready = false;
    this.#closeDescriptors();
    this.#unmap();
    if (!this.#ending) this.#replace();
    for (const version of this.#awaited.keys()) this.#reconfigured(version);
    this.#letGo();
    for (const resolve of this.#gone.splice(0)) resolve();
  }

  #letGo(): void {
    for (const resolve of this.#released.splice(0)) resolve();
  }

  #reconfigured(version: number): void {
    this.#awaited.get(version)?.();
    this.#awaited.delete(version);
  }

  #replace(): void {
    const steady = this.#clock.now() - this.#startedAt >= WORKER_STEADY_MS;
    this.#restartMs = steady
      ? 0
      : Math.min(WORKER_RESTART_MAX_MS, Math.max(WORKER_RESTART_MIN_MS, this.#restartMs * 2));
    this.#host.lost(this.#failure);
    const nobody = (): void => undefined; // a failure comes back through `exit`
    this.#restart = this.#clock.schedule(this.#restartMs, () => this.#spawn(nobody, nobody));
  }

  /** With a reset: what they carried is cut off, and mustn't look like a proper end. */
  #closeDescriptors(): void {
    const open = new Uint8Array(this.#open);
    const abort = int32(1, 0);
    for (let fd = open.indexOf(1); fd !== -1; fd = open.indexOf(1, fd + 1)) {
      this.#libc.setsockopt(fd, linux.SOL_SOCKET, linux.SO_LINGER, abort, abort.length);
      this.#libc.close(fd);
      open[fd] = 0;
    }
  }

  #unmap(): void {
    const mappings = new Float64Array(this.#mappings);
    for (let at = 0; mappings[at] !== 0 && at < mappings.length; at += 2) {
      this.#libc.munmap(mappings[at] ?? 0, mappings[at + 1] ?? 0);
    }
    mappings.fill(0);
  }

  #rouse(): void {
    // What comes after the end (an answer of the resolver) wakes nobody: the number may be another descriptor's by now.
    if (!this.#freed) writeSync(this.#wake, new BigUint64Array([1n]));
  }
}
