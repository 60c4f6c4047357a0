// The door before every call that changes something: asks token.ts whether it may be made, and says no, with a log line.
// Called first by each such route.

import { truncate } from '../core/limits.ts';
import { type Logger } from '../core/logger.ts';
import { type AdminRequest, type Reply } from './route.ts';
import { json } from './server.ts';
import { permissionOf } from './token.ts';

export interface Guard {
  /** `null`: none is configured, and every changing call is refused. */
  readonly token: string | null;
  readonly log: Logger;
}

/** `null`: go on. */
export function refuse({ token, log }: Guard, { authorization, remote, url }: AdminRequest): Reply | null {
  const permission = permissionOf(authorization, token);
  if (permission.kind === 'granted') return null;
  const { kind, why } = permission;
  log.warn({ remote, path: truncate(url.pathname) }, `admin: a changing call was refused: ${kind} token`);
  if (kind === 'disabled') return json({ error: why }, 403);
  return json({ error: why }, 401, { 'www-authenticate': 'Bearer realm="pointsman"' });
}
