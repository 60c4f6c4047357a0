// One call of the admin API of a running Pointsman. Prints why nobody could be asked.
// Which one is asked stands in admin-target.ts. Used by the commands that look at a running one, or operate it.

import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { systemClock } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';
import { ADMIN_ANSWER_MAX_BYTES, truncate } from '../core/limits.ts';
import { findTarget, type AdminOptions, type AdminTarget } from './admin-target.ts';
import { complain } from './output.ts';

/** What came back, or why nothing did, as a sentence. */
export type AdminAnswer =
  | { readonly ok: true; readonly status: number; readonly body: unknown }
  | { readonly ok: false; readonly why: string };

/** Keys that an answer (200) must have, and what is in them: another program may answer in JSON as well. */
export type Shape = Readonly<Record<string, 'string' | 'boolean' | 'array'>>;

const TIMEOUT_MS = 10_000;
/** As the configuration has it (config/schema.ts): what isn't one can't be put into a header. */
const TOKEN = /^[\x21-\x7e]+$/;

/** Whom to ask; `null` after the reason was printed. */
export function readTarget(options: AdminOptions): AdminTarget | null {
  const sources = { readFile: (path: string) => readFileSync(path, 'utf8'), env: process.env };
  const found = findTarget(options, sources);
  if (found.ok) return found.target;
  for (const complaint of found.complaints) complain(complaint);
  return null;
}

/** Never rejects. The token goes along only where something is changed. */
export async function callAdmin(
  { url, token, tls = {} }: AdminTarget,
  method: 'GET' | 'POST',
  path: string,
  shape: Shape,
  timeoutMs: number = TIMEOUT_MS,
): Promise<AdminAnswer> {
  if (method === 'POST' && token !== null && !TOKEN.test(token)) {
    return { ok: false, why: 'POINTSMAN_TOKEN is not a token: it holds spaces, line ends or other signs' };
  }
  const authorization = method === 'POST' && token !== null ? { authorization: `Bearer ${token}` } : {};
  try {
    const { status, text } = await send(url + path, method, authorization, tls, timeoutMs);
    const body = readJson(text);
    if (body !== undefined && (status !== 200 || isShaped(body, shape))) return { ok: true, status, body };
    return { ok: false, why: `what answers at ${url} is no Pointsman (HTTP ${status})` };
  } catch (thrown) {
    const { code, message } = describeError(thrown);
    const why = code === 'UNKNOWN' ? truncate(message) : code;
    return {
      ok: false,
      why: `no Pointsman answers at ${url} (${why}); is it running, with this configuration? --url names another`,
    };
  }
}

/** Not `fetch`: that refuses ports which browsers are kept from, and an admin server may have one of those. */
function send(
  url: string,
  method: string,
  headers: Readonly<Record<string, string>>,
  tls: NonNullable<AdminTarget['tls']>,
  timeoutMs: number,
): Promise<{ status: number; text: string }> {
  const request = url.startsWith('https:') ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const call = request(url, { ...tls, method, headers: { connection: 'close', ...headers } }, response =>
      read(response).then(text => resolve({ status: response.statusCode ?? 0, text }), reject),
    );
    const timer = systemClock.schedule(timeoutMs, () =>
      call.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)),
    );
    call.on('error', reject);
    call.on('close', () => timer.cancel());
    call.end();
  });
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > ADMIN_ANSWER_MAX_BYTES) throw new Error('its answer is too large');
  }
  return Buffer.concat(chunks).toString();
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller says that this is no Pointsman
  }
}

function isShaped(body: unknown, shape: Shape): boolean {
  if (typeof body !== 'object' || body === null) return false;
  const values = new Map(Object.entries(body));
  return Object.entries(shape).every(([key, kind]) => {
    const value: unknown = values.get(key);
    return kind === 'array' ? Array.isArray(value) : typeof value === kind;
  });
}

/** The API's own words for a refusal. */
export function refusalIn(body: unknown): string {
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : null;
  return typeof error === 'string' ? truncate(error) : 'it was refused without a reason';
}
