// A primary and its streaming standby, with or without Pointsman in front: the stage of the failover tests and of
// bench/failover.

import { Socket } from 'node:net';
import { Client } from 'pg';
import { type Address } from '../../src/core/address.ts';
import { CREATE_LEDGER, LedgerWriter, type WriterTarget } from '../../src/cli/demo/ledger-writer.ts';
import { type PostgresBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { systemClock } from '../../src/core/clock.ts';
import { runPointsman, type PointsmanProcess } from './pointsman.ts';
import { sleep, until } from './wait.ts';

const PASSWORD = 'secret of the pair';
const HANGS_AFTER_MS = 20_000;
const LOGINS_APART = 10;
const APART_MAX_MS = 1000;
const TOOK_KEPT = 10;
/** Who waits, in an outage, is a crowd to be logged in at its end. */
const PENDING_MAX = 30;

/** The servers alone: whatever stands in front of them is started and ended by somebody else, before `dispose`. */
export interface Servers {
  readonly pg1: PostgresNode;
  readonly pg2: PostgresNode;
  readonly password: string;
  /** How an application connects: through a proxy's port, or straight to a node. */
  target(through: Address): WriterTarget;
  dispose(): Promise<void>;
}

export interface Pair extends Servers {
  readonly pointsman: PointsmanProcess;
  readonly port: Address;
  /** Through the primary port, unless told another. */
  target(through?: Address): WriterTarget;
}

/** pg1 primary, pg2 synchronous standby, an empty ledger. */
export async function startServers(
  binaries: PostgresBinaries,
  options: { settings?: Record<string, string>; synchronous?: boolean } = {},
): Promise<Servers> {
  const owned: (() => Promise<unknown>)[] = [];
  const dispose = async (): Promise<void> => {
    for (const end of owned.splice(0).reverse()) await end();
  };
  try {
    const pg1 = await PostgresNode.create({
      name: 'pg1',
      binaries,
      password: PASSWORD,
      settings: { max_connections: '700', ...options.settings },
    });
    owned.push(() => pg1.dispose());
    const pg2 = await PostgresNode.cloneAsStandby(pg1, { name: 'pg2' });
    owned.push(() => pg2.dispose());
    await pg1.start();
    await pg2.start();
    await pg1.query(CREATE_LEDGER);
    if (options.synchronous !== false) {
      await pg1.query(`ALTER SYSTEM SET synchronous_standby_names = 'pg2'`);
      await pg1.query('SELECT pg_reload_conf()');
    }
    return {
      pg1,
      pg2,
      password: PASSWORD,
      target: through => ({ ...through, user: 'postgres', password: PASSWORD, database: 'postgres' }),
      dispose,
    };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

/** Pointsman in front of the servers, with the frontends app-rw and app-ro; resolves when it knows both roles. */
async function startPointsman(
  { pg1, pg2, password }: Servers,
  check: object = {},
): Promise<PointsmanProcess> {
  const pointsman = await runPointsman({
    frontends: {
      'app-rw': { bind: '127.0.0.1:0', backend: 'app' },
      'app-ro': { bind: '127.0.0.1:0', backend: 'app', route: 'replica-or-primary' },
    },
    backends: {
      app: {
        protocol: 'postgres',
        check: { user: 'postgres', password, ...check },
        servers: { pg1: `127.0.0.1:${pg1.port}`, pg2: `127.0.0.1:${pg2.port}` },
      },
    },
  });
  try {
    await until('pg1 to be primary and pg2 to stream', async () => {
      const [backend] = (await pointsman.state()).backends;
      return backend?.primary === 'pg1' && backend.servers[1]?.replicating === true;
    });
    return pointsman;
  } catch (thrown) {
    await pointsman.stop();
    throw thrown;
  }
}

/** The servers with Pointsman in front. */
export async function startPair(
  binaries: PostgresBinaries,
  options: { settings?: Record<string, string>; check?: object; synchronous?: boolean } = {},
): Promise<Pair> {
  const servers = await startServers(binaries, options);
  try {
    const pointsman = await startPointsman(servers, options.check);
    const port = pointsman.frontend('app-rw');
    return {
      ...servers,
      pointsman,
      port,
      target: (through = port) => servers.target(through),
      async dispose() {
        try {
          await pointsman.stop();
        } finally {
          await servers.dispose();
        }
      },
    };
  } catch (thrown) {
    await servers.dispose();
    throw thrown;
  }
}

/** Numbered from `first` on: rows of the same number are the same to the ledger. */
export function startWriters(target: WriterTarget, count: number, first = 1): readonly LedgerWriter[] {
  const writers = Array.from(
    { length: count },
    (_, index) => new LedgerWriter(target, first + index, systemClock),
  );
  writers.forEach(writer => writer.start());
  return writers;
}

/**
 * A new application process every few milliseconds: connects, asks one question, leaves. Errors are kept. They come more slowly
 * to servers for which a login is much work: else a slow machine would do nothing but log them in.
 */
export class Newcomers {
  /** When each of those who were served got their answer, on the clock of `performance.now()`. */
  readonly servedAt: number[] = [];
  readonly errors: { readonly cameAt: number; readonly error: string }[] = [];
  /** The server-side port and recovery state each newcomer saw last, for "who did they reach?". */
  readonly reached = new Set<string>();
  readonly #target: WriterTarget;
  readonly #pending = new Map<Promise<void>, Socket>();
  /** Of those served last: how long it took from coming to the answer. */
  #tookMs: readonly number[] = [];
  #running = true;
  readonly #loop: Promise<void>;

  constructor(target: WriterTarget, everyMs = 20) {
    this.#target = target;
    this.#loop = this.#run(everyMs);
  }

  get served(): number {
    return this.servedAt.length;
  }

  /** Lets everybody finish; who still hangs after a long time is cut. Returns how many did. */
  async stop(): Promise<number> {
    this.#running = false;
    await this.#loop;
    let hung = 0;
    const cut = setTimeout(() => {
      hung = this.#pending.size;
      for (const socket of this.#pending.values()) socket.destroy();
    }, HANGS_AFTER_MS);
    await Promise.all(this.#pending.keys());
    clearTimeout(cut);
    return hung;
  }

  async #run(everyMs: number): Promise<void> {
    while (this.#running) {
      if (this.#pending.size >= PENDING_MAX) {
        await sleep(everyMs);
        continue;
      }
      const socket = new Socket();
      const visit = this.#visit(socket).finally(() => this.#pending.delete(visit));
      this.#pending.set(visit, socket);
      // The quickest of them: those who had to wait for a server say nothing of its work.
      const quickestMs = this.#tookMs.length === 0 ? 0 : Math.min(...this.#tookMs);
      await sleep(Math.max(everyMs, Math.min(APART_MAX_MS, LOGINS_APART * quickestMs)));
    }
  }

  async #visit(socket: Socket): Promise<void> {
    const cameAt = performance.now();
    const client = new Client({ ...this.#target, stream: () => socket });
    // cut between the answer and the goodbye; the query's own promise tells of anything earlier
    client.on('error', () => undefined);
    try {
      await client.connect();
      const { rows } = await client.query<{ port: number; recovery: boolean }>(
        'SELECT inet_server_port() AS port, pg_is_in_recovery() AS recovery',
      );
      this.reached.add(`${rows[0]?.port} ${rows[0]?.recovery ? 'replica' : 'primary'}`);
      this.servedAt.push(performance.now());
      this.#tookMs = [...this.#tookMs, performance.now() - cameAt].slice(-TOOK_KEPT);
    } catch (thrown) {
      this.errors.push({ cameAt, error: String(thrown) });
    } finally {
      await client.end().catch(() => undefined); // it is being thrown away either way
    }
  }
}

/** Asks the node itself, every 5 ms and on an own connection, until it takes writes; returns when that was. */
export async function whenWritable(node: PostgresNode, target: WriterTarget): Promise<number> {
  const client = new Client({ ...target, host: '127.0.0.1', port: node.port });
  // a node that is ended between two questions; the next question rejects by itself
  client.on('error', () => undefined);
  await client.connect();
  try {
    const question = `SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS yes`;
    await until(
      'the node to take writes',
      async () => (await client.query<{ yes: boolean }>(question)).rows[0]?.yes,
      {
        everyMs: 5,
      },
    );
    return performance.now();
  } finally {
    await client.end();
  }
}
