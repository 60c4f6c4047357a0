// Loads the config for a command and prints what is wrong with it, every complaint with file, line and column.
// What is right and wrong is config/load.ts's. Called by run and check.

import { readFileSync } from 'node:fs';
import { formatIssue, loadConfig } from '../config/load.ts';
import { type Config } from '../config/schema.ts';
import { complain } from './output.ts';

export const DEFAULT_CONFIG_FILE = 'pointsman.yaml';

/** The config, or `null` after its errors were printed. Warnings are printed in both cases. */
export function readConfig(file: string): Config | null {
  const result = loadConfig(file, { readFile: path => readFileSync(path, 'utf8'), env: process.env });
  for (const warning of result.warnings) complain(`${formatIssue(warning)} (warning)`);
  if (result.ok) return result.config;
  for (const issue of result.issues) complain(formatIssue(issue));
  return null;
}
