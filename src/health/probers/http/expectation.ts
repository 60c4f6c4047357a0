// Whether an HTTP answer is the one that the check expects, and what to say of it. Pure. Used by the prober beside it.
// What is said never holds a header of ours, nor the query of the path, where tokens may stand.

import { type CheckConfig } from '../../../config/schema.ts';
import { truncate } from '../../../core/limits.ts';
import { type HttpResponse } from '../../../protocol/http/response.ts';
import { type ProbeAnswer } from '../../prober.ts';
import { nothingTold } from '../../result.ts';

export type Expectation = Pick<CheckConfig<'http'>, 'path' | 'status' | 'body' | 'json'>;

const SHOWN_MAX_CHARS = 80;

export function judge(expected: Expectation, response: HttpResponse): ProbeAnswer {
  const mismatch = mismatchOf(expected, response);
  const detail = `${shownRequest(expected.path)}: ${response.status}`;
  return mismatch === null
    ? { code: 'L7OK', detail, facts: nothingTold }
    : { code: 'L7HTTP', detail: truncate(`${detail}, ${mismatch}`) };
}

/** The request in words. */
export function shownRequest(path: string): string {
  const [bare = '', ...query] = path.split('?');
  return `GET ${truncate(bare, SHOWN_MAX_CHARS)}${query.length > 0 ? '?…' : ''}`;
}

function mismatchOf({ status, body, json }: Expectation, response: HttpResponse): string | null {
  if (!status.includes(response.status)) return `expected ${status.join(' or ')}`;
  if (body !== null && !response.body.includes(body)) return `but the body does not contain ${shown(body)}`;
  return json === null ? null : fieldMismatch(json, response.body);
}

function fieldMismatch(fields: NonNullable<Expectation['json']>, body: Buffer): string | null {
  const text = body.toString('utf8');
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    return 'but the body is not JSON'; // the parser's words would quote the body
  }
  for (const [path, wanted] of Object.entries(fields)) {
    const found = valueAt(root, path);
    if (found === undefined) return `but ${path} is missing, expected ${shown(wanted)}`;
    if (found !== wanted) return `but ${path} is ${shown(found)}, expected ${shown(wanted)}`;
  }
  return null;
}

/** `a.b` is field b of field a, `a.0` the first item of list a; `undefined` where there is no such thing. */
function valueAt(root: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => {
    const isHolder = typeof value === 'object' && value !== null && Object.hasOwn(value, name);
    return isHolder ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
  }, root);
}

function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  return truncate(JSON.stringify(value), SHOWN_MAX_CHARS);
}
