// Why handshakes with clients fail, in the few words that are counted. Pure.
// The codes are Node.js's names for OpenSSL's errors (ERR_SSL_…) and of the system. Used by terminator.ts.

import { type ErrorFacts } from '../../../core/errors.ts';

const handshakeFailures = {
  plain: 'the client spoke no TLS',
  version: 'no version of TLS in common (min_version)',
  cipher: 'no cipher or signature in common',
  alpn: 'the client asked for another application protocol (ALPN), or for none where it must',
  'refused-by-client': 'the client broke off: it does not trust the certificate, as a rule',
  'client-certificate': 'the client showed no certificate, or none that client_ca_file vouches for',
  closed: 'the client went, or was too slow',
  other: 'anything else',
} as const;
export type HandshakeFailure = keyof typeof handshakeFailures;

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
