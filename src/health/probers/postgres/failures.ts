// Which check code an ending of a probe counts as: socket errors by errno, server errors by SQLSTATE.
// Not the reading of bytes and not a decision about health. Used by the session and the prober beside it.
// SQLSTATEs: PostgreSQL documentation, appendix A "PostgreSQL Error Codes".

import { describeError } from '../../../core/errors.ts';
import { truncate } from '../../../core/limits.ts';
import { type ServerError } from '../../../protocol/postgres/frames.ts';
import { type FailureCode } from '../../result.ts';

export interface Failure {
  readonly code: FailureCode;
  readonly detail: string;
}

/** How far a connection has come; what a silence or an error means depends on it. */
export type Phase =
  'resolving' | 'connecting' | 'negotiating' | 'handshaking' | 'login' | 'idle' | 'asking' | 'ended';

const ours: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
  'EADDRNOTAVAIL',
  'EACCES',
  'EPERM',
]);

export function failure(code: FailureCode, detail: string): Failure {
  return { code, detail: truncate(detail) };
}

export function socketFailure(phase: Phase, thrown: unknown): Failure {
  const { code, message } = describeError(thrown);
  if (phase === 'resolving' || phase === 'connecting') {
    if (ours.has(code)) return failure('L4SYS', message);
    if (code === 'ENOTFOUND' || code.startsWith('EAI_')) return failure('L4DNS', message);
    return failure(code === 'ETIMEDOUT' ? 'L4TOUT' : 'L4CON', message);
  }
  const lost = [
    'ECONNRESET',
    'EPIPE',
    'ETIMEDOUT',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ENETDOWN',
    'ECONNABORTED',
  ];
  if ((phase === 'handshaking' && !lost.includes(code)) || code.startsWith('ERR_SSL') || code === 'EPROTO')
    return failure('L6RSP', `TLS: ${message}`);
  return failure('L4LOST', `${message} (${phase})`);
}

export function timeoutFailure(phase: Phase, timeoutMs: number): Failure {
  switch (phase) {
    case 'resolving':
      return failure('L4DNS', `the name was not resolved within ${timeoutMs} ms`);
    case 'connecting':
      return failure('L4TOUT', `no connection within ${timeoutMs} ms`);
    case 'handshaking':
      return failure('L6TOUT', `no end of the TLS handshake within ${timeoutMs} ms`);
    default:
      return failure('L7TOUT', `no answer within ${timeoutMs} ms (${phase})`);
  }
}

/** An ErrorResponse. Classes come before single codes where the whole class means the same. */
export function serverFailure(error: ServerError): Failure {
  const { sqlstate } = error;
  const detail = `${error.severity} ${sqlstate}: ${error.message}`;
  if (sqlstate.startsWith('28')) return failure('L7AUTH', detail);
  switch (sqlstate) {
    case '53300':
      return failure('L7BUSY', detail);
    case '57P03':
      return failure('L7START', detail);
    case '57P01': // admin_shutdown, crash_shutdown and idle_session_timeout end the session
    case '57P02':
    case '57P05':
      return failure('L4LOST', detail);
    case '57014': // the statement timeout that the session asked for
      return failure('L7TOUT', detail);
    case '3D000':
    case '57P04':
      return failure('L7DB', detail);
    default:
      return failure('L7STS', detail);
  }
}
