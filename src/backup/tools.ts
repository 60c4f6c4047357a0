// One visit at a database server with its maker's programs: dump, restore, ask. Holds the file with the password for as long
// as the visit lasts. Called by make.ts and restore.ts; what is run stands in commands.ts.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Readable, type Writable } from 'node:stream';
import { type DumpKind } from './choose.ts';
import {
  askCommand,
  dumpCommand,
  optionsFileText,
  restoreCommand,
  type DumpOptions,
  type Login,
  type Programs,
} from './commands.ts';
import { installed, runProgram, type ProgramDeps } from './program.ts';

export interface ToolDeps extends ProgramDeps {
  /** Where the programs are; `null`: where PATH leads to. */
  readonly programs: string | null;
}

export interface Server {
  readonly protocol: 'postgres' | 'mysql';
  readonly login: Login;
}

export interface Visit {
  dump(database: string, options: DumpOptions, output: Writable): Promise<void>;
  /** Into a database that is empty. `keepsOwners`: the roles that the dump names must exist there. */
  restore(kind: DumpKind, database: string, keepsOwners: boolean, input: Readable): Promise<void>;
  /** Bare values, one row a line. `database` null: the server's own. */
  ask(statements: string, database?: string | null): Promise<string>;
}

/** Rejects as `task` does; whatever its programs fail of is a `ProgramFailure`. */
export async function visiting<T>(
  { protocol, login }: Server,
  deps: ToolDeps,
  task: (visit: Visit) => Promise<T>,
): Promise<T> {
  const needsFile = protocol === 'mysql' && login.password !== null;
  const directory = needsFile ? await mkdtemp(join(tmpdir(), 'pointsman-')) : null;
  try {
    const optionsFile = directory === null ? null : join(directory, 'options');
    if (optionsFile !== null)
      await writeFile(optionsFile, optionsFileText(login.password ?? ''), { mode: 0o600 });
    const programs: Programs = { find: names => installed(names, deps.programs, deps), optionsFile };
    return await task({
      async dump(database, options, output) {
        await runProgram(dumpCommand(protocol, login, database, options, programs), { output }, deps);
      },
      async restore(kind, database, keepsOwners, input) {
        await runProgram(restoreCommand(kind, login, database, keepsOwners, programs), { input }, deps);
      },
      ask: (statements, database = null) =>
        runProgram(askCommand(protocol, login, database, programs), { input: statements }, deps),
    });
  } finally {
    if (directory !== null) await rm(directory, { recursive: true, force: true });
  }
}
