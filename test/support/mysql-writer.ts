// An application that writes numbered rows through whatever listens on an address, one after another, over one connection
// that it renews when it is lost. Keeps what was acknowledged, by which server, and every error. For tests.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createConnection, type Connection } from 'mysql2';
import { type RowDataPacket } from 'mysql2/promise';
import { type Address } from '../../src/core/address.ts';
import { describeError } from '../../src/core/errors.ts';
import { accounts, type MariadbNode } from './mariadb.ts';
import { sleep } from './wait.ts';

/** As the server says it; a lost connection has a code and no number. */
export interface WriteError {
  readonly at: number;
  readonly during: 'connect' | 'write';
  readonly errno: number | null;
  readonly code: string;
  readonly message: string;
  /** Which server the session was on; `null` before it was on one. */
  readonly serverId: number | null;
}

export interface Acknowledged {
  readonly seq: number;
  readonly sentAt: number;
  readonly at: number;
  readonly serverId: number;
}

export interface WriterPlan {
  readonly at: Address;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** The statement for one number. It may be sent again when its end is unknown. */
  readonly statement: (seq: number) => readonly [sql: string, values: readonly unknown[]];
  /** Between two statements. Default: 5. */
  readonly pauseMs?: number;
}

/** Longer than any hold of a test, so that the proxy and not the driver ends the wait. */
const CONNECT_MAX_MS = 60_000;
const RETRY_MS = 20;
/** A writer that waits for a server when it is told to stop is cut off after this. */
const STOP_MAX_MS = 2000;

export class MysqlWriter {
  readonly acknowledged: Acknowledged[] = [];
  readonly errors: WriteError[] = [];
  readonly #plan: WriterPlan;
  #running = true;
  #seq = 1;
  #serverId: number | null = null;
  #socket: Socket | null = null;
  readonly #ended: Promise<void>;

  /** Starts at once. */
  constructor(plan: WriterPlan) {
    this.#plan = plan;
    this.#ended = this.#run();
  }

  /** Resolves when it has ended; a statement under way is waited for a little. */
  async stop(): Promise<void> {
    this.#running = false;
    const cut = setTimeout(() => this.#socket?.destroy(), STOP_MAX_MS);
    await this.#ended;
    clearTimeout(cut);
  }

  async #run(): Promise<void> {
    while (this.#running) {
      const { at, user, password, database } = this.#plan;
      const socket = connect(at);
      this.#socket = socket;
      const connection = createConnection({
        stream: socket,
        user,
        password,
        database,
        connectTimeout: CONNECT_MAX_MS,
      });
      // a loss while nothing is asked; the next statement rejects by itself
      connection.on('error', () => undefined);
      await this.#use(connection);
      connection.destroy();
      if (!socket.destroyed) socket.destroy();
      if (!socket.closed) await once(socket, 'close');
      if (this.#running) await sleep(RETRY_MS);
    }
  }

  /** Until it is lost. An error that the server answers with is kept, and the same statement sent again. */
  async #use(connection: Connection): Promise<void> {
    this.#serverId = null;
    try {
      const [rows] = await connection.promise().query<RowDataPacket[]>('select @@server_id as id');
      this.#serverId = Number(rows[0]?.['id']);
    } catch (thrown) {
      this.#note('connect', thrown);
      return;
    }
    while (this.#running) {
      const sentAt = performance.now();
      try {
        const [sql, values] = this.#plan.statement(this.#seq);
        await connection.promise().query(sql, [...values]);
        const at = performance.now();
        this.acknowledged.push({ seq: this.#seq, sentAt, at, serverId: this.#serverId });
        this.#seq += 1;
      } catch (thrown) {
        const { errno } = this.#note('write', thrown);
        if (errno === null) return;
      }
      await sleep(this.#plan.pauseMs ?? 5);
    }
  }

  #note(during: 'connect' | 'write', thrown: unknown): WriteError {
    const { code, message } = describeError(thrown);
    const told = thrown instanceof Error && 'errno' in thrown ? thrown.errno : null;
    // Errors of the operating system are negative.
    const errno = typeof told === 'number' && told > 0 ? told : null;
    const error = { at: performance.now(), during, errno, code, message, serverId: this.#serverId };
    if (this.#running) this.errors.push(error);
    return error;
  }
}

/** How the servers took turns, by the moments of their acknowledgements: `[1, 2, 1]` is there and back. */
export function turns(writers: readonly MysqlWriter[], since = -Infinity): readonly number[] {
  const all = writers.flatMap(({ acknowledged }) => acknowledged).filter(({ at }) => at >= since);
  const order = all.sort((a, b) => a.at - b.at).map(({ serverId }) => serverId);
  return order.filter((serverId, i) => serverId !== order[i - 1]);
}

/** The first acknowledgement of a statement that was sent after `since`. */
export function firstWriteAfter(
  writers: readonly MysqlWriter[],
  since: number,
  serverId?: number,
): Acknowledged | null {
  const later = writers
    .flatMap(({ acknowledged }) => acknowledged)
    .filter(ack => ack.at > since && (serverId === undefined || ack.serverId === serverId));
  return later.sort((a, b) => a.at - b.at)[0] ?? null;
}

/** How many connections of applications a server has: it is asked itself. */
export async function applicationsAt(node: MariadbNode): Promise<number> {
  const rows = await node.sql<{ User: string }>('show processlist');
  return rows.filter(({ User }) => User === accounts.app.user).length;
}

/** What went wrong, counted by kind, for a message. */
export function tellErrors(errors: readonly WriteError[]): string {
  const kinds = new Map<string, number>();
  for (const { during, errno, code, message, serverId } of errors) {
    const kind = `${during} at ${serverId}: ${errno ?? code} ${message}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return [...kinds].map(([kind, count]) => `${count} x ${kind}`).join('; ');
}
