// The PostgreSQL behind the proxies: Debian's 15 with pgbench's tables. Its settings keep the disk and its own house
// work out of the figures: fsync off, no autovacuum, no checkpoint amid the run. Started by services.ts.

import { join } from 'node:path';
import { debianBinaries } from '../../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../../src/cli/demo/postgres-node.ts';
import { PGBENCH } from '../load/pgbench.ts';
import { type Context } from '../model.ts';
import { takePort } from '../ports.ts';

export const PGBENCH_SCALE = 10;

const INIT_MAX_MS = 120_000;

export const postgresSettings = {
  max_connections: '500',
  shared_buffers: '256MB',
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  autovacuum: 'off',
  checkpoint_timeout: '1h',
  max_wal_size: '16GB',
};

export async function startPostgres({ children, directory }: Context): Promise<PostgresNode> {
  const node = await PostgresNode.create({
    name: 'pg1',
    binaries: debianBinaries(),
    port: await takePort(),
    settings: postgresSettings,
  });
  try {
    await node.start();
    const args = ['-i', '-q', '-s', String(PGBENCH_SCALE), '-h', '127.0.0.1', '-p', String(node.port)];
    await children.run(PGBENCH, [...args, '-U', 'postgres', 'postgres'], INIT_MAX_MS, { cwd: directory });
    await node.query('CHECKPOINT');
    return node;
  } catch (thrown) {
    await node.dispose();
    throw thrown;
  }
}

export function postgresProgram(name: string): string {
  return join(debianBinaries().bin, name);
}
