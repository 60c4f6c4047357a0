// What MySQL and MariaDB servers have of each other's transactions, in numbers and in words. Pure.
// The arithmetic of the sets is protocol/mysql/gtid.ts; who may be followed is decided in mysql.ts. Used by both and by
// mysql-faults.ts, and by the metrics through missingFromPrimary.

import { factsOf, type GtidSet, type History, type ServerFacts } from '../../health/result.ts';
import { countGtids, formatGtids, isEmptyGtids, missingGtids } from '../../protocol/mysql/gtid.ts';
import { truncate } from '../../core/limits.ts';
import { type BackendView, type ServerView } from '../model.ts';

export type GtidHistory = Extract<History, { kind: 'gtid' }>;

/** A server of the backend by the newest word it gave. */
export interface Member {
  readonly name: string;
  readonly server: ServerView;
  readonly facts: ServerFacts;
  readonly history: GtidHistory | null;
}

/** Those that are up; a single missed probe changes nothing. */
export function membersOf(servers: readonly ServerView[]): readonly Member[] {
  return servers.flatMap(server => {
    const { name, health, lastAnswer } = server;
    if (health.kind !== 'up' || lastAnswer === null) return [];
    return [{ name, server, facts: lastAnswer.facts, history: historyOf(lastAnswer.facts) }];
  });
}

/** What one lacks of another's; nothing where it isn't known. */
export function lacksOf(member: Member, other: Member | null): GtidSet {
  const { history } = member;
  return history === null || !other?.history ? {} : lackingOf(history, other.history.transactions);
}

/** Long enough for a few origins; the count stands before it. */
const GTIDS_SHOWN_CHARS = 120;

/** The transactions of a server that tells them and isn't of a cluster that certifies them by itself; else `null`. */
export function historyOf(facts: ServerFacts | null): GtidHistory | null {
  if (facts === null || facts.systemId !== null) return null;
  return facts.history?.kind === 'gtid' ? facts.history : null;
}

/**
 * What `of` has and `from` lacks, without the transactions that are `from`'s own: it had those before anybody. (Two
 * servers aren't asked at the same moment: what one has written since is seen first at the one that is asked later.)
 */
export function lackingOf(from: GtidHistory, of: GtidSet): GtidSet {
  if (isApartFrom(from, of)) return {};
  const missing = missingGtids(from.transactions, of);
  if (from.own === undefined) return missing;
  return Object.freeze(
    Object.fromEntries(Object.entries(missing).filter(([origin]) => !isOwn(origin, from))),
  );
}

/**
 * Servers that are kept equal by federated tables or by their application log transactions all the same, each its own: of
 * two that the operator's SQL tells apart and that have none in common, neither lacks any. (One that has nothing at all is
 * no such server, but one that lost its data.)
 */
export function isApartFrom({ apart, transactions }: GtidHistory, of: GtidSet): boolean {
  const origins = Object.keys(transactions);
  const strange = (origin: string): boolean => of[origin] === undefined && !origin.endsWith('-*');
  // A position that doesn't name its origin, `0-*`, is one that was replicated: on either side.
  const unnamed = Object.keys(of).some(origin => origin.endsWith('-*'));
  return apart === true && origins.length > 0 && !unnamed && origins.every(strange);
}

/** Only those of a set that the server itself has written. */
export function ownOf(set: GtidSet, history: GtidHistory): GtidSet {
  return Object.freeze(Object.fromEntries(Object.entries(set).filter(([origin]) => isOwn(origin, history))));
}

export const isNone = isEmptyGtids;

/** `3 transactions (0-2-5..7)`. */
export function tellGtids(set: GtidSet, flavor: GtidHistory['flavor']): string {
  const count = countGtids(set);
  return `${count} transaction${count === 1 ? '' : 's'} (${truncate(formatGtids(set, flavor), GTIDS_SHOWN_CHARS)})`;
}

/** How many of the primary's transactions a server lacks, by the newest word of both; `null` where that isn't known. */
export function missingFromPrimary(server: ServerView, { primary, servers }: BackendView): number | null {
  const known = historyOf(factsOf(server.result));
  const wanted = historyOf(servers.find(({ name }) => name === primary)?.lastAnswer?.facts ?? null);
  if (known === null || wanted === null) return null;
  return server.name === primary ? 0 : countGtids(lackingOf(known, wanted.transactions));
}

function isOwn(origin: string, { flavor, own }: GtidHistory): boolean {
  if (own === undefined) return false;
  return flavor === 'mariadb' ? origin.endsWith(`-${own}`) : origin === own || origin.startsWith(`${own}:`);
}
