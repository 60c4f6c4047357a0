// zod's findings as sentences for people, each at the key or value it is about. Pure; used by load.ts.
// Values are shown only where the loader says they may be: never secrets, never what came out of `${…}`.

import { type z } from 'zod';
import { type Path } from './path.ts';
import { didYouMean } from './suggest.ts';

export interface Finding {
  readonly kind: 'value' | 'unknown-key' | 'missing-key' | 'bad-key';
  /** Of an unknown or missing key, the path it has or would have. */
  readonly path: Path;
  /** The second half of a sentence, to stand after the value; empty for unknown and missing keys. */
  readonly reason: string;
  /** A number is wanted here, which text from `${…}` may become. */
  readonly wantsNumber: boolean;
}

/** Reasons for what the schema itself has no words for; pass it to `safeParse` as `error`. */
export function reasonOf(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(issue.expected);
    case 'invalid_value':
      return noChoice(issue.input, issue.values.map(String));
    case 'invalid_union':
      return wrongVariant(issue);
    case 'too_small':
      return issue.origin === 'string'
        ? 'is too short; it must not be empty'
        : `is below the least value, ${issue.minimum}`;
    case 'too_big':
      return issue.origin === 'string'
        ? `is too long; ${issue.maximum} characters are the most`
        : `is above the greatest value, ${issue.maximum}`;
    default:
      return 'is not what belongs here';
  }
}

function noChoice(input: unknown, choices: readonly string[]): string {
  const hint = typeof input === 'string' ? didYouMean(input, choices) : '';
  return `is none of the choices: ${choices.join(', ')}${hint}`;
}

/** Of a union told apart by one key, the issue stands at that key, but its input is the whole mapping. */
function wrongVariant({
  input,
  discriminator,
  options,
}: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidUnion>): string {
  if (discriminator === undefined || !Array.isArray(options)) return 'is not what belongs here';
  return noChoice((input as Readonly<Record<string, unknown>>)[discriminator], options.map(String));
}

function wrongType(expected: string): string {
  switch (expected) {
    case 'string':
      return 'is not text; write it in quotes';
    case 'number':
    case 'int':
      return 'is not a whole number';
    case 'array':
      return 'is not a list; write it as [one, two]';
    case 'object':
    case 'record':
      return 'is not a mapping; write its keys below it, indented';
    default:
      return 'is not what belongs here';
  }
}

/** One finding for each wrong value and each wrong key. `valueAt` gives the input; `undefined` where there is none. */
export function findings(
  issues: readonly z.core.$ZodIssue[],
  valueAt: (path: Path) => unknown,
): readonly Finding[] {
  return issues.flatMap(issue => expand(issue, [], valueAt));
}

function expand(issue: z.core.$ZodIssue, base: Path, valueAt: (path: Path) => unknown): readonly Finding[] {
  const path = [
    ...base,
    ...issue.path.map(segment => (typeof segment === 'symbol' ? String(segment) : segment)),
  ];
  const wantsNumber = issue.code === 'invalid_type' && issue.expected === 'number';
  const finding = (kind: Finding['kind'], at: Path, reason: string): Finding => ({
    kind,
    path: at,
    reason,
    wantsNumber,
  });
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => finding('unknown-key', [...path, key], ''));
  }
  if (issue.code === 'invalid_key') {
    return [finding('bad-key', path, issue.issues[0]?.message ?? issue.message)];
  }
  if (valueAt(path) === undefined) return [finding('missing-key', path, '')];
  if (issue.code === 'invalid_union' && issue.discriminator === undefined) {
    const [meant, other] = issue.errors.filter(branch => !branch.some(isOtherForm));
    if (meant !== undefined && other === undefined)
      return meant.flatMap(inner => expand(inner, path, valueAt));
  }
  return [finding('value', path, issue.message)];
}

/** The value isn't of this branch's form at all, so what the branch says of it helps nobody. */
function isOtherForm(issue: z.core.$ZodIssue): boolean {
  return issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value');
}
