// Where a CancelRequest goes. It comes on a connection of its own, so nothing but its key tells which server it is for.
// Not its delivery (cancel-delivery.ts). Pure but for reading the registry.

import { type Route } from '../config/schema.ts';
import { type BackendView, type ServerView } from '../topology/model.ts';
import { cancelKey, type SessionRegistry } from './registry.ts';
import { type Target } from './session-model.ts';

/** Who else may know a key: the other workers. */
export interface KeyPeers {
  /** `null`: nobody knows it. Never rejects. */
  serverOfKey(backend: string, key: string): Promise<string | null>;
}

export interface CancelSource {
  readonly view: () => BackendView;
  readonly registry: SessionRegistry;
  readonly route: Route;
  /** `null`: there are none. */
  readonly peers: KeyPeers | null;
}

/**
 * The server that gave out the key, told by the session that has it, here or at another worker. For a key that nobody has
 * seen (its session is encrypted), the primary on a primary route, and on others every server with sessions: a server ignores
 * a key that isn't its own. Health plays no part: a doubtful server may run the very query that makes it so.
 */
export function cancelTargets(
  { view, registry, route, peers }: CancelSource,
  pid: number,
  key: Uint8Array,
): readonly Target[] | Promise<readonly Target[]> {
  const backend = view().name;
  const name = cancelKey(pid, key);
  const owner = registry.serverOfKey(backend, name);
  if (owner !== null) return targetsAmong(view(), server => server.name === owner);
  // Of a key that wasn't seen only the primary can be the owner.
  const { primary } = view();
  if (route === 'primary') return targetsAmong(view(), server => server.name === primary);
  const anywhere = (): readonly Target[] =>
    targetsAmong(view(), server => registry.load(backend, server.name) > 0);
  if (peers === null) return anywhere();
  return peers
    .serverOfKey(backend, name)
    .then(found => (found === null ? anywhere() : targetsAmong(view(), server => server.name === found)));
}

function targetsAmong({ servers }: BackendView, wanted: (server: ServerView) => boolean): readonly Target[] {
  return servers.filter(wanted).map(({ name, address, host }) => ({ name, address, host }));
}
