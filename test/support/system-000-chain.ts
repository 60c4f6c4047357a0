// All of system 000: clients -> Pointsman -> two HTTP backends -> the same Pointsman -> two MariaDB servers that replicate
// from each other; and clients at a steady pace who keep account of every answer. For its scenario; the pair is system-000.ts.

import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { HttpBackend, USERS_TABLE } from './http-backend.ts';
import { accounts, type MariadbNode } from './mariadb.ts';
import { runPointsman, type PointsmanProcess } from './pointsman.ts';
import { startMasterPair, type BackendJson, type MasterPair } from './system-000.ts';
import { sleep, until } from './wait.ts';

export interface Chain {
  readonly pair: MasterPair;
  readonly web1: HttpBackend;
  readonly web2: HttpBackend;
  readonly pointsman: PointsmanProcess;
  dispose(): Promise<void>;
}

/** How long a client waits for an HTTP backend when there is none. */
export const HOLD_MS = 1000;

/**
 * Of databases that acknowledge only what the other has received, a killed one keeps nothing that the other lacks: what was
 * not received is undone when it starts again, and it can replicate at once.
 */
const WITHOUT_A_REST = { 'rpl-semi-sync-master-wait-point': 'AFTER_SYNC', 'init-rpl-role': 'SLAVE' } as const;

