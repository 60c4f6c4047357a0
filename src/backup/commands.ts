// The arguments of the programs that dump, restore and ask, by protocol. Passwords go by the environment (PostgreSQL) or by a
// file that only we can read (MySQL, MariaDB: options-file.ts), never by argument. Pure; run by program.ts.

import { type Address } from '../core/address.ts';
import { type DumpKind } from './choose.ts';
import { type Command } from './program.ts';

export interface Login {
  readonly address: Address;
  readonly user: string;
  readonly password: string | null;
}

export interface Programs {
  /** Path of a program by its names, the preferred one first. */
  find(names: readonly [string, ...string[]]): string;
  /** Of MySQL and MariaDB: the file that holds the password; `null`: there is no password. */
  readonly optionsFile: string | null;
}

export type DumpFormat = 'custom' | 'plain';

export interface DumpOptions {
  readonly format: DumpFormat;
  readonly arguments: readonly string[];
}

type Maker = (login: Login, database: string, programs: Programs) => Command;

/** Dumps one database to its output. */
export function dumpCommand(
  protocol: 'postgres' | 'mysql',
  login: Login,
  database: string,
  { format, arguments: more }: DumpOptions,
  programs: Programs,
): Command {
  if (protocol === 'postgres') {
    const own = [`--format=${format}`, '--lock-wait-timeout=60s', ...more];
    return postgres('pg_dump', own)(login, database, programs);
  }
  // Without --databases: what is dumped can be restored under another name, into a scratch database say.
  const own = [
    '--single-transaction',
    '--quick',
    '--routines',
    '--triggers',
    '--events',
    '--hex-blob',
    ...more,
  ];
  return mysql(['mariadb-dump', 'mysqldump'], own)(login, database, programs);
}

/** Restores a dump, which it reads as its input, into an empty database; stops at the first thing that fails. */
export function restoreCommand(
  kind: DumpKind,
  login: Login,
  database: string,
  keepsOwners: boolean,
  programs: Programs,
): Command {
  switch (kind) {
    case 'pg-custom': {
      const owners = keepsOwners ? [] : ['--no-owner', '--no-privileges'];
      return postgres('pg_restore', ['--exit-on-error', '--single-transaction', ...owners])(
        login,
        database,
        programs,
      );
    }
    case 'pg-plain':
      return postgres('psql', [
        '--no-psqlrc',
        '--quiet',
        '--set=ON_ERROR_STOP=1',
        '--single-transaction',
        '--output=/dev/null',
      ])(login, database, programs);
    case 'mysql':
      return mysql(['mariadb', 'mysql'], ['--batch'])(login, database, programs);
  }
}

/** Runs the statements of its input, and prints bare values, one row a line. */
export function askCommand(
  protocol: 'postgres' | 'mysql',
  login: Login,
  database: string | null,
  programs: Programs,
): Command {
  if (protocol === 'postgres') {
    const own = ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--no-align', '--tuples-only'];
    return postgres('psql', own)(login, database ?? 'postgres', programs);
  }
  return mysql(['mariadb', 'mysql'], ['--batch', '--skip-column-names'])(login, database ?? '', programs);
}

const postgres =
  (program: string, own: readonly string[]): Maker =>
  ({ address, user, password }, database, programs) => ({
    program: programs.find([program]),
    args: [
      ...own,
      '--no-password',
      `--host=${address.host}`,
      `--port=${address.port}`,
      `--username=${user}`,
      `--dbname=${database}`,
    ],
    env: {
      PGCONNECT_TIMEOUT: '10',
      PGAPPNAME: 'pointsman',
      ...(password === null ? {} : { PGPASSWORD: password }),
    },
  });

const mysql =
  (names: readonly [string, ...string[]], own: readonly string[]): Maker =>
  ({ address, user }, database, programs) => ({
    program: programs.find(names),
    args: [
      // Only as the first argument; else the files of the machine would have their say, passwords of others included.
      programs.optionsFile === null ? '--no-defaults' : `--defaults-file=${programs.optionsFile}`,
      ...own,
      '--protocol=tcp',
      `--host=${address.host}`,
      `--port=${address.port}`,
      `--user=${user}`,
      ...(database === '' ? [] : [database]),
    ],
    env: {},
  });

/** An option file of MySQL and MariaDB that holds a password. */
export const optionsFileText = (password: string): string =>
  `[client]\npassword="${password.replaceAll(/[\\"]/g, '\\$&')}"\n`;
