// Which check code an ending of a Redis or Sentinel session counts as: error replies by their first word, silence by how far
// the connection had come. Not the reading of bytes and not a decision about health. Used by the session beside it and by
// the Sentinel client.
// Error words: redis.io, "Redis serialization protocol specification", and src/server.c and src/networking.c of Redis 7.

import { describeError } from '../../../core/errors.ts';
import { connectFailure, connectTimeout, failure, type ConnectPhase, type Failure } from '../failures.ts';

/** How far a connection has come; what a silence or an error means depends on it. */
export type Phase = ConnectPhase | 'handshaking' | 'login' | 'idle' | 'asking' | 'ended';

const lost: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'ECONNABORTED',
]);

export function socketFailure(phase: Phase, thrown: unknown): Failure {
  if (phase === 'resolving' || phase === 'connecting') return connectFailure(thrown);
  const { code, message } = describeError(thrown);
  const ofTls = code.startsWith('ERR_SSL') || code === 'EPROTO';
  if (ofTls || (phase === 'handshaking' && !lost.has(code))) return failure('L6RSP', `TLS: ${message}`);
  return failure('L4LOST', `${message} (${phase})`);
}

export function timeoutFailure(phase: Phase, timeoutMs: number): Failure {
  switch (phase) {
    case 'resolving':
    case 'connecting':
      return connectTimeout(phase, timeoutMs);
    case 'handshaking':
      return failure('L6TOUT', `no end of the TLS handshake within ${timeoutMs} ms`);
    default:
      return failure('L7TOUT', `no answer within ${timeoutMs} ms (${phase})`);
  }
}

/** An error reply. What the server repeats of a command it doesn't know is left out: a password may be among it. */
export function replyFailure(text: string): Failure {
  const detail = text.replace(/,? with args beginning with.*$/s, '');
  switch (/^[A-Z]+/.exec(text)?.[0]) {
    case 'LOADING':
      return failure('L7START', detail);
    case 'BUSY':
      return failure('L7BUSY', detail);
    case 'NOAUTH':
    case 'WRONGPASS':
    case 'NOPERM':
    case 'DENIED':
      return failure('L7AUTH', detail);
    default:
  }
  if (/max number of clients/i.test(text)) return failure('L7BUSY', detail);
  // Before Redis 6 a wrong password, or one that wasn't asked for, had no word of its own.
  if (/invalid password|invalid username|AUTH.* without any password|no password is set/i.test(text)) {
    return failure('L7AUTH', detail);
  }
  return failure('L7STS', detail);
}
