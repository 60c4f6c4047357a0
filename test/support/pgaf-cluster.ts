// A real pg_auto_failover cluster on loopback: a monitor and a few nodes, with synchronous replication as it sets it up.
// Its timeouts are short: a failover takes some four seconds. Needs Debian's pg-auto-failover-cli and
// postgresql-15-auto-failover; a test without them fails.

import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CREATE_LEDGER, type WriterTarget } from '../../src/cli/demo/ledger-writer.ts';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { debianBinaries, makeServerDirectory } from '../../src/cli/demo/postgres-binaries.ts';
import { type Address } from '../../src/core/address.ts';
import { KeptPostgres } from './pgaf-node.ts';
import { pace } from './pace.ts';
import { until } from './wait.ts';

/**
 * Milliseconds (pg_auto_failover documentation, "Configuring pg_auto_failover"). The defaults promote after a minute; shorter
 * ones than these take a busy machine for a dead node.
 */
const usualTimings = {
  health_check_period: 200,
  health_check_timeout: Math.round(3000 * pace),
  health_check_max_retries: 2,
  health_check_retry_delay: 100,
  node_considered_unhealthy_timeout: Math.round(5000 * pace),
  primary_demote_timeout: 1000,
  startup_grace_period: 1000,
};

export type Timings = Readonly<Record<keyof typeof usualTimings, number>>;

const settings = { shared_buffers: '16MB', max_connections: '300', wal_keep_size: '64MB' };

/** Where a primary ends up. */
const primaryStates = { alone: ['single', 'wait_primary'], followed: ['primary'] };

export const MONITOR_DATABASE = 'pg_auto_failover';

/** A role on the monitor that may only see its tables: all that Pointsman needs. */
export const WATCHER = { user: 'watcher', password: 'secret of the watcher' };

export interface NodeState {
  readonly name: string;
  readonly reported: string;
  readonly goal: string;
  readonly health: number;
}

export class PgafCluster {
  readonly monitor: KeptPostgres;
  readonly nodes: readonly KeptPostgres[];
  readonly #dropped = new Set<KeptPostgres>();
  readonly #directory: string;
  readonly #timings: Timings;
  readonly #fsync: 'on' | 'off';

  private constructor(
    monitor: KeptPostgres,
    nodes: readonly KeptPostgres[],
    directory: string,
    timings: Timings,
    fsync: 'on' | 'off',
  ) {
    this.#timings = timings;
    this.#fsync = fsync;
    this.monitor = monitor;
    this.nodes = nodes;
    this.#directory = directory;
  }

  /** node_1 as the primary, the others as its synchronous standbys, and an empty ledger. */
  static async start({
    nodes = 3,
    timings = {},
    fsync = 'off',
  }: { nodes?: number; timings?: Partial<Timings>; fsync?: 'on' | 'off' } = {}): Promise<PgafCluster> {
    const binaries = debianBinaries();
    const directory = makeServerDirectory();
    const kept = async (name: string, database: string): Promise<KeptPostgres> =>
      new KeptPostgres({
        name,
        directory: join(directory, name),
        port: await freePort(),
        binaries,
        database,
      });
    const monitor = await kept('monitor', MONITOR_DATABASE);
    const members: KeptPostgres[] = [];
    for (let number = 1; number <= nodes; number += 1) members.push(await kept(`node_${number}`, 'postgres'));
    const cluster = new PgafCluster(monitor, members, directory, { ...usualTimings, ...timings }, fsync);
    try {
      await cluster.#create();
      return cluster;
    } catch (thrown) {
      await cluster.dispose();
      throw thrown;
    }
  }

