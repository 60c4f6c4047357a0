// Rules between keys: what each value alone can't show. Pure but for `source`, which knows the file as written.
// Errors would do nothing, or harm; warnings are legal but seldom meant. Called by load.ts, on reload as well.
// The rules stand in lint/.

import { adminRules } from './lint/admin.ts';
import { backendRules } from './lint/backends.ts';
import { type LintFinding, type LintSource } from './lint/finding.ts';
import { frontendRules } from './lint/frontends.ts';
import { stateFileRules } from './lint/state-file.ts';
import { tlsRules } from './lint/tls.ts';
import { type Config } from './schema.ts';

export function lint(config: Config, source: LintSource): readonly LintFinding[] {
  return [...adminRules, ...frontendRules, ...backendRules, ...tlsRules, ...stateFileRules].flatMap(rule =>
    rule(config, source),
  );
}
