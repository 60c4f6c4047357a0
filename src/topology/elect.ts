// Who is the primary: a pure, total function from what the servers say to one name or none, with its reasons in words.
// Follows the databases' own roles and never orders anything. Called by topology.ts on every probe result.

import { factsOf } from '../health/result.ts';
import { bannedBy, isAppointed, isExcluded } from './directive.ts';
import { type Ballot, type Choice, type Claimant, type Election, type Evidence } from './evidence.ts';
import { isFresh, type ServerView } from './model.ts';
import { isForbidden, isNamed, objectionTo } from './opinion.ts';

export function elect<Memory>(ballot: Ballot<Memory>, evidence: Evidence<Memory>): Election<Memory> {
  const claimants = claimantsOf(ballot);
  const splitBrain = claimants.length > 1 && ballot.policy !== 'ordered';
  const refusals = new Map<string, string>();
  const eligible = claimants.filter(claimant => {
    const refusal = refusalOf(claimant, ballot, evidence);
    if (refusal !== null) refusals.set(claimant.name, refusal);
    return refusal === null;
  });
  const choice = choose(ballot, evidence, claimants, eligible);
  const chosen = claimants.find(claimant => claimant.name === choice.primary);
  return {
    primary: choice.primary,
    splitBrain,
    memory: evidence.remember(pastOf(ballot, chosen), chosen ?? null),
    refusals,
    reasons: [...choice.reasons, ...caveats(evidence, chosen, ballot), ...refusals.values()],
  };
}

/** With whom a book makes the primary a new history begins: what was remembered is that of another. */
function pastOf<Memory>(ballot: Ballot<Memory>, chosen: Claimant | undefined): Ballot<Memory> {
  return chosen !== undefined && isAppointed(ballot.directive, chosen.name)
    ? { ...ballot, memory: null }
    : ballot;
}

/** What speaks against a claimant: the orchestrator, a runbook, what its protocol tells, or that it has only just returned. */
function refusalOf<Memory>(
  claimant: Claimant,
  ballot: Ballot<Memory>,
  evidence: Evidence<Memory>,
): string | null {
  const { opinion, directive } = ballot;
  const isProven = (): boolean => evidence.promotionOf(claimant, ballot) !== null;
  const forbidden =
    objectionTo(opinion, claimant.server, ballot) ?? bannedBy(directive, claimant.name, isProven);
  if (forbidden !== null || isAppointed(directive, claimant.name)) return forbidden;
  return evidence.refusalOf(claimant, ballot) ?? unsettled(claimant, ballot, evidence);
}

/** A server that was away may have been replaced without its knowledge: by somebody who is still about to promote another. */
function unsettled<Memory>(
  claimant: Claimant,
  ballot: Ballot<Memory>,
  evidence: Evidence<Memory>,
): string | null {
  const { current, memory, settleMs, now } = ballot;
  const { name, server } = claimant;
  if (settleMs === 0 || memory === null || name === current) return null;
  if (server.writableSince !== null && now - server.writableSince >= settleMs) return null;
  if (proofOf(claimant, ballot, evidence) !== null) return null;
  return `${name} is writable again; it is believed when it has been so for ${settleMs / 1000} s (check.settle)`;
}

/** What proves that it was made the primary: its word and the orchestrator's, or what its protocol tells. */
function proofOf<Memory>(
  claimant: Claimant,
  ballot: Ballot<Memory>,
  evidence: Evidence<Memory>,
): string | null {
  const { opinion, servers, directive } = ballot;
  if (directive !== null && isAppointed(directive, claimant.name)) return directive.words;
  if (opinion !== null && !opinion.passive && isNamed(opinion, claimant.server, servers)) {
    return `${opinion.words}, and it says so itself`;
  }
  return evidence.promotionOf(claimant, ballot);
}

function caveats<Memory>(
  evidence: Evidence<Memory>,
  chosen: Claimant | undefined,
  ballot: Ballot<Memory>,
): readonly string[] {
  const caveat = chosen === undefined ? null : (evidence.caveatOf?.(chosen, ballot) ?? null);
  return caveat === null ? [] : [caveat];
}

const none = (...reasons: string[]): Choice => ({ primary: null, reasons });

function choose<Memory>(
  ballot: Ballot<Memory>,
  evidence: Evidence<Memory>,
  claimants: readonly Claimant[],
  eligible: readonly Claimant[],
): Choice {
  const [first, ...others] = eligible;
  const refused = claimants.filter(claimant => !eligible.includes(claimant)).map(({ name }) => name);
  if (first === undefined) return withoutClaimant(ballot, refused);
  if (ballot.policy === 'block' && claimants.length > 1 && !isAppointed(ballot.directive, first.name)) {
    return none(`${names(claimants)} all claim to be writable; multiple_writers: block`);
  }
  const knowsNothing = ballot.current === null && ballot.memory === null;
  const unheard = knowsNothing ? ballot.servers.filter(isUnheard) : [];
  if (unheard.length > 0) return none(`waiting for the first word of ${unheard.map(s => s.name).join(', ')}`);
  const doubtful = presentInDoubt(ballot, eligible, refused);
  if (doubtful !== null) return againstDoubt(ballot, evidence, doubtful, eligible);
  return others.length > 0 ? among(ballot, evidence, eligible) : only(first);
}

