// Where the repository is and what files it holds, for tests that read the tree itself (test/arch) and for fixtures.
// Walks the directory instead of asking git, so that it also works in an unpacked archive and sees new files.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const notOurs = new Set(['node_modules', 'dist', '.cache', '.git']);

function findRoot(): string {
  for (let directory = import.meta.dirname; ; directory = dirname(directory)) {
    if (readdirSync(directory).includes('package-lock.json')) return directory;
    if (dirname(directory) === directory)
      throw new Error(`no package-lock.json above ${import.meta.dirname}`);
  }
}

/** Absolute path of the repository, also when the compiled test lies in another output directory below it. */
export const repositoryRoot = findRoot();

/** Paths of all files below `directory`, relative to the repository, with `/`, sorted; build output and packages left out. */
export function repositoryFiles(directory = '.'): string[] {
  const found: string[] = [];
  const visit = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (notOurs.has(entry.name)) continue;
      const child = join(path, entry.name);
      if (entry.isDirectory()) visit(child);
      else if (entry.isFile()) found.push(relative(repositoryRoot, child));
    }
  };
  visit(join(repositoryRoot, directory));
  return found.sort();
}

/** Text of a file, its path relative to the repository. */
export function readRepositoryFile(path: string): string {
  return readFileSync(join(repositoryRoot, path), 'utf8');
}
