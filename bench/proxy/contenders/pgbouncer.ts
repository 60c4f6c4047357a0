// PgBouncer in session mode as a contender. It pools: a client that comes gets a server connection that is already there,
// so where connections are counted it does less than a proxy does.

import { chmodSync, chownSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianBinaries } from '../../../src/cli/demo/postgres-binaries.ts';
import { type Contender } from '../model.ts';
import { BACKLOG, chooseListeners, whenListening, type Listener } from './listeners.ts';

const PGBOUNCER = '/usr/sbin/pgbouncer';

export function pgbouncerConfig({ port, to }: Listener): string {
  return [
    '[databases]',
    `* = host=${to.host} port=${to.port} user=postgres`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    `listen_backlog = ${BACKLOG}`,
    'unix_socket_dir =',
    'auth_type = any',
    'pool_mode = session',
    'default_pool_size = 100',
    'max_client_conn = 5000',
    'log_connections = 0',
    'log_disconnections = 0',
    'log_stats = 0',
    '',
  ].join('\n');
}

export const pgbouncer: Contender = {
  name: 'pgbouncer',
  title: 'PgBouncer (session mode)',
  serves: ['pg'],
  async start({ children, directory: parent }, services) {
    const listeners = await chooseListeners(services);
    const [listener] = listeners;
    if (listener === undefined) throw new Error('PgBouncer has no service to stand in front of');
    const directory = mkdtempSync(join(parent, 'pgbouncer-'));
    const file = join(directory, 'pgbouncer.ini');
    writeFileSync(file, pgbouncerConfig(listener));
    // it refuses to run as root, as PostgreSQL does: the account of that one will do
    const { owner } = debianBinaries();
    if (owner !== null) chownSync(directory, owner.uid, owner.gid);
    chmodSync(file, 0o644);
    const child = await children.start(PGBOUNCER, [file], { cwd: '/', ...owner });
    return whenListening(child, listeners);
  },
  async version({ children }) {
    return /PgBouncer (\S+)/.exec(await children.run(PGBOUNCER, ['--version'], 5000))?.[1] ?? 'unknown';
  },
};
