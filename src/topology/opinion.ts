// What an orchestrator's opinion means for a server: named, spoken against, or neither; and where the two signals differ.
// The rule is the safer of the two: who is led to must say itself that it is writable, and not be contradicted.
// Pure. Asked by elect.ts and the evidence modules; topology.ts shows the disagreement.

import { isSameAddress, formatAddress } from '../core/address.ts';
import { factsOf } from '../health/result.ts';
import { addressesOf, type BackendView, type Nominee, type Opinion, type ServerView } from './model.ts';

type Known = Pick<ServerView, 'name' | 'address'> & Partial<Pick<ServerView, 'host'>>;

/** Among which servers, and in which opinion, a nominee stands. */
interface Hearing {
  readonly servers: readonly Known[];
  readonly opinion: Opinion;
}

/**
 * By address or the name that stands for it, else by name: an orchestrator may know a server by another address than clients
 * do. A name counts only where the nominee is at none of our addresses, and nobody spoken of is at that server's: both sides
 * number their servers (`node_1`, `postgres-1`), each in an order of its own.
 */
function isMeant(nominee: Nominee, server: Known, { servers, opinion }: Hearing): boolean {
  if (isAt(nominee, server)) return true;
  if (nominee.name !== server.name || servers.some(other => isAt(nominee, other))) return false;
  const spokenOf = opinion.primary === null ? opinion.against : [...opinion.against, opinion.primary];
  return !spokenOf.some(other => isAt(other, server));
}

const isAt = (nominee: Nominee, server: Known): boolean =>
  addressesOf(server).some(address => isSameAddress(nominee.address, address));

/** Whether the orchestrator holds this one of `servers` to be the primary. */
export function isNamed(opinion: Opinion | null, server: Known, servers: readonly Known[]): boolean {
  if (opinion === null || opinion.primary === null) return false;
  return isMeant(opinion.primary, server, { servers, opinion });
}

/** Whether its word forbids a server to be the primary: it names another, or this one must not be it. */
export function isForbidden(
  opinion: Opinion | null,
  server: Known,
  { servers, current }: { readonly servers: readonly Known[]; readonly current: string | null },
): boolean {
  if (opinion === null || opinion.passive) return false;
  if (opinion.against.some(nominee => isMeant(nominee, server, { servers, opinion }))) return true;
  return opinion.primary === null ? server.name !== current : !isNamed(opinion, server, servers);
}

/**
 * Why a server that says it is writable may not be followed by the word of the orchestrator; `null`: nothing against it.
 * Where it names nobody, the present primary stays: a lock that ran out while its store was away takes no primary with it.
 */
export function objectionTo(
  opinion: Opinion | null,
  server: Known,
  among: { readonly servers: readonly Known[]; readonly current: string | null },
): string | null {
  if (opinion === null || !isForbidden(opinion, server, among)) return null;
  return `${server.name} says that it is the primary, but ${opinion.words}`;
}

/** Where the newest words of the servers and the orchestrator's differ, as a sentence; `null`: they agree, or one is silent. */
export function disagreementOf({
  servers,
  opinion,
}: Pick<BackendView, 'servers' | 'opinion'>): string | null {
  if (opinion === null) return null;
  const { primary, words } = opinion;
  const writers = servers.filter(isWriter);
  const others = writers.filter(server => !isNamed(opinion, server, servers)).map(({ name }) => name);
  const named = servers.find(server => isNamed(opinion, server, servers));
  if (others.length > 0 && !(primary === null && opinion.passive)) {
    return `${words}, but ${others.join(' and ')} ${others.length === 1 ? 'says' : 'say'} that it is writable`;
  }
  if (primary !== null && named === undefined) {
    return `${words}, and ${formatAddress(primary.address)} is no server of this backend`;
  }
  if (named !== undefined && !isWriter(named) && factsOf(named.result) !== null) {
    return `${words}, but ${named.name} says that it is not writable`;
  }
  return null;
}

function isWriter({ health, result }: ServerView): boolean {
  const facts = factsOf(result);
  return health.kind === 'up' && facts !== null && facts.role === 'primary' && facts.writable;
}
