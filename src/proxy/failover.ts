// What a change of the topology does to clients, in the order that safety rule 3 demands.
// Said twice it does nothing more.
// Called by proxy.ts for every published change, synchronously.

import { isSameAddress } from '../core/address.ts';
import { closingsAt } from '../topology/closings.ts';
import { type BackendChange, type BackendView } from '../topology/model.ts';
import { type CloseReason } from './events.ts';
import { type SessionRegistry } from './registry.ts';

export interface ChangeListener {
  /** Dials to servers that are no longer eligible end here. */
  snapshotChanged(): void;
  /** Lets held clients go, if there is a server for them now. */
  release(): void;
}

export type ReportClosed = (backend: string, server: string, reason: CloseReason, count: number) => void;

/** A backend that the configuration has no more: its sessions end, and nobody is on the way to it any longer. */
export function applyRemoval(
  { name: backend, servers }: BackendView,
  registry: SessionRegistry,
  frontends: readonly ChangeListener[],
  report: ReportClosed,
): void {
  for (const { name } of servers) {
    const count = registry.closeAll(backend, name, 'backend-removed');
    if (count > 0) report(backend, name, 'backend-removed', count);
  }
  for (const frontend of frontends) frontend.snapshotChanged();
}

/**
 * First every session that must not go on is closed, of all frontends; then dials are checked; only then is anybody
 * released. `frontends` are those of this backend. A server that is no longer a member loses its sessions; which others end
 * stands in topology/closings.ts.
 */
export function applyChange(
  { before, after: view }: Pick<BackendChange, 'before' | 'after'>,
  registry: SessionRegistry,
  frontends: readonly ChangeListener[],
  report: ReportClosed,
): void {
  const close = (server: string, reason: CloseReason, count: number): void => {
    if (count > 0) report(view.name, server, reason, count);
  };
  for (const { name, address } of before.servers) {
    const after = view.servers.find(server => server.name === name);
    // A name may be given to another server later: sessions and dials are to an address.
    if (after !== undefined && isSameAddress(after.address, address)) continue;
    close(name, 'server-left', registry.closeAll(view.name, name, 'server-left'));
  }
  for (const server of view.servers) {
    for (const { reason, routes } of closingsAt(server, before, view)) {
      close(server.name, reason, registry.closeAll(view.name, server.name, reason, routes ?? undefined));
    }
  }
  for (const frontend of frontends) frontend.snapshotChanged();
  for (const frontend of frontends) frontend.release();
}
