// Who is the primary: a pure, total function from what the servers say to one name or none, with its reasons in words.
// Follows the databases' own roles and never orders anything. Called by topology.ts on every probe result.

import { formatAddress } from '../core/address.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { factsOf, type ServerFacts } from '../health/result.ts';
import { isFresh, type ServerView } from './model.ts';

export type MultipleWritersPolicy = 'newest' | 'keep' | 'block' | 'ordered';

/** The history that the elected primaries have written: what a returned server is measured against. */
export interface Lineage {
  readonly systemId: string;
  readonly timeline: number;
}

export interface Ballot {
  readonly servers: readonly ServerView[];
  readonly current: string | null;
  readonly lineage: Lineage | null;
  readonly policy: MultipleWritersPolicy;
  readonly now: MonotonicMs;
  readonly freshnessMs: number;
}

export interface Election {
  readonly primary: string | null;
  readonly splitBrain: boolean;
  readonly lineage: Lineage | null;
  readonly reasons: readonly string[];
}

interface Claimant {
  readonly name: string;
  readonly server: ServerView;
  readonly facts: ServerFacts;
}

export function elect(ballot: Ballot): Election {
  const claimants = claimantsOf(ballot);
  const splitBrain = claimants.length > 1 && ballot.policy !== 'ordered';
  const refusals: string[] = [];
  const eligible = claimants.filter(claimant => {
    const refusal = refusalOf(claimant, ballot.lineage);
    if (refusal !== null) refusals.push(refusal);
    return refusal === null;
  });
  const choice = choose(ballot, claimants, eligible);
  const chosen = claimants.find(claimant => claimant.name === choice.primary);
  return {
    primary: choice.primary,
    splitBrain,
    lineage: chosen === undefined ? ballot.lineage : lineageAfter(ballot.lineage, chosen.facts),
    reasons: [...choice.reasons, ...refusals],
  };
}

interface Choice {
  readonly primary: string | null;
  readonly reasons: readonly string[];
}

const none = (...reasons: string[]): Choice => ({ primary: null, reasons });

function choose(ballot: Ballot, claimants: readonly Claimant[], eligible: readonly Claimant[]): Choice {
  const [first, ...others] = eligible;
  const refused = claimants.filter(claimant => !eligible.includes(claimant)).map(({ name }) => name);
  if (first === undefined) return withoutClaimant(ballot, refused);
  if (ballot.policy === 'block' && claimants.length > 1) {
    return none(`${names(claimants)} all claim to be writable; multiple_writers: block`);
  }
  const unheard = ballot.current === null && ballot.lineage === null ? ballot.servers.filter(isUnheard) : [];
  if (unheard.length > 0) return none(`waiting for the first word of ${unheard.map(s => s.name).join(', ')}`);
  const doubtful = presentInDoubt(ballot, eligible, refused);
  if (doubtful !== null) return againstDoubt(ballot, doubtful, eligible);
  return others.length > 0 ? among(ballot, eligible) : only(first);
}

const only = ({ name }: Claimant): Choice => ({
  primary: name,
  reasons: [`${name} is the only server that may be written to`],
});

/** The present primary, if it can't be seen well now but isn't proven lost either. */
function presentInDoubt(
  { servers, current }: Ballot,
  eligible: readonly Claimant[],
  refused: readonly string[],
): ServerView | null {
  const present = servers.find(server => server.name === current);
  if (present === undefined || eligible.some(({ name }) => name === current)) return null;
  return standing(present, refused) === 'doubtful' ? present : null;
}

/** A present primary that is merely in doubt gives way to a newer timeline of its cluster, and to nothing else. */
function againstDoubt(
  { lineage, policy }: Ballot,
  present: ServerView,
  eligible: readonly Claimant[],
): Choice {
  const promoted = eligible.filter(claimant => isNewer(claimant, lineage));
  const [first] = promoted;
  const winner = promoted.length === 1 ? first : undefined;
  if (winner !== undefined && (policy === 'newest' || eligible.length === 1)) {
    const { name, facts } = winner;
    return {
      primary: name,
      reasons: [`${name} was promoted: timeline ${facts.timeline} is newer than ${lineage?.timeline}`],
    };
  }
  const claims = `${names(eligible)} claims to be writable without evidence of a promotion`;
  return { primary: present.name, reasons: [`${present.name} is in doubt, and ${claims}`] };
}