/** All started, every server up, db1 the primary. Which server took a row stands in its column `node`. */
export async function startChain(): Promise<Chain> {
  const owned: (() => Promise<unknown>)[] = [];
  const dispose = async (): Promise<void> => {
    for (const end of owned.splice(0).reverse()) await end();
  };
  try {
    const port = await freePort();
    const database = { host: '127.0.0.1', port, ...accounts.app, database: 'app' };
    const backends = ['web1', 'web2'].map(name => new HttpBackend({ name, port: 0, database }));
    owned.push(() => Promise.all(backends.map(backend => backend.kill())));
    const started = startMasterPair({ options: WITHOUT_A_REST });
    owned.push(() =>
      started.then(
        pair => pair.dispose(),
        () => undefined, // told below; it disposes of itself then
      ),
    );
    const [pair] = await Promise.all([started, ...backends.map(backend => backend.start())]);
    await createUsers(pair);
    const [web1, web2] = backends as [HttpBackend, HttpBackend];
    const pointsman = await runPointsman(configOf(port, backends, pair));
    owned.push(() => pointsman.stop());
    await until('all to be up', async () => {
      const [db, web] = [await backendNamed(pointsman, 'db'), await backendNamed(pointsman, 'web')];
      return db.primary === 'db1' && [...db.servers, ...web.servers].every(({ health }) => health === 'up');
    });
    return { pair, web1, web2, pointsman, dispose };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

async function createUsers({ db1, db2 }: MasterPair): Promise<void> {
  await db1.run(
    'use app',
    USERS_TABLE,
    'alter table users add node int',
    // Where a row is replicated to no trigger runs: it comes with what it has.
    'create trigger taken before insert on users for each row set new.node = @@server_id',
  );
  await db2.untilCaughtUp(db1);
}

function configOf(port: number, backends: readonly HttpBackend[], { db1, db2 }: MasterPair): object {
  return {
    frontends: {
      web: {
        bind: '127.0.0.1:0',
        backend: 'web',
        route: 'any',
        balance: 'roundrobin',
        hold: `${HOLD_MS}ms`,
      },
      db: { bind: `127.0.0.1:${port}`, backend: 'db' },
    },
    backends: {
      web: {
        protocol: 'http',
        check: { path: '/health', json: { status: 'ok' } },
        servers: Object.fromEntries(backends.map(({ name, address }) => [name, formatAddress(address)])),
      },
      db: {
        protocol: 'mysql',
        multiple_writers: 'ordered',
        incomplete_writer: 'hold',
        check: { ...accounts.probe },
        servers: { db1: `127.0.0.1:${db1.port}`, db2: `127.0.0.1:${db2.port}` },
      },
    },
  };
}

export async function backendNamed(pointsman: PointsmanProcess, name: string): Promise<BackendJson> {
  const found = (await pointsman.state()).backends.find(backend => backend.name === name);
  if (found === undefined) throw new Error(`there is no backend ${name}`);
  return found;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** GET /health, or with a name POST /register, over a connection of its own. Rejects when there is no whole answer. */
export function ask({ host, port }: Address, name?: string): Promise<Answer> {
  const what = name === undefined ? { path: '/health' } : { path: '/register', method: 'POST' };
  return new Promise((resolve, reject) => {
    request({ host, port, agent: false, ...what }, response => {
      text(response).then(
        body => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        reject,
      );
    })
      .on('error', reject)
      .end(name === undefined ? undefined : JSON.stringify({ name }));
  });
}

/** One request and what became of it. */
export interface Shot {
  /** The name that was to be registered; `null`: it asked for the health. */
  readonly registers: string | null;
  readonly startedAt: number;
  readonly endedAt: number;
  /** The backend that did it; `null`: it failed. */
  readonly by: string | null;
  /** Why it failed. */
  readonly failure: string | null;
}

const PACE_MS = 50;

/** 20 times a second a client that asks for the health and one that registers, each over a connection of its own. */
export class Clients {
  readonly shots: Shot[] = [];
  readonly #address: Address;
  readonly #name: string;
  readonly #under = new Set<Promise<void>>();
  readonly #loop: Promise<void>;
  #calm: { deed(): Promise<void>; done(): void; failed(thrown: unknown): void } | null = null;
  #count = 0;
  #on = true;

  /** `name`: what the names that they register begin with. */
  constructor(address: Address, name: string) {
    this.#address = address;
    this.#name = name;
    this.#loop = this.#run();
  }

  since(at: number): readonly Shot[] {
    return this.shots.filter(({ startedAt }) => startedAt >= at);
  }

  get registered(): readonly Shot[] {
    return this.shots.filter(({ registers, by }) => registers !== null && by !== null);
  }

  get failed(): readonly Shot[] {
    return this.shots.filter(({ by }) => by === null);
  }

  /** Done between two clients, with none under way; the next ones come at once. */
  between(deed: () => Promise<void>): Promise<void> {
    return new Promise((done, failed) => {
      this.#calm = { deed, done, failed };
    });
  }

  async stop(): Promise<void> {
    this.#on = false;
    await this.#loop;
    await Promise.all(this.#under);
  }

  async #run(): Promise<void> {
    while (this.#on) {
      if (this.#calm !== null) {
        const { deed, done, failed } = this.#calm;
        this.#calm = null;
        await Promise.all(this.#under);
        await deed().then(done, failed);
      }
      this.#count += 1;
      this.#shoot(null);
      this.#shoot(`${this.#name} ${this.#count}`);
      await sleep(PACE_MS);
    }
  }

  #shoot(registers: string | null): void {
    const startedAt = performance.now();
    const shot = (by: string | null, failure: string | null): void =>
      void this.shots.push({ registers, startedAt, endedAt: performance.now(), by, failure });
    const done = ask(this.#address, registers ?? undefined).then(
      ({ status, body }) => {
        if (status !== (registers === null ? 200 : 201)) shot(null, `${status} ${body}`);
        else shot((JSON.parse(body) as { backend: string }).backend, null);
      },
      (thrown: unknown) => shot(null, String(thrown)),
    );
    this.#under.add(done);
    void done.finally(() => this.#under.delete(done));
  }
}

export const slowestMs = (shots: readonly Shot[]): number =>
  Math.max(...shots.map(({ startedAt, endedAt }) => endedAt - startedAt));

/** The longest time without a registration, of those times that were not over at `from`. */
export function longestGapMs(registered: readonly Shot[], from: number): number {
  const ends = registered.map(({ endedAt }) => endedAt).sort((a, b) => a - b);
  return Math.max(...ends.map((end, i) => (end > from ? end - (ends[i - 1] ?? end) : 0)));
}

interface UserRow {
  readonly name: string;
  readonly node: number;
}

/** Who is registered there, with the server id of the server that took the row. */
export async function usersOf(node: MariadbNode): Promise<ReadonlyMap<string, number>> {
  const rows = await node.sql<UserRow>('select name, node from app.users');
  return new Map(rows.map(({ name, node: taker }) => [name, taker]));
}

/** Number of rows, and the server's own checksum of them. */
export async function digestOf(node: MariadbNode): Promise<unknown> {
  const [count] = await node.sql('select count(*) as registered from app.users');
  const [sum] = await node.sql('checksum table app.users extended');
  return { ...count, ...sum };
}
