// Which of the addresses of a name a server is at: the one it has, while DNS lists it and it answers; else another.
// Pure. Asks nobody (health/probers/dns) and moves no server (app/resolver.ts, which calls this at every answer).

import { formatAddress } from '../../core/address.ts';
import { type ServerSpec } from '../server-view.ts';
import { type ServerView } from '../model.ts';

/** What is known of a name. */
export interface KnownName {
  /** The newest addresses that were heard, in the order of the answer; empty before the first. */
  readonly hosts: readonly string[];
  /** DNS has said that there is no such name, and nothing else since. */
  readonly gone: boolean;
}

/** A server as it is written, and where it is now. */
export interface Standing {
  readonly written: ServerSpec;
  /** `null`: it is no member yet. */
  readonly view: Pick<ServerView, 'address' | 'host' | 'health'> | null;
  /** Addresses that were tried since it was last well, in vain. */
  readonly tried: ReadonlySet<string>;
}

/**
 * Where servers of one backend are, in their order; the address as written for those whose name stands for none. `knownOf`:
 * of a host; `null` for one that is an address itself.
 *
 * A server stays where it is while its name has that address, whatever the order of the answer. It moves when the name no
 * longer has it, or when it is down and the name has others. If DNS says that there is no such name any more, it stays while
 * it answers there: a zone that was broken by mistake takes nobody away, and an address that may be a stranger's tomorrow is
 * not kept for a dead server. No two servers are at one address.
 */
export function placeServers(
  standings: readonly Standing[],
  knownOf: (host: string) => KnownName | null,
): readonly ServerSpec[] {
  const known = standings.map(({ written }) => knownOf(written.address.host));
  // First those who have a right to an address, then those who look for one.
  const rights = standings.map((standing, index) => rightOf(standing, known[index] ?? null));
  const takenBy = new Map<string, number>();
  rights.forEach((host, index) => {
    const key = host === null ? null : keyOf(standings[index], host);
    if (key !== null && !takenBy.has(key)) takenBy.set(key, index);
  });
  return standings.map((standing, index) => {
    const { written } = standing;
    const name = known[index] ?? null;
    if (name === null) return written;
    const isFree = (host: string): boolean => (takenBy.get(keyOf(standing, host)) ?? index) === index;
    const host = choose(standing, name, isFree);
    if (host !== null) takenBy.set(keyOf(standing, host), index);
    return {
      ...written,
      host: written.address.host,
      address: { host: host ?? written.address.host, port: written.address.port },
    };
  });
}

/** What it was written with, or has now and may keep. */
function rightOf({ written, view }: Standing, known: KnownName | null): string | null {
  if (known === null) return written.address.host;
  const present = presentOf(written, view);
  return present !== null && (known.gone || known.hosts.includes(present)) ? present : null;
}

function choose(
  { written, view, tried }: Standing,
  { hosts, gone }: KnownName,
  isFree: (host: string) => boolean,
): string | null {
  const present = presentOf(written, view);
  const isDown = view?.health.kind === 'down';
  if (gone) return present !== null && !isDown && isFree(present) ? present : null;
  const free = hosts.filter(isFree);
  const at = present === null ? -1 : free.indexOf(present);
  if (present === null || at === -1) return free[0] ?? null;
  if (!isDown) return present;
  return free.find(host => !tried.has(host)) ?? present;
}

/** The address that it has by this name. */
function presentOf({ address }: ServerSpec, view: Standing['view']): string | null {
  if (view === null || view.host !== address.host || view.address.host === view.host) return null;
  return view.address.host;
}

const keyOf = (standing: Standing | undefined, host: string): string =>
  formatAddress({ host, port: standing?.written.address.port ?? 0 });
