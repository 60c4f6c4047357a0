// Which check code an ending of a Redis or Sentinel session counts as: error replies by their first word, silence by how far
// the connection had come. Not the reading of bytes and not a decision about health. Used by the session beside it and by
// the Sentinel client.
// Error words: redis.io, "Redis serialization protocol specification", and src/server.c and src/networking.c of Redis 7.

import { failure, type ConnectPhase, type Failure } from '../failures.ts';

/** How far a connection has come; what a silence or an error means depends on it. */
export type Phase = ConnectPhase | 'handshaking' | 'login' | 'idle' | 'asking' | 'ended';

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
