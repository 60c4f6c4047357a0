// An application in miniature: writes numbered rows through one port, over and over, and remembers which were
// acknowledged. Reconnects like any pool, knows nothing of failover. Used by the demo, the failover tests and the bench.

import { Client, DatabaseError } from 'pg';
import { type Clock, type MonotonicMs } from '../../core/clock.ts';
import { describeError } from '../../core/errors.ts';

export interface WriterTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export const CREATE_LEDGER = 'CREATE TABLE ledger (writer int, seq bigint, PRIMARY KEY (writer, seq))';

/** A broken connection or a refused statement, as the application saw it. */
export interface WriterError {
  readonly at: MonotonicMs;
  /** SQLSTATE of the server, or the system's error code. */
  readonly code: string;
  readonly message: string;
  /** Connecting, or writing on an open connection. */
  readonly during: 'connect' | 'write';
}

export interface Acknowledged {
  readonly seq: number;
  readonly at: MonotonicMs;
}

const RECONNECT_PAUSE_MS = 10;
const PAUSE_BETWEEN_WRITES_MS = 2;

export class LedgerWriter {
  readonly acknowledged: Acknowledged[] = [];
  readonly errors: WriterError[] = [];
  readonly #target: WriterTarget;
  readonly #writer: number;
  readonly #clock: Clock;
  #running = false;
  #finished: Promise<void> = Promise.resolve();
  #client: Client | null = null;

  constructor(target: WriterTarget, writer: number, clock: Clock) {
    this.#target = target;
    this.#writer = writer;
    this.#clock = clock;
  }

  start(): void {
    this.#running = true;
    this.#finished = this.#work();
  }

  /** Settles when the last statement has been answered; a connection that hangs is cut after a second. */
  async stop(): Promise<void> {
    this.#running = false;
    const cut = this.#clock.schedule(1000, () => void this.#client?.end());
    await this.#finished;
    cut.cancel();
  }

  /** The longest time between two acknowledged writes, and when it ended. */
  longestGap(): { ms: number; endedAt: MonotonicMs } {
    let longest = { ms: 0, endedAt: 0 };
    this.acknowledged.forEach(({ at }, index) => {
      const ms = at - (this.acknowledged[index - 1]?.at ?? at);
      if (ms > longest.ms) longest = { ms, endedAt: at };
    });
    return longest;
  }

  async #work(): Promise<void> {
    let seq = 1;
    while (this.#running) {
      const client = await this.#connect();
      if (client === null) {
        await this.#pause(RECONNECT_PAUSE_MS);
        continue;
      }
      this.#client = client;
      seq = await this.#writeUntilBroken(client, seq);
      this.#client = null;
      await client.end().catch((thrown: unknown) => this.#failed('connect', thrown));
    }
  }

  async #connect(): Promise<Client | null> {
    const client = new Client(this.#target);
    // a connection cut between two statements; the next statement fails and is recorded
    client.on('error', () => undefined);
    try {
      await client.connect();
      return client;
    } catch (thrown) {
      this.#failed('connect', thrown);
      return null;
    }
  }

  /** Returns the number to go on with. One whose outcome is unknown is written again: the key makes that harmless. */
  async #writeUntilBroken(client: Client, from: number): Promise<number> {
    for (let seq = from; ; seq += 1) {
      if (!this.#running) return seq;
      try {
        await client.query('INSERT INTO ledger VALUES ($1, $2) ON CONFLICT DO NOTHING', [this.#writer, seq]);
        this.acknowledged.push({ seq, at: this.#clock.now() });
      } catch (thrown) {
        this.#failed('write', thrown);
        return seq;
      }
      await this.#pause(PAUSE_BETWEEN_WRITES_MS);
    }
  }

  #failed(during: WriterError['during'], thrown: unknown): void {
    const { code, message } = describeError(thrown);
    const sqlstate = thrown instanceof DatabaseError ? thrown.code : undefined;
    this.errors.push({ at: this.#clock.now(), code: sqlstate ?? code, message, during });
  }

  #pause(ms: number): Promise<void> {
    return new Promise(resolve => this.#clock.schedule(ms, resolve));
  }
}
