// Proves that a backup can be restored: into a scratch database of its own on a given server, where its tables and rows are
// counted; then the scratch database is dropped. Called after a backup was made, and by `pointsman backup --verify`.

import { type Backup } from './choose.ts';
import { ProgramFailure } from './program.ts';
import { dropAt, restoreAt } from './restore.ts';
import { visiting, type Server, type ToolDeps, type Visit } from './tools.ts';

export interface Contents {
  readonly tables: number;
  readonly rows: number;
}

export interface VerifyOptions {
  /** Where the scratch database is made. */
  readonly server: Server;
  /** Its name. */
  readonly database: string;
  readonly minRows: number;
}

/** What the backup holds. Rejects with a `ProgramFailure` if it can't be restored, or holds less than it must. */
export async function verifyBackup(
  backup: Backup,
  options: VerifyOptions,
  deps: ToolDeps,
): Promise<Contents> {
  const { server, database, minRows } = options;
  const target = { ...server, database, keepsOwners: false, keepFormer: null };
  return visiting(server, deps, async visit => {
    try {
      await restoreAt(visit, backup, target);
      const contents = await countAt(visit, target);
      if (contents.tables === 0) throw new ProgramFailure('the restored backup holds no table');
      if (contents.rows < minRows)
        throw new ProgramFailure(
          `the restored backup holds ${contents.rows} rows, and ${minRows} is the least`,
        );
      return contents;
    } finally {
      await dropAt(visit, target);
    }
  });
}

const counts: Readonly<Record<Server['protocol'], (database: string) => string>> = {
  postgres: () =>
    `select format('select count(*) from %I.%I', schemaname, tablename) from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema')`,
  mysql: database =>
    `select concat('select count(*) from \`', replace(table_name, '\`', '\`\`'), '\`')
       from information_schema.tables where table_schema = '${database}' and table_type = 'BASE TABLE'
       and engine not in ('FEDERATED', 'CONNECT')`,
};

/** Counted, not estimated: a table whose pages are broken shows here at the latest. */
async function countAt(
  visit: Visit,
  { protocol, database }: { protocol: Server['protocol']; database: string },
): Promise<Contents> {
  const lines = async (statements: string): Promise<readonly string[]> =>
    (await visit.ask(statements, database)).split('\n').filter(line => line !== '');
  const queries = await lines(`${counts[protocol](database)};`);
  const rows = queries.length === 0 ? [] : await lines(queries.map(query => `${query};`).join('\n'));
  return { tables: queries.length, rows: rows.reduce((sum, count) => sum + Number(count), 0) };
}
