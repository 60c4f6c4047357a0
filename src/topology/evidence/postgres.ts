// What tells PostgreSQL servers apart: the system identifier, the timeline, whom the standbys follow, and who has how much
// of the log.
// Pure. The timeline grows by one at each promotion (PostgreSQL documentation, 26.3.6 "Timelines").

import { z } from 'zod';
import { formatAddress } from '../../core/address.ts';
import { factsOf, type ServerFacts } from '../../health/result.ts';
import { parseLsn } from '../../protocol/postgres/lsn.ts';
import { FORGET, type Ballot, type Choice, type Claimant, type Evidence } from '../evidence.ts';
import { addressesOf } from '../model.ts';

/** The history that the elected primaries have written: what a returned server is measured against. */
export interface Lineage {
  readonly systemId: string;
  readonly timeline: number;
}

const savedLineage = z.strictObject({ systemId: z.string().min(1).max(64), timeline: z.int().min(0) });

export const postgresEvidence: Evidence<Lineage> = {
  refusalOf(claimant, ballot) {
    const { name, facts } = claimant;
    const { memory } = ballot;
    if (memory !== null && facts.systemId !== null && facts.systemId !== memory.systemId) {
      return `${name} is refused: system identifier ${facts.systemId} is another cluster than ${memory.systemId} (if that is meant, ${FORGET})`;
    }
    if (memory !== null && facts.timeline !== null && facts.timeline < memory.timeline) {
      return `${name} is refused: it is writable on the old timeline ${facts.timeline}, the cluster has moved on to ${memory.timeline}`;
    }
    // What a standby has had is evidence also before anybody was followed.
    return name === ballot.current ? null : setBack(claimant, ballot);
  },

  promotionOf({ facts }, { memory }) {
    if (memory === null || facts.systemId !== memory.systemId) return null;
    const { timeline } = facts;
    return timeline !== null && timeline > memory.timeline
      ? `timeline ${timeline} is newer than ${memory.timeline}`
      : null;
  },

  best(eligible, ballot) {
    const newest = byTimeline(eligible);
    // On one timeline nobody was promoted: whom standbys follow is no reason to leave a primary that is seen well.
    const isPresent = eligible.some(({ name }) => name === ballot.current);
    return newest ?? (isPresent ? null : byFollowers(eligible, ballot));
  },

  remember: ({ memory }, chosen) => (chosen === null ? memory : lineageAfter(memory, chosen.facts)),

  faults: () => [],

  save: lineage => lineage,
  load: saved => savedLineage.safeParse(saved).data ?? null,
};

/**
 * A server never sends its standbys what it has not yet flushed to its own disk: one that comes back with less than a
 * standby told before was restored from an old copy, or its disk lied. What a standby tells later it may have got from that
 * very server meanwhile; not if it receives nothing. (It can't: it is ahead.) One in maintenance is no witness.
 */
function setBack({ name, facts, server }: Claimant, { servers }: Ballot<Lineage>): string | null {
  const position = parseLsn(facts.position);
  const askedAt = server.result?.at;
  if (position === null || askedAt === undefined) return null;
  const ahead = servers.find(({ name: other, admin, lastAnswer }) => {
    if (other === name || admin === 'maintenance' || lastAnswer === null) return false;
    const { role, systemId, timeline, position: text, replicating } = lastAnswer.facts;
    if (lastAnswer.at > askedAt && replicating !== false) return false;
    const theirs = parseLsn(text);
    const comparable = role === 'replica' && systemId === facts.systemId && timeline === facts.timeline;
    return comparable && theirs !== null && theirs > position;
  });
  if (ahead === undefined) return null;
  const theirs = ahead.lastAnswer?.facts.position ?? null;
  return `${name} is refused: its log ends at ${facts.position}, and ${ahead.name} has had ${theirs} of the same timeline: it was set back to an old state (if that is meant, put ${ahead.name} in maintenance and rebuild it)`;
}

function byTimeline(eligible: readonly Claimant[]): Choice | null {
  const clusters = new Set(eligible.map(claimant => claimant.facts.systemId));
  if (clusters.size !== 1 || clusters.has(null)) return null;
  const newest = Math.max(...eligible.map(claimant => claimant.facts.timeline ?? 0));
  const holders = eligible.filter(claimant => claimant.facts.timeline === newest);
  const [holder] = holders;
  if (holder === undefined || holders.length !== 1) return null;
  return { primary: holder.name, reasons: [`${holder.name} has the newest timeline, ${newest}`] };
}

/** The one that standbys follow, when all followed claimants are one. */
function byFollowers(eligible: readonly Claimant[], { servers }: Ballot<Lineage>): Choice | null {
  const upstreams = servers.map(server => factsOf(server.result)?.upstream ?? null);
  const followed = eligible.filter(({ server }) =>
    addressesOf(server).some(address => upstreams.includes(formatAddress(address))),
  );
  const [only] = followed;
  if (only === undefined || followed.length !== 1) return null;
  return { primary: only.name, reasons: [`${only.name} is the one that the standbys follow`] };
}

function lineageAfter(before: Lineage | null, { systemId, timeline }: ServerFacts): Lineage | null {
  if (systemId === null || timeline === null) return before;
  if (before !== null && before.systemId === systemId && before.timeline >= timeline) return before;
  return { systemId, timeline };
}
