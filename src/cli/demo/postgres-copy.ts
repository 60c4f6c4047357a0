// Copies a data directory for a standby: cold from a stopped server, hot from a running one.
// Stands in for pg_basebackup, which the npm package doesn't ship. Used by postgres-node.ts.
// Hot copy: PostgreSQL documentation, page 26.3 "Continuous Archiving", "Making a Base Backup Using the Low Level API".

import { copyFileSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Client } from 'pg';

/** Belongs to the running server, not to its data. */
const neverCopied = new Set(['postmaster.pid', 'postmaster.opts', 'standby.signal', 'recovery.signal']);
/** Directories whose content a standby makes itself or streams. */
const emptiedWhenHot = new Set([
  'pg_wal',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_stat_tmp',
  'pg_subtrans',
]);

export function copyCold(from: string, to: string): void {
  copyTree(from, to, new Set());
}

/** `client` is a session of a superuser on the running server, PostgreSQL 15 or newer; it must stay open until the end. */
export async function copyHot(client: Client, from: string, to: string): Promise<void> {
  await client.query("select pg_backup_start('standby', true)");
  copyTree(from, to, emptiedWhenHot);
  const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)');
  writeFileSync(join(to, 'backup_label'), rows[0]?.labelfile ?? '');
  mkdirSync(join(to, 'pg_wal', 'archive_status'), { recursive: true });
}

function copyTree(from: string, to: string, emptied: ReadonlySet<string>): void {
  mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(from)) {
    if (neverCopied.has(name)) continue;
    const source = join(from, name);
    const target = join(to, name);
    try {
      if (lstatSync(source).isDirectory()) {
        if (emptied.has(name)) mkdirSync(target, { mode: 0o700 });
        else copyTree(source, target, new Set());
      } else {
        copyFileSync(source, target);
      }
    } catch (thrown) {
      // A running server removes files while we look; recovery knows that from the backup label.
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
    }
  }
}
