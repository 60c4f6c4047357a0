// Loads the config for a command and prints what is wrong with it, every complaint with file, line and column.
// What is right and wrong is config/load.ts's. Called by run and check.

import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { formatIssue, loadConfig } from '../config/load.ts';
import { type Config } from '../config/schema.ts';
import { describeError } from '../core/errors.ts';
import { complain } from './output.ts';

export const DEFAULT_CONFIG_FILE = 'pointsman.yaml';

/** The config, or `null` after its errors were printed. Warnings are printed in both cases. */
export function readConfig(file: string): Config | null {
  const result = loadConfig(file, {
    readFile: path => readFileSync(path, 'utf8'),
    env: process.env,
    whyUnwritable,
  });
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
