// Where a CancelRequest goes. It comes on a connection of its own, so nothing but its key tells which server it is for.
// Not its delivery (cancel-delivery.ts). Pure but for reading the registry.

import { type Route } from '../config/schema.ts';
import { type BackendView } from '../topology/model.ts';
import { cancelKey, type SessionRegistry } from './registry.ts';
import { type Target } from './session-model.ts';

/**
 * The server that gave out the key; for a key never seen (its session is encrypted, or another worker's), the primary on
 * a primary route, and on others every server with sessions: a server ignores a key that isn't its own.
 * Health plays no part: a doubtful server may run the very query that makes it so.
 */
export function cancelTargets(
  view: BackendView,
  registry: SessionRegistry,
  route: Route,
  pid: number,
  key: Uint8Array,
): readonly Target[] {
  const owner = registry.serverOfKey(view.name, cancelKey(pid, key));
  return view.servers
    .filter(({ name }) => {
      if (owner !== null) return name === owner;
      return route === 'primary' ? name === view.primary : registry.load(view.name, name) > 0;
    })
    .map(({ name, address }) => ({ name, address }));
}
