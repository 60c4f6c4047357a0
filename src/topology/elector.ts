// Who elects for a backend: the election (elect.ts) with the evidence of its protocol and the memory between elections,
// or, where servers have no roles, the constant word that there is no primary. One per backend; owned by topology.ts.

import { type MonotonicMs } from '../core/clock.ts';
import { type BackendConfig, type MultipleWritersPolicy, type Protocol } from '../config/schema.ts';
import { invariant } from '../core/errors.ts';
import { claimantsOf, elect, isUnheard } from './elect.ts';
import { type Ballot, type Choice, type Election, type Evidence, type Restart } from './evidence.ts';
import { mysqlEvidence } from './evidence/mysql.ts';
import { postgresEvidence } from './evidence/postgres.ts';
import { redisEvidence } from './evidence/redis.ts';
import { type Fault } from './model.ts';

type ConfigOf<P> = Extract<BackendConfig, { protocol: P }>;

interface Settles {
  readonly settleMs: number;
}

/** What of a backend's configuration decides elections. */
export type ElectionRules =
  | (Pick<ConfigOf<'postgres'>, 'protocol' | 'multipleWriters'> & Settles)
  | (Pick<ConfigOf<'mysql'>, 'protocol' | 'multipleWriters' | 'incompleteWriter'> & Settles)
  | (Pick<ConfigOf<'redis'>, 'protocol' | 'multipleWriters'> & Settles)
  | Pick<ConfigOf<'http'>, 'protocol'>
  | Pick<ConfigOf<'tcp'>, 'protocol'>;

export interface Verdict extends Choice {
  readonly splitBrain: boolean;
  readonly faults: readonly Fault[];
  /** By server: why one that says it is writable may not be followed. */
  readonly refusals: ReadonlyMap<string, string>;
}

export interface Elector {
  /** The reason given before the first election. */
  readonly firstWord: string;
  elect(ballot: Omit<Ballot<never>, 'memory' | 'policy' | 'settleMs'>): Verdict;
  /** Another one that remembers the same now, to try out what would be elected: this one learns nothing of it. */
  rehearse(): Elector;
  /** The one that goes on from here by other rules of the same protocol: the configuration was changed. */
  under(rules: ElectionRules): Elector;
  /** What it remembers, as what JSON can hold; `null`: nothing yet. */
  save(now: MonotonicMs): object | null;
}

/** What an elector saved, and what it is taken up with after a restart. */
export interface Past extends Restart {
  readonly memory: unknown;
}

/** `past`: what it goes on from; what `isSavedMemory` is not true of counts as nothing. */
export function electorFor(rules: ElectionRules, past: Past | null = null): Elector {
  switch (rules.protocol) {
    case 'postgres':
      return electorAfter(() => postgresEvidence, rules, past);
    case 'mysql':
      return electorAfter(({ incompleteWriter }) => mysqlEvidence(incompleteWriter), rules, past);
    case 'redis':
      return electorAfter(({ settleMs }) => redisEvidence(settleMs), rules, past);
    case 'http':
    case 'tcp':
      return withoutRoles(rules.protocol);
  }
}

/** Whether an elector of the protocol would go on from this memory: what is damaged isn't believed in part. */
export function isSavedMemory(protocol: Protocol, memory: unknown): boolean {
  const restart: Restart = { now: 0, isSame: () => true };
  switch (protocol) {
    case 'postgres':
      return postgresEvidence.load(memory, restart) !== null;
    case 'mysql':
      return mysqlEvidence('hold').load(memory, restart) !== null;
    case 'redis':
      return redisEvidence(0).load(memory, restart) !== null;
    case 'http':
    case 'tcp':
      return false;
  }
}

interface ElectorState<Memory> {
  readonly memory: Memory | null;
  /** It goes on from a memory of before the restart, and hasn't seen a primary that is writable yet. */
  readonly isResuming: boolean;
}

type RulesOfRoles = Extract<ElectionRules, Settles>;

function electorAfter<Memory, Rules extends RulesOfRoles>(
  evidenceBy: (rules: Rules) => Evidence<Memory>,
  rules: Rules,
  past: Past | null,
): Elector {
  const memory = past === null ? null : evidenceBy(rules).load(past.memory, past);
  return electorBy(evidenceBy, rules, { memory, isResuming: memory !== null });
}

function electorBy<Memory, Rules extends RulesOfRoles>(
  evidenceBy: (rules: Rules) => Evidence<Memory>,
  rules: Rules,
  begin: ElectorState<Memory>,
): Elector {
  const evidence = evidenceBy(rules);
  const policy: MultipleWritersPolicy = rules.multipleWriters;
  // The evidence of Redis knows better than by time alone what a server that returned is worth.
  const settleMs = rules.protocol === 'redis' ? 0 : rules.settleMs;
  let { memory, isResuming } = begin;
  return {
    firstWord: 'no server has been asked yet',
    elect(input) {
      const ballot = { ...input, memory, policy, settleMs };
      const election = (isResuming ? untilAllAreHeard(ballot, evidence) : null) ?? elect(ballot, evidence);
      ({ memory } = election);
      isResuming &&= !claimantsOf(ballot).some(({ name }) => name === election.primary);
      const { primary, splitBrain, reasons, refusals } = election;
      return { primary, splitBrain, reasons, refusals, faults: evidence.faults({ ...ballot, memory }) };
    },
    rehearse: () => electorBy(evidenceBy, rules, { memory, isResuming }),
    under(next) {
      invariant(next.protocol === rules.protocol, 'an elector stays with its protocol');
      return electorBy(evidenceBy, next as Rules, { memory, isResuming });
    },
    save(now) {
      const saved = memory && evidence.save(memory, now);
      // A server may say what no evidence would take up again: then nothing is kept rather than a file that isn't believed.
      return saved !== null && isSavedMemory(rules.protocol, saved) ? saved : null;
    },
  };
}

/**
 * Without a present primary, a memory alone must not elect whoever happens to answer first after a restart: while it ran,
 * Pointsman had heard them all.
 */
function untilAllAreHeard<Memory>(
  ballot: Ballot<Memory>,
  evidence: Evidence<Memory>,
): Election<Memory> | null {
  const unheard = ballot.servers.filter(isUnheard);
  if (ballot.current !== null || unheard.length === 0) return null;
  return {
    primary: null,
    splitBrain: false,
    reasons: [`waiting for the first word of ${unheard.map(({ name }) => name).join(', ')}`],
    refusals: new Map(),
    memory: evidence.remember(ballot, null),
  };
}

function withoutRoles(protocol: string): Elector {
  const firstWord = `servers that speak ${protocol} have no roles: none of them is the primary`;
  const verdict: Verdict = {
    primary: null,
    splitBrain: false,
    reasons: [firstWord],
    refusals: new Map(),
    faults: [],
  };
  const elector: Elector = {
    firstWord,
    elect: () => verdict,
    rehearse: () => elector,
    under: () => elector,
    save: () => null,
  };
  return elector;
}
