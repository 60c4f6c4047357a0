// One node of a real Patroni cluster: Patroni, and the PostgreSQL that it runs, to be killed, frozen and asked.
// Made by patroni-cluster.ts.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, type QueryResultRow } from 'pg';
import { type PostgresBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { childrenOf, isAlive, signal, signalTree } from '../../src/cli/demo/postgres-processes.ts';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { OwnedProcess } from './owned-process.ts';
import { until } from './wait.ts';

const PATRONI = '/usr/bin/patroni';
const ANSWER_MAX_MS = 5000;
const SWITCHOVER_MAX_MS = 25_000;

/** Of the superuser. */
export const PASSWORD = 'secret of the cluster';

export type Owner = PostgresBinaries['owner'];

export class PatroniNode {
  readonly name: string;
  readonly address: Address;
  /** Of its REST API: the same port on each node, and each node has an address of its own. */
  readonly rest: Address;
  readonly directory: string;
  readonly #process: OwnedProcess;
  readonly #endAtExit = (): void => {
    if (this.postmaster !== null) signalTree(this.postmaster, 'SIGKILL');
  };
  /** Of a PostgreSQL that was killed; its children may need a moment. */
  #killed: readonly number[] = [];

  constructor(name: string, at: { address: Address; rest: Address }, directory: string, owner: Owner) {
    this.name = name;
    this.address = at.address;
    this.rest = at.rest;
    this.directory = directory;
    this.#process = new OwnedProcess(PATRONI, [join(directory, 'patroni.json')], {
      log: join(directory, 'log'),
      owner,
    });
  }

  get port(): number {
    return this.address.port;
  }

  /** Of the PostgreSQL, as it says itself; `null` when it has never run. */
  get postmaster(): number | null {
    const path = join(this.directory, 'data', 'postmaster.pid');
    if (!existsSync(path)) return null;
    const pid = Number(readFileSync(path, 'utf8').split('\n')[0]);
    return pid > 0 && isAlive(pid) ? pid : null;
  }

  async start(): Promise<void> {
    await until('the killed processes to be gone', () => !this.#killed.some(isAlive));
    this.#process.start();
    process.on('exit', this.#endAtExit);
  }

  /** kill -9 of Patroni and of its PostgreSQL, as when the machine loses power. */
  async kill(): Promise<void> {
    const { postmaster } = this;
    this.#process.signal('SIGSTOP');
    if (postmaster !== null) this.#killed = [postmaster, ...signalTree(postmaster, 'SIGKILL')];
    await this.#process.kill();
    process.off('exit', this.#endAtExit);
  }

  /** kill -9 of Patroni only: its PostgreSQL goes on without it. */
  async killPatroni(): Promise<void> {
    await this.#process.kill();
  }

  /** Everything stands still: sockets stay open, nobody answers. */
  freeze(): void {
    const { postmaster } = this;
    this.#process.signal('SIGSTOP');
    if (postmaster !== null) signalTree(postmaster, 'SIGSTOP');
  }

  thaw(): void {
    const { postmaster } = this;
    if (postmaster !== null) {
      for (const child of childrenOf(postmaster)) signal(child, 'SIGCONT');
      signal(postmaster, 'SIGCONT');
    }
    this.#process.signal('SIGCONT');
  }

  /** A question or a command to its REST API: status and body, parsed where it is JSON. */
  async ask(path: string, body?: object, method = body === undefined ? 'GET' : 'POST'): Promise<RestAnswer> {
    const answer = await fetch(`http://${formatAddress(this.rest)}${path}`, {
      method,
      headers: { connection: 'close', 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(body === undefined ? ANSWER_MAX_MS : SWITCHOVER_MAX_MS),
    });
    const text = await answer.text();
    return { status: answer.status, text };
  }

  /** Rows of one query, as superuser. */
  async query<Row extends QueryResultRow = QueryResultRow>(sql: string): Promise<Row[]> {
    const client = new Client({
      ...this.address,
      user: 'postgres',
      password: PASSWORD,
      database: 'postgres',
      connectionTimeoutMillis: ANSWER_MAX_MS,
    });
    client.on('error', () => undefined); // a server killed amid a query; the query rejects by itself
    await client.connect();
    try {
      return (await client.query<Row>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  logText(): string {
    return this.#process.logText();
  }

  async dispose(): Promise<void> {
    await this.kill();
    await until('the killed processes to be gone', () => !this.#killed.some(isAlive));
  }
}

interface RestAnswer {
  readonly status: number;
  readonly text: string;
}
