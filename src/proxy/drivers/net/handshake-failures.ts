// Why handshakes with clients fail, in the few words that are counted. Pure.
// The codes are Node.js's names for OpenSSL's errors (ERR_SSL_…) and of the system. Used by terminator.ts.

import { type ErrorFacts } from '../../../core/errors.ts';

export type HandshakeFailure =
  /** The client spoke no TLS. */
  | 'plain'
  /** No version of TLS in common (min_version). */
  | 'version'
  /** No cipher or signature in common. */
  | 'cipher'
  /** The client asked for another application protocol (ALPN), or for none where it must. */
  | 'alpn'
  /** The client broke off: it does not trust the certificate, as a rule. */
  | 'refused-by-client'
  /** The client showed no certificate, or none that client_ca_file vouches for. */
  | 'client-certificate'
  /** The client went, or was too slow. */
  | 'closed'
  /** Anything else. */
  | 'other';

const patterns: readonly (readonly [RegExp, HandshakeFailure])[] = [
  [/HTTP_REQUEST|HTTPS_PROXY_REQUEST|WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|BAD_RECORD_TYPE/, 'plain'],
  [/UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|UNKNOWN_PROTOCOL/, 'version'],
  [/NO_SHARED_|NO_SUITABLE_/, 'cipher'],
  [/APPLICATION_PROTOCOL/, 'alpn'],
  [/CERTIFICATE_VERIFY_FAILED|PEER_DID_NOT_RETURN/, 'client-certificate'],
  [/ALERT/, 'refused-by-client'],
  [/^(ECONNRESET|EPIPE|ETIMEDOUT|ERR_TLS_HANDSHAKE_TIMEOUT)$/, 'closed'],
];

export function failureOf({ code }: Pick<ErrorFacts, 'code'>): HandshakeFailure {
  return patterns.find(([pattern]) => pattern.test(code))?.[1] ?? 'other';
}
