// The database half of system 000: two MariaDB servers that replicate from each other by GTID in one domain, Pointsman in
// front with `multiple_writers: ordered`, and applications that write all the time, over connections that they keep and
// over connections that a pool renews. For the tests of the pair.

import assert from 'node:assert/strict';
import { createConnection, type Connection } from 'mysql2/promise';
import { type Address } from '../../src/core/address.ts';
import { type StateJson } from '../../src/admin/api.ts';
import { accounts, MariadbNode, type FollowOptions, type ServerOptions } from './mariadb.ts';
import { runPointsman, type PointsmanProcess } from './pointsman.ts';
import { sleep, until } from './wait.ts';

export interface MasterPair {
  readonly db1: MariadbNode;
  readonly db2: MariadbNode;
  /** By its server id. */
  node(serverId: number): MariadbNode;
  dispose(): Promise<void>;
}

export interface PairOptions {
  readonly options?: ServerOptions;
  readonly follow?: FollowOptions;
}

/** For all repairs after one failover, on a busy machine. */
const MEND_MAX_MS = 20_000;

const LEDGER =
  'create table ledger (writer int, seq int, node int, at datetime(6), primary key (writer, seq)) engine = innodb';

/** Both started, each following the other, with an empty ledger. */
export async function startMasterPair({ options = {}, follow = {} }: PairOptions = {}): Promise<MasterPair> {
  const all = { 'rpl-semi-sync-slave-enabled': 1, 'rpl-semi-sync-master-timeout': 10_000, ...options };
  const nodes = await Promise.all(
    [1, 2].map(serverId => MariadbNode.create({ name: `db${serverId}`, serverId, options: all })),
  );
  const dispose = async (): Promise<void> => {
    await Promise.all(nodes.map(node => node.dispose()));
  };
  const [db1, db2] = nodes;
  assert.ok(db1 && db2);
  try {
    await Promise.all([db1.start(), db2.start()]);
    await Promise.all([db1.follow(db2, follow), db2.follow(db1, follow)]);
    await db1.sql(`create or replace database app`);
    await db1.run('use app', LEDGER);
    await db2.untilCaughtUp(db1);
    return { db1, db2, node: id => (id === db1.serverId ? db1 : db2), dispose };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

/**
 * From now on `node` acknowledges only what the other has received. Replication is asynchronous otherwise, as in system
 * 000, and a killed server may take acknowledged rows with it: what a proxy loses in addition could not be told from that.
 */
export async function acknowledgeOnlyReceived(node: MariadbNode, on: boolean): Promise<void> {
  await node.sql(`set global rpl_semi_sync_master_enabled = ${on ? 1 : 0}`);
  if (!on) return;
  await until(`the follower of ${node.name} to confirm`, async () => {
    const [row] = await node.sql<{ Value: string }>("show status like 'rpl_semi_sync_master_clients'");
    return row?.Value === '1';
  });
}

/** Pointsman in front of the pair; resolves when db1 is the primary and both replicate. */
export async function pointsmanFor(
  { db1, db2 }: MasterPair,
  check: object = {},
  backend: object = {},
): Promise<PointsmanProcess> {
  const pointsman = await runPointsman({
    frontends: { db: { bind: '127.0.0.1:0', backend: 'db', hold: '30s' } },
    backends: {
      db: {
        protocol: 'mysql',
        multiple_writers: 'ordered',
        check: { ...accounts.probe, tls: { mode: 'disable' }, ...check },
        servers: { db1: `127.0.0.1:${db1.port}`, db2: `127.0.0.1:${db2.port}` },
        ...backend,
      },
    },
  });
  try {
    await until('db1 to be the primary', async () => (await backendOf(pointsman)).primary === 'db1');
    return pointsman;
  } catch (thrown) {
    await pointsman.stop();
    throw thrown;
  }
}

export type BackendJson = StateJson['backends'][number];

export async function backendOf(pointsman: PointsmanProcess): Promise<BackendJson> {
  const [backend] = (await pointsman.state()).backends;
  assert.ok(backend);
  return backend;
}

export type FaultJson = BackendJson['servers'][number]['faults'][number];

export async function faultsOf(pointsman: PointsmanProcess): Promise<readonly FaultJson[]> {
  return (await backendOf(pointsman)).servers.flatMap(({ faults }) => faults);
}

/** Runs statements as an operator would: those of one server in one session on it, all in their order. */
export async function runMend({ db1, db2 }: MasterPair, mend: FaultJson['mend']): Promise<void> {
  const sessions = new Map<string, Connection>();
  try {
    for (const { server, statement } of mend) {
      const node = server === 'db1' ? db1 : db2;
      const session =
        sessions.get(server) ?? (await createConnection({ socketPath: node.socketPath, ...accounts.root }));
      sessions.set(server, session);
      await session.query(statement);
    }
  } finally {
    for (const session of sessions.values()) session.destroy();
  }
}

/** Mends whatever is wrong, one fault after another, until nothing is. Returns the codes of what it mended. */
export async function mendAll(pair: MasterPair, pointsman: PointsmanProcess): Promise<readonly string[]> {
  const mended: string[] = [];
  const deadline = performance.now() + MEND_MAX_MS;
  for (;;) {
    const faults = await faultsOf(pointsman);
    if (faults.length === 0) return mended;
    const words = faults.map(({ code, what }) => `${code}: ${what}`).join('\n');
    assert.ok(
      performance.now() < deadline,
      `mended ${mended.join(', ') || 'nothing'}; still wrong:\n${words}`,
    );
    const fault = faults.find(({ mend }) => mend.length > 0);
    if (fault === undefined) {
      await sleep(50);
      continue;
    }
    mended.push(fault.code);
    await runMend(pair, fault.mend);
    await until('the mended fault to clear', async () =>
      (await faultsOf(pointsman)).every(({ code, what }) => code !== fault.code || what !== fault.what),
    );
  }
}

export interface Ack {
  readonly seq: number;
  /** When it was sent, and when the answer was there. */
  readonly sentAt: number;
  readonly at: number;
}

/** Between two writes: applications don't write all the time either, and this machine has other work. */
const PAUSE_MS = 3;

interface WriterOptions {
  readonly through: Address;
  readonly writer: number;
  /** Takes a new connection so often, as a pool does; `null`: keeps the one it has. */
  readonly renewMs: number | null;
}

/** Writes one row after another, on a new connection after any error, and keeps what was acknowledged. */
export class Writer {
  readonly id: number;
  readonly acknowledged: Ack[] = [];
  readonly errors: { readonly at: number; readonly code: string }[] = [];
  readonly #options: WriterOptions;
  #stopped = false;
  #connection: Connection | null = null;
  #done: Promise<void> = Promise.resolve();

  constructor(options: WriterOptions) {
    this.#options = options;
    this.id = options.writer;
  }

  start(): void {
    this.#done = this.#run();
  }

  /** Waits for the write under way; one that hangs is cut off. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const cut = setTimeout(() => this.#connection?.destroy(), 5000);
    await this.#done;
    clearTimeout(cut);
  }

  async #run(): Promise<void> {
    const { through, writer, renewMs } = this.#options;
    let seq = 0;
    let connectedAt = 0;
    while (!this.#stopped) {
      try {
        if (this.#connection !== null && renewMs !== null && performance.now() - connectedAt > renewMs) {
          await this.#connection.end();
          this.#connection = null;
        }
        if (this.#connection === null) {
          const made = createConnection({
            ...through,
            ...accounts.app,
            database: 'app',
            connectTimeout: 30_000,
          });
          this.#connection = await made;
          this.#connection.on('error', () => undefined); // the next query rejects
          connectedAt = performance.now();
        }
        seq += 1;
        const sentAt = performance.now();
        await this.#connection.query('insert into ledger values (?, ?, @@server_id, now(6))', [writer, seq]);
        this.acknowledged.push({ seq, sentAt, at: performance.now() });
        await sleep(PAUSE_MS);
      } catch (thrown) {
        const code = (thrown as { code?: unknown }).code;
        this.errors.push({ at: performance.now(), code: typeof code === 'string' ? code : String(thrown) });
        this.#connection?.destroy();
        this.#connection = null;
        // Refused at once is tried again soon, not at once: this machine has other work.
        await sleep(2);
      }
    }
    this.#connection?.destroy();
  }
}

/** Half of them keep their connection, the others renew it every `renewMs`. */
export function startWriters(
  through: Address,
  count: number,
  firstId: number,
  renewMs = 2000,
): readonly Writer[] {
  const writers = Array.from(
    { length: count },
    (_, index) => new Writer({ through, writer: firstId + index, renewMs: index % 2 === 0 ? null : renewMs }),
  );
  writers.forEach(writer => writer.start());
  return writers;
}

export async function stopWriters(writers: readonly Writer[]): Promise<void> {
  await Promise.all(writers.map(writer => writer.stop()));
}

/** The longest time without an acknowledgement that began within the span. */
export function longestGap(writers: readonly Writer[], from: number, to: number): number {
  const times = writers.flatMap(({ acknowledged }) => acknowledged.map(({ at }) => at)).sort((a, b) => a - b);
  let longest = 0;
  times.forEach((at, index) => {
    const next = times[index + 1];
    if (next !== undefined && next > from && at < to) longest = Math.max(longest, next - at);
  });
  return longest;
}

interface LedgerRow {
  readonly writer: number;
  readonly seq: number;
  readonly node: number;
}

async function ledgerOf(node: MariadbNode): Promise<readonly LedgerRow[]> {
  return node.sql<LedgerRow>('select writer, seq, node from app.ledger order by writer, seq');
}

/** Acknowledged rows that are not there. */
export async function missingOn(node: MariadbNode, writers: readonly Writer[]): Promise<readonly string[]> {
  const present = new Set((await ledgerOf(node)).map(({ writer, seq }) => `${writer}/${seq}`));
  return writers.flatMap(({ id, acknowledged }) =>
    acknowledged.map(({ seq }) => `${id}/${seq}`).filter(row => !present.has(row)),
  );
}

/**
 * Writes that one server acknowledged though they were sent after another had acknowledged one: moments in which both
 * took writes through the proxy. `order`: the server ids in the order in which they were the primary.
 */
export async function overlaps(
  nodes: readonly MariadbNode[],
  writers: readonly Writer[],
  order: readonly number[],
): Promise<readonly string[]> {
  const nodeOf = new Map<string, number>();
  for (const node of nodes) {
    for (const row of await ledgerOf(node)) nodeOf.set(`${row.writer}/${row.seq}`, row.node);
  }
  const acks = writers.flatMap(({ id, acknowledged }) =>
    acknowledged.map(ack => ({
      ...ack,
      row: `${id}/${ack.seq}`,
      node: nodeOf.get(`${id}/${ack.seq}`) ?? -1,
    })),
  );
  const firstAt = new Map<number, number>();
  for (const { node, at } of acks) firstAt.set(node, Math.min(at, firstAt.get(node) ?? Infinity));
  return acks.flatMap(({ row, node, sentAt }) => {
    const later = order.slice(order.indexOf(node) + 1).some(next => sentAt > (firstAt.get(next) ?? Infinity));
    return order.includes(node) && !later ? [] : [`${row} on server ${node}`];
  });
}

/** Both have the very same rows in every table of the database `app`. */
export async function assertSameRows({ db1, db2 }: MasterPair): Promise<void> {
  await db2.untilCaughtUp(db1);
  await db1.untilCaughtUp(db2);
  const tables = await db1.sql<{ name: string }>(
    "select table_name as name from information_schema.tables where table_schema = 'app' order by 1",
  );
  for (const { name } of tables) {
    const rows = (node: MariadbNode): Promise<unknown> =>
      node.sql(`select * from app.\`${name}\` order by 1, 2`);
    assert.deepEqual(await rows(db1), await rows(db2), `app.${name} differs`);
  }
}