/** Nobody may be followed: the present primary stays elected only while it is merely in doubt. */
function withoutClaimant({ servers, current }: Ballot, refused: readonly string[]): Choice {
  const present = servers.find(server => server.name === current);
  if (present === undefined) return none('no server is writable');
  if (standing(present, refused) === 'doubtful') {
    return {
      primary: present.name,
      reasons: [`${present.name} is in doubt: ${present.result?.detail ?? 'no answer yet'}`],
    };
  }
  return none(`${present.name} is lost: ${present.result?.detail ?? 'no answer'}`);
}

/** Several may be followed: by policy, and by evidence before habit. */
function among(ballot: Ballot, eligible: readonly Claimant[]): Choice {
  const present = eligible.find(claimant => claimant.name === ballot.current);
  const stay = present && {
    primary: present.name,
    reasons: [`${present.name} stays: it was the primary before`],
  };
  if (ballot.policy === 'ordered') {
    const first = eligible[0];
    return (
      stay ?? {
        primary: first?.name ?? null,
        reasons: [`${first?.name} is the first in file order that is writable`],
      }
    );
  }
  const hold = none(`${names(eligible)} claim to be writable and nothing tells them apart`);
  if (ballot.policy === 'keep') return stay ?? hold;
  return byTimeline(eligible) ?? byFollowers(ballot, eligible) ?? stay ?? hold;
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
function byFollowers({ servers }: Ballot, eligible: readonly Claimant[]): Choice | null {
  const upstreams = servers.map(server => factsOf(server.result)?.upstream ?? null);
  const followed = eligible.filter(claimant => upstreams.includes(formatAddress(claimant.server.address)));
  const [only] = followed;
  if (only === undefined || followed.length !== 1) return null;
  return { primary: only.name, reasons: [`${only.name} is the one that the standbys follow`] };
}

function claimantsOf({ servers, now, freshnessMs }: Ballot): readonly Claimant[] {
  return servers.flatMap(server => {
    const facts = factsOf(server.result);
    const claims = facts !== null && facts.role === 'primary' && facts.writable;
    if (!claims || server.health.kind !== 'up' || !isFresh(server.result, now, freshnessMs)) return [];
    return [{ name: server.name, server, facts }];
  });
}

/** Why a writable server may not be followed: it belongs to another history than the one already served. */
function refusalOf({ name, facts }: Claimant, lineage: Lineage | null): string | null {
  if (lineage === null || facts.systemId === null) return null;
  if (facts.systemId !== lineage.systemId) {
    return `${name} is refused: system identifier ${facts.systemId} is another cluster than ${lineage.systemId} (if that is meant, restart Pointsman)`;
  }
  if (facts.timeline !== null && facts.timeline < lineage.timeline) {
    return `${name} is refused: it is writable on the old timeline ${facts.timeline}, the cluster has moved on to ${lineage.timeline}`;
  }
  return null;
}

/** Gone: it said itself that it isn't writable, or is refused, or is down. Doubtful: neither seen writable nor proven lost. */
function standing(server: ServerView, refused: readonly string[]): 'gone' | 'doubtful' {
  if (server.health.kind === 'down' || refused.includes(server.name)) return 'gone';
  const facts = factsOf(server.result);
  return facts !== null && !(facts.role === 'primary' && facts.writable) ? 'gone' : 'doubtful';
}

function isUnheard(server: ServerView): boolean {
  if (server.result === null) return true;
  return server.health.kind === 'unknown' && server.health.fails > 0;
}

function isNewer({ facts }: Claimant, lineage: Lineage | null): boolean {
  return lineage !== null && facts.systemId === lineage.systemId && (facts.timeline ?? 0) > lineage.timeline;
}

function lineageAfter(before: Lineage | null, { systemId, timeline }: ServerFacts): Lineage | null {
  if (systemId === null || timeline === null) return before;
  if (before !== null && before.systemId === systemId && before.timeline >= timeline) return before;
  return { systemId, timeline };
}

const names = (claimants: readonly Claimant[]): string =>
  claimants.map(claimant => claimant.name).join(' and ');
