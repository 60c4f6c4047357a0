// How the dumps of each maker begin and end: what tells a dump from any other file, and a whole one from a part.
// As pg_dump and pg_dumpall 9.6 to 18, mariadb-dump and mysqldump write them. Pure; used by files.ts.

import { type DumpKind } from './choose.ts';

/** As much of a dump's beginning and end as is looked at: comments and settings take some hundred bytes. */
export const EDGE_BYTES = 4096;

const begins: readonly (readonly [DumpKind, RegExp])[] = [
  ['pg-custom', /^PGDMP/],
  ['pg-plain', /^--\r?\n-- PostgreSQL database (cluster )?dump\r?\n/],
  // Since 2024 the first line is a command that forbids the client to run programs.
  ['mysql', /^(\/\*M?!999999\\- [^\n]*\n)?-- (MariaDB|MySQL) dump \d/],
];

/** Written last; `null`: an archive has no mark at its end. */
const ends: Readonly<Record<DumpKind, RegExp | null>> = {
  'pg-custom': null,
  'pg-plain': /^-- PostgreSQL database (cluster )?dump complete\r?$/m,
  mysql: /^-- Dump completed( on [^\n]*)?\r?\n?$/m,
};

export function kindOf(head: Buffer): DumpKind | null {
  const text = head.toString('latin1');
  return begins.find(([, mark]) => mark.test(text))?.[0] ?? null;
}

export function completeness(kind: DumpKind, tail: Buffer): boolean | null {
  return ends[kind]?.test(tail.toString('latin1')) ?? null;
}
