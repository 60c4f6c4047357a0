// Whether a call that changes something may be made: the bearer token (RFC 6750, 2.1), compared in constant time.
// No cookies are used, and a browser adds this header to nobody's requests: a foreign page can't make a call in a user's name.
// Pure but for hashing. Used by guard.ts.

import { createHash, timingSafeEqual } from 'node:crypto';

export type Permission =
  { readonly kind: 'granted' } | { readonly kind: 'disabled' | 'missing' | 'wrong'; readonly why: string };

/** `token`: the configured one; `null`: there is none, and nobody may change anything. */
export function permissionOf(authorization: string | null, token: string | null): Permission {
  if (token === null) {
    const why = 'changing calls are refused: no admin.token is configured';
    return { kind: 'disabled', why };
  }
  const given = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '')?.[1];
  if (given === undefined) {
    return {
      kind: 'missing',
      why: 'a token is needed: send the header "Authorization: Bearer <admin.token>"',
    };
  }
  if (!timingSafeEqual(digest(given), digest(token))) {
    return { kind: 'wrong', why: 'the token is not the one of admin.token' };
  }
  return { kind: 'granted' };
}

/** Of equal length whatever the text: a comparison of digests tells nothing of where, or how long, the texts differ. */
const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
