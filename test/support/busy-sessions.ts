// Database sessions that ask a question again and again, and remember how each of them ended. For reloads and the bench of
// reloads, where it matters who is still served and by whom.

import { Client } from 'pg';
import { type WriterTarget } from '../../src/cli/demo/ledger-writer.ts';
import { sleep } from './wait.ts';

const PAUSE_MS = 200;
/** Opened at the same time. */
const LOGINS = 16;

export class BusySessions {
  answers = 0;
  /** Of each session that has ended unasked. */
  readonly errors: string[] = [];
  readonly #targets: readonly WriterTarget[];
  readonly #clients: Client[] = [];
  readonly #loops: Promise<void>[] = [];
  #ending = false;

  constructor(targets: readonly WriterTarget[]) {
    this.#targets = targets;
  }

  get count(): number {
    return this.#clients.length;
  }

  /** To the targets in turn; resolves when all have had an answer. */
  async open(count: number): Promise<void> {
    for (let left = count; left > 0; left -= LOGINS) {
      await Promise.all(Array.from({ length: Math.min(left, LOGINS) }, () => this.#openOne()));
    }
  }

  /** Whether one that comes now is answered. */
  async isServed(target: WriterTarget): Promise<boolean> {
    const client = new Client(target);
    client.on('error', () => undefined); // its query tells of it
    try {
      await client.connect();
      await client.query('SELECT 1');
      return true;
    } catch {
      return false; // that is the answer
    } finally {
      await client.end().catch(() => undefined); // it is being thrown away
    }
  }

  /** Of the server that the first of them is on. */
  async port(): Promise<number | undefined> {
    const { rows } = await this.#clients[0]!.query<{ port: number }>('SELECT inet_server_port() AS port');
    return rows[0]?.port;
  }

  async end(): Promise<void> {
    this.#ending = true;
    await Promise.all(this.#loops);
    // one that was closed already has nothing to end
    await Promise.all(this.#clients.map(client => client.end().catch(() => undefined)));
  }

  async #openOne(): Promise<void> {
    const client = new Client(this.#targets[this.#clients.length % this.#targets.length]!);
    this.#clients.push(client);
    // its query tells of it
    client.on('error', () => undefined);
    await client.connect();
    await client.query('SELECT 1');
    this.#loops.push(this.#ask(client));
  }

  async #ask(client: Client): Promise<void> {
    try {
      while (!this.#ending) {
        await client.query('SELECT 1');
        this.answers += 1;
        await sleep(PAUSE_MS);
      }
    } catch (thrown) {
      this.errors.push(String(thrown));
    }
  }
}
