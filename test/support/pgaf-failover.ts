// What is done to a pg_auto_failover cluster while applications write, and when a node takes over. Used by the scenario of
// system 002 and by bench/failover.

import { Client } from 'pg';
import { type KeptPostgres } from './pgaf-node.ts';
import { type PgafCluster } from './pgaf-cluster.ts';
import { takeoverAfter, type Blow, type Ousted } from './takeover.ts';
import { sleep, until, within } from './wait.ts';

/** Times as long as it was answered for: many readers would else leave a slow machine no time for anything else. */
const RESTS = 10;

/** `crash`: the postmaster alone is killed; its `pg_autoctl` starts it again, and the monitor may be quicker. */
export type PgafFault = 'kill' | 'freeze' | 'switchover' | 'crash';

/** Does this to the primary; resolves when another node takes writes, or after a crash any. */
export function oust(
  cluster: PgafCluster,
  primary: KeptPostgres,
  how: PgafFault,
): Promise<Ousted<KeptPostgres>> {
  const none = Promise.resolve();
  const strike = (): Blow => {
    if (how === 'kill') return { struck: primary.kill(), done: none };
    if (how === 'switchover') return { struck: none, done: cluster.switchover() };
    if (how === 'crash') primary.killPostmaster();
    else primary.freeze();
    return { struck: none, done: none };
  };
  const candidates = cluster.members.filter(node => node !== primary || how === 'crash');
  return takeoverAfter(strike, candidates, ({ address }) => cluster.target(address));
}

/** Brings back whoever was killed or frozen, and waits until `count` nodes are where they should be. */
export async function bringBack(cluster: PgafCluster, node: KeptPostgres, how: PgafFault): Promise<void> {
  if (how === 'kill') node.start();
  if (how === 'freeze') node.thaw();
  await cluster.settled(cluster.members.length, how === 'crash' ? {} : { old: node });
}

/** One reader: one session for as long as it lasts, and which nodes have answered it. */
export class Reader {
  /** In the order in which they were reached: one for each session. */
  readonly sessions: { readonly port: number; readonly recovery: boolean }[] = [];
  readonly errors: { readonly at: number; readonly code: string }[] = [];
  answers = 0;
  readonly #address: { readonly host: string; readonly port: number };
  #running = true;
  readonly #finished: Promise<void>;

  constructor(address: { readonly host: string; readonly port: number }) {
    this.#address = address;
    this.#finished = this.#read();
  }

  async stop(): Promise<void> {
    this.#running = false;
    await within('a reader to stop', 15_000, this.#finished);
  }

  async #read(): Promise<void> {
    while (this.#running) {
      const client = new Client({ ...this.#address, user: 'postgres', database: 'postgres' });
      client.on('error', () => undefined); // cut between two questions; the next one fails and is recorded
      try {
        await client.connect();
        const { rows } = await client.query<{ port: number; recovery: boolean }>(
          'SELECT inet_server_port() AS port, pg_is_in_recovery() AS recovery',
        );
        if (rows[0] !== undefined) this.sessions.push(rows[0]);
        while (this.#running) {
          const askedAt = performance.now();
          await client.query('SELECT count(*) FROM ledger WHERE seq < 10');
          this.answers += 1;
          await sleep(RESTS * (performance.now() - askedAt));
        }
      } catch (thrown) {
        const code = (thrown as { code?: string }).code ?? String(thrown);
        this.errors.push({ at: performance.now(), code });
        await sleep(10);
      } finally {
        await client.end().catch(() => undefined); // it is being thrown away either way
      }
    }
  }
}

/** Readers who come now, and the nodes they get. */
export async function portsReached(
  address: { readonly host: string; readonly port: number },
  wanted: (ports: ReadonlySet<number>) => boolean,
): Promise<ReadonlySet<number>> {
  const ports = new Set<number>();
  const readers: Reader[] = [];
  try {
    await until(
      'readers to reach the nodes that they should',
      () => {
        if (readers.length < 12) readers.push(new Reader(address));
        for (const { sessions } of readers) for (const { port } of sessions) ports.add(port);
        return wanted(ports);
      },
      { everyMs: 50 },
    );
    return ports;
  } finally {
    await Promise.all(readers.map(reader => reader.stop()));
  }
}
