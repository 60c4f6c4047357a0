// What the system's errors of a connection attempt mean to the proxy. Used by both drivers' dialers.
// Not the health check's reading of the same codes: there the question is whether the server lives.

import { type ConnectError } from '../events.ts';

const errorOf: Readonly<Record<string, ConnectError>> = {
  ECONNREFUSED: 'refused',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETUNREACH: 'unreachable',
  ENETDOWN: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
  EMFILE: 'local',
  ENFILE: 'local',
  EADDRNOTAVAIL: 'local',
  EAGAIN: 'local',
  ENOBUFS: 'local',
  ENOMEM: 'local',
};

/** `code` as Node and errno(3) name it, such as ECONNREFUSED. */
export function classifyConnectError(code: string): ConnectError {
  return errorOf[code] ?? 'other';
}
