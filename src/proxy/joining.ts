// What belongs to the moment when client and server are joined: the last check of the safety rules, and who watches the
// server's first bytes. Called by connection.ts.

import { invariant } from '../core/errors.ts';
import { PlainSasl } from '../protocol/postgres/plain-sasl.ts';
import { type ConnectionHost } from './connection-host.ts';
import { type Splice, type Tap } from './driver.ts';
import { type ProtocolTraits } from './protocols.ts';
import { mayServe } from './router.ts';
import { type Opening, type SessionAction } from './session-model.ts';
import { cancelKeyTap, firstBytesTap } from './taps.ts';

type Join = Extract<SessionAction, { kind: 'relay' }>;

/** Safety rules 1 and 3, once more and whatever the session made of it. Throws INTERNAL. */
export function checkJoin(
  host: Pick<ConnectionHost<never>, 'backend' | 'rules' | 'registry' | 'view'>,
  { at, target, epoch }: Pick<Join, 'at' | 'target' | 'epoch'>,
): void {
  const { backend, rules, registry } = host;
  const view = host.view();
  invariant(mayServe(rules, view, at, target), 'a client is joined only to a server that may serve it');
  if (rules.route !== 'primary') return;
  invariant(
    view.epoch === epoch && view.primary === target.name,
    'the primary is still the one that was dialed',
  );
  invariant(
    registry.primarySessionsElsewhere(backend, target.name) === 0,
    'sessions to the old primary are closed before the first to the new one',
  );
}

/** From here on bytes pass, as they are but for what TLS on one side only asks for. */
export function joinSockets(
  host: Pick<ConnectionHost<never>, 'frontend' | 'backend' | 'driver' | 'login' | 'rules' | 'observer'>,
  { target }: Pick<Join, 'target'>,
  pair: Splice,
): void {
  const { driver, login, rules, frontend, backend, observer } = host;
  if (login !== null) {
    invariant(driver.tls !== undefined, 'a login with TLS is for a driver that speaks it');
    const { address, host: named = null, name } = target;
    const failed = (detail: string): void => observer.connectFailed(backend, name, 'tls', detail);
    driver.tls.join(pair, { frontend, backend, address, host: named, rules: login, failed });
    return;
  }
  const isPlainBefore = rules.protocol === 'postgres' && rules.tls === 'refuse';
  driver.splice(isPlainBefore ? { ...pair, rewrite: new PlainSasl() } : pair);
}

/** Told what a server's first bytes show. */
export interface ArrivalWatcher {
  /** An answer has begun: what was asked is needed no more. */
  answered(): void;
  loggedIn(): void;
  cancelKeySeen(key: string): void;
}

/** Watches the server's first bytes for what shows that it took the client on, and lets the next in the hold go. */
export function joinTap(
  { arrival, repeats }: ProtocolTraits,
  opening: Opening | null,
  waited: boolean,
  watcher: ArrivalWatcher,
): Tap | null {
  if (repeats !== 'nothing') return firstBytesTap(() => watcher.answered());
  switch (arrival) {
    case 'nothing':
      return null;
    case 'greeting':
      // Nobody waits behind a client that didn't wait.
      return waited ? firstBytesTap(() => watcher.loggedIn()) : null;
    case 'key':
      return cancelKeyTap(opening, key => watcher.cancelKeySeen(key));
  }
}
