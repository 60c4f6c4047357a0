// Which check code a connection that was not made counts as: by errno, or by how far it came in time.
// What can go wrong on a connection once it is made depends on the protocol and stands with it. Used by all probers.

import { describeError } from '../../core/errors.ts';
import { truncate } from '../../core/limits.ts';
import { type FailureCode } from '../result.ts';

export interface Failure {
  readonly code: FailureCode;
  readonly detail: string;
}

export type ConnectPhase = 'resolving' | 'connecting';

/** What this machine is short of, or forbids: it says nothing about the server. */
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

export function connectFailure(thrown: unknown): Failure {
  const { code, message } = describeError(thrown);
  if (ours.has(code)) return failure('L4SYS', message);
  if (code === 'ENOTFOUND' || code.startsWith('EAI_')) return failure('L4DNS', message);
  return failure(code === 'ETIMEDOUT' ? 'L4TOUT' : 'L4CON', message);
}

export function connectTimeout(phase: ConnectPhase, timeoutMs: number): Failure {
  return phase === 'resolving'
    ? failure('L4DNS', `the name was not resolved within ${timeoutMs} ms`)
    : failure('L4TOUT', `no connection within ${timeoutMs} ms`);
}

/** Losses of a connection, whatever it was doing; amid a TLS handshake any other error is one of TLS. */
const lost: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'ECONNABORTED',
]);

/** A socket error, by how far the session had come. Past connecting, `phase` is a word of the protocol's own. */
export function socketFailure(phase: string, thrown: unknown): Failure {
  if (phase === 'resolving' || phase === 'connecting') return connectFailure(thrown);
  const { code, message } = describeError(thrown);
  const ofTls = code.startsWith('ERR_SSL') || code === 'EPROTO';
  if (ofTls || (phase === 'handshaking' && !lost.has(code))) return failure('L6RSP', `TLS: ${message}`);
  return failure('L4LOST', `${message} (${phase})`);
}

/** What a silence means, by how far the session had come. */
export function timeoutFailure(phase: string, timeoutMs: number): Failure {
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