const only = ({ name }: Claimant): Choice => ({
  primary: name,
  reasons: [`${name} is the only server that may be written to`],
});

/** The present primary, if it can't be seen well now but isn't proven lost either. */
function presentInDoubt(
  { servers, current }: Ballot<unknown>,
  eligible: readonly Claimant[],
  refused: readonly string[],
): ServerView | null {
  const present = servers.find(server => server.name === current);
  if (present === undefined || eligible.some(({ name }) => name === current)) return null;
  return standing(present, refused) === 'doubtful' ? present : null;
}

/** A present primary that is merely in doubt gives way to a proven promotion, and to nothing else. */
function againstDoubt<Memory>(
  ballot: Ballot<Memory>,
  evidence: Evidence<Memory>,
  present: ServerView,
  eligible: readonly Claimant[],
): Choice {
  const promoted = eligible.flatMap(claimant => {
    const proof = proofOf(claimant, ballot, evidence);
    return proof === null ? [] : [{ name: claimant.name, proof }];
  });
  const [first] = promoted;
  const winner = promoted.length === 1 ? first : undefined;
  if (winner !== undefined && (ballot.policy === 'newest' || eligible.length === 1)) {
    return { primary: winner.name, reasons: [`${winner.name} was promoted: ${winner.proof}`] };
  }
  const claims = `${names(eligible)} claims to be writable without evidence of a promotion`;
  return { primary: present.name, reasons: [`${present.name} is in doubt, and ${claims}`] };
}

/**
 * Nobody may be followed: the present primary stays elected only while it is merely in doubt, and the orchestrator has no other.
 * A frozen one must have no sessions left to write with when it thaws.
 */
function withoutClaimant(ballot: Ballot<unknown>, refused: readonly string[]): Choice {
  const { servers, current, opinion, directive } = ballot;
  const present = servers.find(server => server.name === current);
  if (present === undefined) {
    return none(refused.length > 0 ? 'no writable server may be followed' : 'no server is writable');
  }
  if (standing(present, refused) === 'doubtful') {
    if (directive !== null && isExcluded(directive, present.name)) {
      return none(`${present.name} is in doubt, and ${directive.words}`);
    }
    if (opinion !== null && isForbidden(opinion, present, ballot)) {
      return none(`${present.name} is in doubt, and ${opinion.words}`);
    }
    return {
      primary: present.name,
      reasons: [`${present.name} is in doubt: ${present.result?.detail ?? 'no answer yet'}`],
    };
  }
  return none(farewell(present, refused));
}

function farewell({ name, admin, result }: ServerView, refused: readonly string[]): string {
  if (admin === 'maintenance') return `${name} is in maintenance`;
  if (refused.includes(name)) return `${name} may not be followed any more`;
  return `${name} is lost: ${result?.detail ?? 'no answer'}`;
}

/** Several may be followed: by policy, and by evidence before habit. */
function among<Memory>(
  ballot: Ballot<Memory>,
  evidence: Evidence<Memory>,
  eligible: readonly Claimant[],
): Choice {
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
  return evidence.best(eligible, ballot) ?? stay ?? hold;
}

/** The servers that are up, not in maintenance, and say, in a fresh result, that they are a primary and writable; in file order. */
export function claimantsOf({
  servers,
  now,
  freshnessMs,
}: Omit<Ballot<unknown>, 'memory'>): readonly Claimant[] {
  return servers.flatMap(server => {
    const facts = factsOf(server.result);
    const claims = facts !== null && facts.role === 'primary' && facts.writable;
    if (server.admin === 'maintenance') return [];
    if (!claims || server.health.kind !== 'up' || !isFresh(server.result, now, freshnessMs)) return [];
    return [{ name: server.name, server, facts }];
  });
}

/** Gone: it said itself that it isn't writable, or is refused, down or in maintenance. Doubtful: neither seen writable nor proven lost. */
function standing(server: ServerView, refused: readonly string[]): 'gone' | 'doubtful' {
  if (server.health.kind === 'down' || server.admin === 'maintenance') return 'gone';
  if (refused.includes(server.name)) return 'gone';
  const facts = factsOf(server.result);
  return facts !== null && !(facts.role === 'primary' && facts.writable) ? 'gone' : 'doubtful';
}

/** Whether it has yet to say its first word, or to be down. */
export function isUnheard(server: ServerView): boolean {
  if (server.admin === 'maintenance') return false;
  if (server.result === null) return true;
  if (server.health.kind !== 'unknown') return false;
  // It failed and isn't down yet, or answered and isn't up yet (check.rise): it may be about to claim.
  return server.health.fails > 0 || factsOf(server.result) !== null;
}

const names = (claimants: readonly Claimant[]): string =>
  claimants.map(claimant => claimant.name).join(' and ');
