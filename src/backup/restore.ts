// Restores a backup as a whole database: what was there before (seeds, a former state) is gone afterwards, and of PostgreSQL it
// stays until the backup has been restored beside it. May be repeated: each run begins anew. Called by the restore step of a
// runbook and by verify.ts.

import { createReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { type Backup } from './choose.ts';
import { visiting, type Server, type ToolDeps, type Visit } from './tools.ts';

export interface RestoreTarget extends Server {
  /** Replaced by the backup, or made. */
  readonly database: string;
  /** Owners and grants as they were, which needs those roles there. */
  readonly keepsOwners: boolean;
  /** PostgreSQL only: the name that the former database gets instead of being dropped; `null`: it is dropped. */
  readonly keepFormer: string | null;
}

/** Resolves when the database is what the backup was; rejects with a `ProgramFailure` that says what failed. */
export async function restoreBackup(backup: Backup, target: RestoreTarget, deps: ToolDeps): Promise<void> {
  await visiting(target, deps, visit => restoreAt(visit, backup, target));
}

export async function restoreAt(visit: Visit, backup: Backup, target: RestoreTarget): Promise<void> {
  const { protocol, database, keepsOwners, keepFormer } = target;
  const load = (into: string): Promise<void> =>
    visit.restore(backup.kind, into, keepsOwners, contentOf(backup));
  if (protocol === 'mysql') {
    // A database has no other name to be made under: half of it is seen while it is filled, by whoever looks.
    await visit.ask(`drop database if exists ${tick(database)}; create database ${tick(database)};`);
    await load(database);
    return;
  }
  const aside = `${database.slice(0, IDENTIFIER_MAX_BYTES - SUFFIX.length)}${SUFFIX}`;
  // template0: nothing of what a site keeps in template1 collides with what is restored.
  await visit.ask(`${dropping(aside)}\ncreate database ${quote(aside)} template template0;`);
  await load(aside);
  const making = keepFormer === null ? dropping(database) : puttingAside(database, keepFormer);
  await visit.ask(`${making}\nalter database ${quote(aside)} rename to ${quote(database)};`);
}

/** Removes a database, whoever is connected to it. */
export async function dropAt(
  visit: Visit,
  { protocol, database }: Pick<RestoreTarget, 'protocol' | 'database'>,
): Promise<void> {
  await visit.ask(protocol === 'mysql' ? `drop database if exists ${tick(database)};` : dropping(database));
}

const IDENTIFIER_MAX_BYTES = 63;
const SUFFIX = '_restoring';

/** `with (force)` came with PostgreSQL 13; before it sessions are ended by hand. */
const closing = (database: string): string =>
  `select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = ${literal(database)} and pid <> pg_backend_pid() \\g /dev/null`;

const dropping = (database: string): string =>
  `${closing(database)}\ndrop database if exists ${quote(database)};`;

/** Where the former one has been put aside already, what is there now was made by an attempt before this one. */
function puttingAside(database: string, former: string): string {
  const exists = (name: string): string =>
    `exists (select from pg_database where datname = ${literal(name)})`;
  return `${closing(database)}
select format('drop database %I', ${literal(database)}) where ${exists(former)} and ${exists(database)} \\gexec
select format('alter database %I rename to %I', ${literal(database)}, ${literal(former)}) where not ${exists(former)} and ${exists(database)} \\gexec`;
}

function contentOf({ path, isCompressed }: Backup): Readable {
  const file = createReadStream(path);
  // Its errors come out of the last stream: pipeline ends both.
  return isCompressed ? pipeline(file, createGunzip(), () => undefined) : file;
}

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const tick = (name: string): string => `\`${name.replaceAll('`', '``')}\``;
