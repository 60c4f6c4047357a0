// Rules between keys: what each value alone can't show. Pure but for `source`, which knows the file as written.
// Errors would do nothing, or harm; warnings are legal but seldom meant. Called by load.ts, on reload as well.
// The rules stand in lint/, by what they are about.

import { adminRules } from './lint/admin.ts';
import { backupRules } from './lint/backups.ts';
import { backendRules } from './lint/backends.ts';
import { type LintFinding, type LintSource, type Rule } from './lint/finding.ts';
import { frontendRules } from './lint/frontends.ts';
import { limitRules } from './lint/limits.ts';
import { readRules } from './lint/reads.ts';
import { runbookRules } from './lint/runbooks.ts';
import { stateFileRules } from './lint/state-file.ts';
import { tlsRules } from './lint/tls.ts';
import { type Config } from './schema.ts';

const groups: readonly (readonly Rule[])[] = [
  adminRules,
  frontendRules,
  readRules,
  backendRules,
  limitRules,
  tlsRules,
  stateFileRules,
  runbookRules,
  backupRules,
];

export function lint(config: Config, source: LintSource): readonly LintFinding[] {
  return groups.flat().flatMap(rule => rule(config, source));
}
