// The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) and of PostgreSQL's older md5 method.
// No channel binding: the client says so (`n`), which every server accepts. No socket; the nonce comes from the caller.
// Used by the probe session's login.

import { createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

/** PostgreSQL's default is 4096. A server that asks for more than this wants to keep us busy. */
const ITERATIONS_MAX = 1_000_000;
const KEY_BYTES = 32;
const NO_CHANNEL_BINDING = 'n,,';

export const SCRAM_SHA_256 = 'SCRAM-SHA-256';

export interface ScramStart {
  readonly nonce: string;
  readonly bare: string;
  /** client-first-message: the initial response. */
  readonly message: string;
}

export type ScramReply =
  | { readonly ok: true; readonly message: string; readonly serverSignature: Buffer }
  | { readonly ok: false; readonly reason: string };

/**
 * `nonce`: printable ASCII without a comma, at least 18 random bytes' worth. PostgreSQL takes the user from the
 * startup packet and wants `user` empty here.
 */
export function startScram(nonce: string, user = ''): ScramStart {
  const bare = `n=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
  return { nonce, bare, message: `${NO_CHANNEL_BINDING}${bare}` };
}

/** Answers server-first-message. Refuses a foreign nonce and an iteration count outside 1–1,000,000. */
export async function continueScram(
  start: ScramStart,
  serverFirst: string,
  password: string,
): Promise<ScramReply> {
  const match = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+={0,2}),i=([1-9]\d{0,9})(?:,.*)?$/.exec(
    serverFirst,
  );
  const [, nonce, salt, iterationsText] = match ?? [];
  if (nonce === undefined || salt === undefined) return { ok: false, reason: 'a malformed SCRAM challenge' };
  if (!nonce.startsWith(start.nonce) || nonce === start.nonce) {
    return { ok: false, reason: 'a SCRAM challenge with a foreign nonce' };
  }
  const iterations = Number(iterationsText);
  if (iterations > ITERATIONS_MAX)
    return { ok: false, reason: `a SCRAM challenge of ${iterations} iterations` };

  const salted = await promisify(pbkdf2)(
    prepare(password),
    Buffer.from(salt, 'base64'),
    iterations,
    KEY_BYTES,
    'sha256',
  );
  const clientKey = hmac(salted, 'Client Key');
  const withoutProof = `c=${Buffer.from(NO_CHANNEL_BINDING).toString('base64')},r=${nonce}`;
  const authMessage = `${start.bare},${serverFirst},${withoutProof}`;
  const signature = hmac(createHash('sha256').update(clientKey).digest(), authMessage);
  const proof = clientKey.map((byte, i) => byte ^ (signature[i] ?? 0));
  return {
    ok: true,
    message: `${withoutProof},p=${Buffer.from(proof).toString('base64')}`,
    serverSignature: hmac(hmac(salted, 'Server Key'), authMessage),
  };
}

/** Whether server-final-message proves that the server knows the password too. */
export function verifyScram(serverSignature: Buffer, serverFinal: string): boolean {
  const [, encoded] = /^v=([A-Za-z0-9+/]+={0,2})(?:,.*)?$/.exec(serverFinal) ?? [];
  if (encoded === undefined) return false;
  const given = Buffer.from(encoded, 'base64');
  return given.length === serverSignature.length && timingSafeEqual(given, serverSignature);
}

/** The response to AuthenticationMD5Password: `md5`, then the hex md5 of (hex md5 of password and user) and the salt. */
export function md5Response(user: string, password: string, salt: Uint8Array): string {
  const inner = createHash('md5').update(password).update(user).digest('hex');
  return `md5${createHash('md5').update(inner).update(salt).digest('hex')}`;
}

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/**
 * SASLprep (RFC 4013) as PostgreSQL applies it: ASCII stays as it is; else spaces become U+0020, invisible characters
 * go, NFKC; and a result with a prohibited character means the password is used as typed.
 * Not covered: the bidirectional rules and the exact Unicode 3.2 table of unassigned characters.
 */
function prepare(password: string): string {
  if (/^[\x20-\x7e]*$/.test(password)) return password;
  const prepared = password
    .replaceAll(/[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g, ' ')
    .replaceAll(/[\u00ad\u1806\u200c\u200d\u2060\ufeff\ufe00-\ufe0f]|\u034f|\u180b|\u180c|\u180d/g, '')
    .normalize('NFKC');
  return prepared === '' || /[\p{Cc}\p{Co}\p{Cs}\p{Cn}\u200e\u200f\u2028-\u202e\ufff9-\ufffd]/u.test(prepared)
    ? password
    : prepared;
}
