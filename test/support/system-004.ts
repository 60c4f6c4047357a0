// System 004 on real servers: Main, its deputy A, the copy B, tied by federated tables (see system-004-sql.ts). With or
// without Pointsman in front. For tests.

import { accounts, MariadbNode, type ServerOptions } from './mariadb.ts';
import { MysqlWriter } from './mysql-writer.ts';
import { type Address } from '../../src/core/address.ts';
import {
  common,
  deputyProcedures,
  deputyTables,
  federated,
  mainProcedures,
  mainTables,
} from './system-004-sql.ts';

export interface System004 {
  readonly main: MariadbNode;
  readonly a: MariadbNode;
  readonly b: MariadbNode;
  dispose(): Promise<void>;
}

/** All three run, Main is the main one, A is in VICE mode, and there are no titles. */
export async function startSystem004(options: ServerOptions = {}): Promise<System004> {
  const nodes: MariadbNode[] = [];
  const dispose = async (): Promise<void> => {
    await Promise.all(nodes.splice(0).map(node => node.dispose()));
  };
  const create = async (name: string, serverId: number): Promise<MariadbNode> => {
    const node = await MariadbNode.create({ name, serverId, options });
    nodes.push(node);
    return node;
  };
  try {
    const [main, a, b] = [await create('main', 1), await create('a', 2), await create('b', 3)] as const;
    await Promise.all(nodes.map(node => node.start()));
    await Promise.all([
      main.run(...common, ...mainTables, "install soname 'ha_federatedx'"),
      a.run(...common, ...deputyTables, "install soname 'ha_federatedx'"),
      b.run(...common),
    ]);
    await Promise.all([
      main.run(
        federated('title_ft_a', 'title', a),
        federated('title_ft_b', 'title', b),
        federated('transaction_log_node_a', 'transaction_log', a),
        ...mainProcedures,
      ),
      a.run(
        federated('title_ft_main', 'title', main),
        federated('title_ft_b', 'title', b),
        federated('transaction_log_main', 'transaction_log', main),
        ...deputyProcedures,
      ),
    ]);
    return { main, a, b, dispose };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

/** The backend as the operator of system 004 writes it. */
export function backendOf({ main, a }: System004, more: object = {}): object {
  return {
    protocol: 'mysql',
    multiple_writers: 'keep',
    check: { ...accounts.probe, database: 'app' },
    servers: {
      main: { address: `${main.host}:${main.port}`, writable: 'select true' },
      a: {
        address: `${a.host}:${a.port}`,
        writable: "select config_value = 'ACTING_MASTER' from node_config where config_key = 'node_mode'",
      },
    },
    ...more,
  };
}

/** An application that knows one address and one database name, and calls the same procedure wherever it is. */
export function startTitleWriter(at: Address, writer: number): MysqlWriter {
  return new MysqlWriter({
    at,
    ...accounts.app,
    database: 'app',
    statement: seq => [
      'call distributed_insert(?, ?, 120, 8.0, 5000, 2025)',
      [titleId(writer, seq), `Title ${seq}`],
    ],
  });
}

export const titleId = (writer: number, seq: number): string => `w${writer}-${seq}`;

/** The ids of all titles of a node. */
export async function titlesOf(node: MariadbNode): Promise<ReadonlySet<string>> {
  const rows = await node.sql<{ id: string }>('select id from app.title');
  return new Set(rows.map(({ id }) => id));
}
