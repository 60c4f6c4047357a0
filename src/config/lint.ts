// Rules between keys: what each value alone can't show. Pure but for `source`, which knows the file as written.
// Errors would do nothing, or harm; warnings are legal but seldom meant. Called by load.ts, on reload as well.
// The rules stand in lint/frontends.ts and lint/backends.ts.

import { backendRules } from './lint/backends.ts';
import { type LintFinding, type LintSource } from './lint/finding.ts';
import { frontendRules } from './lint/frontends.ts';
import { type Config } from './schema.ts';

export function lint(config: Config, source: LintSource): readonly LintFinding[] {
  return [...frontendRules, ...backendRules].flatMap(rule => rule(config, source));
}
