// Loads the config for a command and prints what is wrong with it, every complaint with file, line and column.
// What is right and wrong is config/load.ts's. Called by run and check.

import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { formatIssue, loadConfig, type LoadResult } from '../config/load.ts';
import { type Config } from '../config/schema.ts';
import { describeError } from '../core/errors.ts';
import { complain } from './output.ts';

/** A configuration that is read once or, by reloads, again and again. */
export class ConfigFile {
  readonly #file: string;
  #read: ReadonlySet<string> = new Set();

  constructor(file: string) {
    this.#file = file;
  }

  /** With whatever is in the files and in the environment now. */
  load(): LoadResult {
    const read = new Set<string>();
    const readFile = (path: string): string => {
      read.add(path);
      return readFileSync(path, 'utf8');
    };
    this.#read = read;
    return loadConfig(this.#file, { readFile, env: process.env, whyUnwritable });
  }

  /** Those that were read last, of secrets too. */
  get files(): readonly string[] {
    return [...this.#read];
  }
}

/** The config, or `null` after its errors were printed. Warnings are printed in both cases. */
export function readConfig(file: ConfigFile): Config | null {
  const result = file.load();
  for (const warning of result.warnings) complain(`${formatIssue(warning)} (warning)`);
  if (result.ok) return result.config;
  for (const issue of result.issues) complain(formatIssue(issue));
  return null;
}

function whyUnwritable(directory: string): string | null {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
    return statSync(directory).isDirectory() ? null : 'is not a directory';
  } catch (thrown) {
    const { code } = describeError(thrown);
    return code === 'ENOENT' ? 'does not exist' : `cannot be written to (${code})`;
  }
}
