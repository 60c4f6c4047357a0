// System 004 on real servers: Main, its deputy A, the copy B, tied by federated tables, with the very SQL and the very
// configuration of examples/system-004; only addresses, passwords and paces are the test's. For tests.

import { spawnSync } from 'node:child_process';
import { parse } from 'yaml';
import { accounts, MariadbNode, type ServerOptions } from './mariadb.ts';
import { MysqlWriter } from './mysql-writer.ts';
import { readRepositoryFile } from './repository.ts';
import { type Address } from '../../src/core/address.ts';

const DIRECTORY = 'examples/system-004/';
const link = { user: 'link', password: 'link-secret' };
const runbook = { user: 'runbook', password: 'runbook-secret' };
export const TOKEN = 'a token of sixteen or more'.replaceAll(' ', '-');

export interface System004 {
  readonly main: MariadbNode;
  readonly a: MariadbNode;
  readonly b: MariadbNode;
  dispose(): Promise<void>;
}

/** All three run, Main is the master, A is in VICE mode, and there are no titles. */
export async function startSystem004(options: ServerOptions = {}): Promise<System004> {
  const nodes: MariadbNode[] = [];
  const dispose = async (): Promise<void> => {
    await Promise.all(nodes.splice(0).map(node => node.dispose()));
  };
  const create = async (name: string, serverId: number): Promise<MariadbNode> => {
    const own = { 'event-scheduler': 'ON', 'net-read-timeout': 2, 'plugin-load-add': 'ha_federatedx' };
    const node = await MariadbNode.create({ name, serverId, options: { ...own, ...options } });
    nodes.push(node);
    return node;
  };
  try {
    const [main, a, b] = [await create('main', 1), await create('a', 2), await create('b', 3)] as const;
    await Promise.all(nodes.map(node => node.start()));
    await Promise.all([
      prepare(main, { node_a: a, node_b: b }),
      prepare(a, { main, node_b: b }),
      prepare(b, { main, node_a: a }),
    ]);
    for (const node of [main, a]) load(node, '2-writers.sql');
    load(main, '3-main.sql');
    load(a, '3-node-a.sql');
    load(b, '3-node-b.sql');
    return { main, a, b, dispose };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

/** As README.md beside the SQL says. */
async function prepare(node: MariadbNode, others: Readonly<Record<string, MariadbNode>>): Promise<void> {
  await node.run(
    `create user ${link.user}@'%' identified by '${link.password}'`,
    `grant select, insert, update on app.* to ${link.user}@'%'`,
    `create user ${runbook.user}@'%' identified by '${runbook.password}'`,
    ...[accounts.probe.user, runbook.user].map(user => `grant select, execute on app.* to ${user}@'%'`),
    ...Object.entries(others).map(
      ([name, to]) =>
        `create server ${name} foreign data wrapper mysql options (host '${to.host}', port ${to.port},
           user '${link.user}', password '${link.password}', database 'app')`,
    ),
  );
  load(node, '1-common.sql');
}

/** By the program that an operator uses: it knows `delimiter`. */
function load(node: MariadbNode, file: string): void {
  const { user, password } = accounts.root;
  const { status, stderr } = spawnSync(
    'mariadb',
    ['--no-defaults', `--socket=${node.socketPath}`, `--user=${user}`, 'app'],
    {
      input: readRepositoryFile(DIRECTORY + file),
      env: { ...process.env, MYSQL_PWD: password },
      encoding: 'utf8',
    },
  );
  if (status !== 0) throw new Error(`${node.name}: ${file}: ${stderr}`);
}

/** The configuration as it stands in the example, for these servers and in the tempo of a test. */
export function configOf({ main, a, b }: System004, stateFile: string): object {
  const text = readRepositoryFile(`${DIRECTORY}pointsman.yaml`)
    .replaceAll('${POINTSMAN_TOKEN}', TOKEN)
    .replaceAll('${PROBE_PASSWORD}', accounts.probe.password)
    .replaceAll('${RUNBOOK_PASSWORD}', runbook.password)
    .replace('10.0.0.1:3306', `${main.host}:${main.port}`)
    .replace('10.0.0.2:3306', `${a.host}:${a.port}`)
    .replace('10.0.0.3:3306', `${b.host}:${b.port}`)
    .replace('0.0.0.0:3306', '127.0.0.1:0')
    .replace('127.0.0.1:9101', '127.0.0.1:0')
    .replace('/var/lib/pointsman/state.json', stateFile)
    .replace('interval: 1s', 'interval: 300ms')
    .replace('lost_for: 3s', 'lost_for: 300ms\n    min_interval: 0\n    max_per_day: 100');
  return parse(text) as object;
}

/** An application that knows one address and one database name, and calls the same procedures wherever it is: new titles, and one that it updates again and again. */
export function startTitleWriter(at: Address, writer: number): MysqlWriter {
  return new MysqlWriter({
    at,
    ...accounts.app,
    database: 'app',
    pauseMs: 20,
    statement: seq =>
      seq % 2 === 1
        ? ['call distributed_insert(?, ?, 120, 8.0, 5000, 2025)', [titleId(writer, seq), `Title ${seq}`]]
        : ['call distributed_update(?, ?, 120, 8.0, 5000, 2025)', [sharedId(writer), String(seq)]],
  });
}

export const titleId = (writer: number, seq: number): string => `w${writer}-${seq}`;
export const sharedId = (writer: number): string => `shared${writer}`;

/** All titles of a node, by id. */
export async function titlesOf(node: MariadbNode): Promise<ReadonlyMap<string, string>> {
  const rows = await node.sql<{ id: string; title: string }>('select id, title from app.title');
  return new Map(rows.map(({ id, title }) => [id, title]));
}
