// Where a CancelRequest goes. It comes on a connection of its own, so nothing but its key tells which server it is for.
// Not its delivery (drivers/net/cancel.ts). Pure but for reading the registry.

import { type Route } from '../config/schema.ts';
import { type BackendView } from '../topology/model.ts';
import { cancelKey, type SessionRegistry } from './registry.ts';
import { type Target } from './session-model.ts';

export interface CancelScope {
  readonly frontend: string;
  readonly route: Route;
}

/**
 * The server that gave out the key; for a key never seen (its session is encrypted), the primary on a primary route,
 * and on others every server with sessions of the frontend: a server ignores a key that isn't its own.
 * Health plays no part: a doubtful server may run the very query that makes it so.
 */
export function cancelTargets(
  view: BackendView,
  registry: SessionRegistry,
  { frontend, route }: CancelScope,
  pid: number,
  key: Uint8Array,
): readonly Target[] {
  const owner = registry.serverOfKey(view.name, cancelKey(pid, key));
  const names =
    owner !== null ? [owner] : route === 'primary' ? [view.primary] : registry.serversOf(frontend, view.name);
  return view.servers
    .filter(({ name }) => names.includes(name))
    .map(({ name, address }) => ({ name, address }));
}
