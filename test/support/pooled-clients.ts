// An application with a pool of connections and many users who each run short transactions, one connection of the pool for
// each transaction, as node-postgres means it to be used. What it sees of a switchover: how long it waits, and any error.

import { Pool } from 'pg';
import { type WriterTarget } from '../../src/cli/demo/ledger-writer.ts';
import { describeError } from '../../src/core/errors.ts';
import { seededRandom } from '../../src/core/random.ts';
import { sleep, within } from './wait.ts';

/**
 * Who has thought must have read meanwhile that their connection is closed, and must come while the others are paused. Beside
 * database servers that start, a process may have no turn for half a second.
 */
const THINK_MS = { least: 900, most: 1200 };

export class PooledClients {
  /** Of transactions: what an application would have to deal with. */
  readonly errors: string[] = [];
  /** The pool's own notices of connections that ended while nobody used them: it makes new ones by itself. */
  idleEnded = 0;
  readonly acknowledged: { readonly user: number; readonly seq: number }[] = [];
  slowestMs = 0;
  readonly #pool: Pool;
  readonly #users: Promise<void>[];
  /** What each user was last about. */
  readonly #steps = new Map<number, string>();
  #isRunning = true;

  constructor(target: WriterTarget, users: number) {
    this.#pool = new Pool({ ...target, max: users, idleTimeoutMillis: 0, connectionTimeoutMillis: 0 });
    this.#pool.on('error', () => {
      this.idleEnded += 1;
    });
    this.#users = Array.from({ length: users }, (_, user) => this.#work(user));
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    await within('the users to stop', 20_000, Promise.all(this.#users));
    await this.#pool.end();
  }

  async #work(user: number): Promise<void> {
    const random = seededRandom(user + 1);
    for (let seq = 1; this.#isRunning; seq += 1) {
      const startedAt = performance.now();
      try {
        await this.#transact(user, seq);
        this.acknowledged.push({ user, seq });
      } catch (thrown) {
        const { code, message } = describeError(thrown);
        const sinceMs = Math.round(performance.now() - startedAt);
        this.errors.push(`at ${this.#steps.get(user)}, after ${sinceMs} ms: ${code} ${message}`);
      }
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startedAt);
      await sleep(THINK_MS.least + random() * (THINK_MS.most - THINK_MS.least));
    }
  }

  async #transact(user: number, seq: number): Promise<void> {
    this.#steps.set(user, 'connect');
    const client = await this.#pool.connect();
    // It is told by the query too, and while no query runs by the next one.
    const ignore = (): void => undefined;
    client.on('error', ignore);
    try {
      this.#steps.set(user, 'begin');
      await client.query('BEGIN');
      this.#steps.set(user, 'insert');
      await client.query('INSERT INTO deeds VALUES ($1, $2)', [user, seq]);
      this.#steps.set(user, 'commit');
      await client.query('COMMIT');
      client.off('error', ignore);
      client.release();
    } catch (thrown) {
      client.release(true);
      throw thrown;
    }
  }
}
