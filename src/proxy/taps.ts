// What the proxy looks for in a server's first bytes as they pass by. Nothing is kept or changed; a tap that has seen what
// it is for, or sees that it never will, is taken off. Called by connection.ts.

import { observeBackendKey, startBackendKey } from '../protocol/postgres/backend-key.ts';
import { type Tap } from './driver.ts';
import { cancelKey } from './registry.ts';
import { type Opening } from './session-model.ts';

/** Any byte at all: a greeting, or the beginning of an answer. */
export function firstBytesTap(seen: () => void): Tap {
  return () => {
    seen();
    return false;
  };
}

/** The session's cancel key, as the registry names it. Null for a client that can only speak in a cipher. */
export function cancelKeyTap(opening: Opening | null, found: (key: string) => void): Tap | null {
  if (opening === null || opening === 'direct-tls') return null;
  let state = startBackendKey(opening);
  return chunk => {
    state = observeBackendKey(state, chunk);
    if (state.kind === 'found') found(cancelKey(state.pid, state.key));
    return state.kind === 'reading';
  };
}
