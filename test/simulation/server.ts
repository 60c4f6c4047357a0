// A simulated database server: what it is by the truth of the simulated world, and what it answers when it is asked.
// Not what Pointsman believes of it. Promotion, rejoining and replication are done to it by cluster.ts, damage by faults.ts.

import { type Address } from '../../src/core/address.ts';
import { type ProbeAnswer } from '../../src/health/prober.ts';
import { type Engine } from './engines.ts';
import { type SimTime } from './time.ts';

/** `off`: the machine is gone, and nothing answers, not even with a reset. */
type ProcessState = 'running' | 'starting' | 'stopped' | 'off';

/** What lies on its disk. */
export interface Data {
  readonly systemId: string;
  timeline: number;
  /** Bytes of its log. */
  lsn: number;
  /** Where each timeline that it has been on ended, so that it can be told who shares its history. */
  readonly forks: readonly { readonly timeline: number; readonly lsn: number; readonly id: number }[];
  /** Where its newest recovery ended; `null` on a standby, and when there was none. */
  readonly recoveredTo: number | null;
  /** Two servers that were promoted from the same timeline have the same number for it, and not the same history. */
  branch: number;
}

const READY = 'answers as it should';
/** How many sessions are busy beyond what it lets in is not simulated: it is so for a while, or it isn't. */
const BUSY: ProbeAnswer = { code: 'L7BUSY', detail: 'sorry, too many clients already' };
const STARTING: ProbeAnswer = { code: 'L7START', detail: 'the database system is starting up' };

export class SimServer {
  readonly name: string;
  readonly address: Address;
  state: ProcessState = 'running';
  frozen = false;
  busy = false;
  /** `default_transaction_read_only`, set by hand. */
  readOnly = false;
  /** Of MySQL: what it has received of the other. */
  applying: 'yes' | 'slowly' | 'no' = 'yes';
  /** A promoted server takes writes only from then on. */
  writableFrom = 0;
  data: Data;
  /** `null`: it is a primary. */
  upstream: SimServer | null;
  /** Its receiver is connected. */
  streaming = false;
  /** Another one after each start of the process: connections to an earlier one are dead. */
  incarnation = 1;
  readonly #engine: Engine;
  readonly #time: SimTime;
  /** What has reached its machine while it was frozen. */
  readonly #inbox: (() => void)[] = [];
  readonly #onDeath = new Set<(silently: boolean) => void>();

  constructor(
    engine: Engine,
    name: string,
    address: Address,
    data: Data,
    upstream: SimServer | null,
    time: SimTime,
  ) {
    this.#engine = engine;
    this.name = name;
    this.address = address;
    this.data = data;
    this.upstream = upstream;
    this.#time = time;
  }

  /** Another one after each start. */
  get process(): string {
    return `${this.name}-${this.incarnation}`;
  }

  get isPrimary(): boolean {
    return this.upstream === null;
  }

  /** Takes writes from an ordinary session right now. */
  get isWritable(): boolean {
    return this.isPrimary && !this.readOnly && this.#time.now >= this.writableFrom;
  }

  /** Runs what has come to its process: now, or when it thaws. */
  receive(task: () => void): void {
    if (this.frozen) this.#inbox.push(task);
    else task();
  }

  thaw(): void {
    this.frozen = false;
    for (const task of this.#inbox.splice(0)) task();
  }

  /** Called at the end of the process: with `silently`, nobody is sent a reset. Returns how to stop listening. */
  onDeath(listener: (silently: boolean) => void): () => void {
    this.#onDeath.add(listener);
    return () => void this.#onDeath.delete(listener);
  }

  die(state: 'stopped' | 'off'): void {
    this.state = state;
    this.frozen = false;
    this.#inbox.length = 0;
    this.incarnation += 1;
    this.streaming = false;
    for (const listener of [...this.#onDeath]) listener(state === 'off');
    this.#onDeath.clear();
  }

  start(startingMs: number): void {
    if (this.state === 'running' || this.state === 'starting') return;
    this.state = 'starting';
    this.data = this.#engine.loaded(this.data, this.isPrimary);
    const { incarnation } = this;
    this.#time.schedule(startingMs, () => {
      if (this.state === 'starting' && this.incarnation === incarnation) this.state = 'running';
    });
  }

  /** Its answer to a probe that has reached its process. */
  answer(): ProbeAnswer {
    if (this.state === 'starting') return STARTING;
    if (this.busy) return BUSY;
    return { code: 'L7OK', detail: READY, facts: this.#engine.facts(this) };
  }
}