  async #create(): Promise<void> {
    const [first, ...others] = this.nodes;
    if (first === undefined) throw new RangeError('a cluster has at least one node');
    await Promise.all([this.#createMonitor(), first.initialize({ ...settings, fsync: this.#fsync })]);
    this.#createNode(first);
    // The first that registers is the primary.
    await until('node_1 to be known', async () => (await this.states()).length === 1);
    for (const node of others) this.#createNode(node);
    // Else a copy waits for a spread one.
    const checkpoint = (): void => void first.query('checkpoint').catch(() => undefined); // it may not run yet
    await this.settled(this.nodes.length, { meanwhile: checkpoint });
    await first.query(CREATE_LEDGER);
  }

  async #createMonitor(): Promise<void> {
    const { monitor } = this;
    await monitor.initialize({ ...settings, fsync: this.#fsync });
    monitor.create('monitor', []);
    await until('the monitor to answer', () =>
      this.states().then(
        () => true,
        () => false,
      ),
    ); // asked before it is there
    for (const [name, value] of Object.entries(this.#timings)) {
      await monitor.query(`alter system set pgautofailover.${name} to ${value}`);
    }
    await monitor.query(`create role ${WATCHER.user} login password '${WATCHER.password}'`);
    await monitor.query(`grant usage on schema pgautofailover to ${WATCHER.user}`);
    await monitor.query(`grant select on pgautofailover.node, pgautofailover.formation to ${WATCHER.user}`);
    const hba = join(monitor.dataDirectory, 'pg_hba.conf');
    const before = readFileSync(hba, 'utf8');
    writeFileSync(hba, `host all ${WATCHER.user} 127.0.0.1/32 scram-sha-256\n`);
    appendFileSync(hba, before);
    await monitor.query('select pg_reload_conf()');
  }

  #createNode(node: KeptPostgres): void {
    node.create('postgres', [
      ...['--listen', '127.0.0.1', '--name', node.name, '--monitor', this.#monitorUri()],
      ...['--username', 'postgres', '--dbname', 'postgres'],
    ]);
  }

  #monitorUri(): string {
    return `postgres://autoctl_node@127.0.0.1:${this.monitor.port}/${MONITOR_DATABASE}?sslmode=disable`;
  }

  /** The nodes that were not dropped. */
  get members(): readonly KeptPostgres[] {
    return this.nodes.filter(node => !this.#dropped.has(node));
  }

  node(name: string): KeptPostgres {
    return this.nodes.find(node => node.name === name) ?? assert.fail(`there is no ${name}`);
  }

  /** How an application connects: through a proxy's port, or straight to a node. */
  target(through: Address): WriterTarget {
    return { ...through, user: 'postgres', password: 'not asked for', database: 'postgres' };
  }

  /** What the monitor says of each node. */
  async states(): Promise<readonly NodeState[]> {
    return this.monitor.query<{ name: string; reported: string; goal: string; health: number }>(
      `select nodename as name, reportedstate::text as reported, goalstate::text as goal, health
         from pgautofailover.node order by nodeid`,
    );
  }

  /**
   * Waits until one node, and not `old`, is the primary and `count` in all are where they should be; returns the primary.
   */
  async settled(
    count: number,
    { old, meanwhile }: { old?: KeptPostgres; meanwhile?: () => void } = {},
  ): Promise<KeptPostgres> {
    let seen: readonly NodeState[] = [];
    const primary = await until(
      `${count} nodes to be settled`,
      async () => {
        meanwhile?.();
        seen = await this.states();
        const well = seen.filter(({ reported, goal, health }) => reported === goal && health === 1);
        const writable = well.find(({ goal }) =>
          primaryStates[count === 1 ? 'alone' : 'followed'].includes(goal),
        );
        const standbys = well.filter(({ goal }) => goal === 'secondary').length;
        return standbys >= count - 1 && writable?.name !== old?.name && writable;
      },
      { deadlineMs: 120_000, everyMs: 50 },
    ).catch((thrown: unknown) => {
      throw new Error(`${String(thrown)}: ${JSON.stringify(seen)}\n${this.#logs()}`);
    });
    return this.node(primary.name);
  }

  /** `pg_autoctl perform switchover`; resolves when it says that it is done. */
  async switchover(): Promise<void> {
    await this.monitor.autoctl(...this.#switchoverArguments());
  }

  /** The same as a program with its arguments, for others to run, and what it needs in its environment. */
  switchoverCommand(): readonly string[] {
    return this.monitor.autoctlCommand(this.#switchoverArguments());
  }

  commandEnvironment(): Readonly<Record<string, string>> {
    return this.monitor.commandEnvironment();
  }

  #switchoverArguments(): readonly string[] {
    return ['perform', 'switchover', '--monitor', this.#monitorUri(), '--group', '0'];
  }

  /** Ends a node and takes it out of the cluster. */
  async drop(node: KeptPostgres): Promise<void> {
    await node.kill();
    this.#dropped.add(node);
    await this.monitor.query('select pgautofailover.remove_node($1, $2, true)', ['127.0.0.1', node.port]);
  }

  /** Ends every process and removes all files. */
  async dispose(): Promise<void> {
    try {
      await Promise.all([...this.nodes, this.monitor].map(kept => kept.end()));
    } finally {
      rmSync(this.#directory, { recursive: true, force: true, maxRetries: 3 });
    }
  }

  #logs(): string {
    return [this.monitor, ...this.nodes]
      .map(kept => `${kept.name}:\n${kept.logText().slice(-1500)}`)
      .join('\n');
  }
}
