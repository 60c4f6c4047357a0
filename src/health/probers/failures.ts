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
