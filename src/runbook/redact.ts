// What must not be shown of a step: the passwords it uses and the values of its own environment. Pure.
// Used where results of steps are made, and where a plan is printed.

import { type BackendConfig, type RunbookConfig, type StepConfig } from '../config/schema.ts';

/** Shorter ones stand in too many words by chance to be taken out of texts. */
const SECRET_MIN_CHARS = 4;
const INSTEAD = '***';

export function secretsOf(
  { action, env }: StepConfig,
  login: RunbookConfig['login'],
  { check }: BackendConfig,
): readonly string[] {
  const asked = action.kind === 'wait' ? action.sql : action.kind === 'sql' ? action : null;
  const probe = 'password' in check ? check.password : null;
  return [...Object.values(env), login.password, asked?.login.password ?? null, probe].filter(
    secret => secret !== null,
  );
}

export function redactor(secrets: readonly string[]): (text: string) => string {
  const long = secrets
    .filter(({ length }) => length >= SECRET_MIN_CHARS)
    .sort((one, other) => other.length - one.length);
  return text => long.reduce((rest, secret) => rest.replaceAll(secret, INSTEAD), text);
}
