// Who elects for a backend: the election (elect.ts) with the evidence of its protocol and the memory between elections,
// or, where servers have no roles, the constant word that there is no primary. One per backend; owned by topology.ts.

import { type BackendConfig, type MultipleWritersPolicy } from '../config/schema.ts';
import { elect } from './elect.ts';
import { type Ballot, type Choice, type Evidence } from './evidence.ts';
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
}

export interface Elector {
  /** The reason given before the first election. */
  readonly firstWord: string;
  elect(ballot: Omit<Ballot<never>, 'memory' | 'policy' | 'settleMs'>): Verdict;
}

export function electorFor(rules: ElectionRules): Elector {
  switch (rules.protocol) {
    case 'postgres':
      return electorBy(postgresEvidence, rules);
    case 'mysql':
      return electorBy(mysqlEvidence(rules.incompleteWriter), rules);
    case 'redis':
      // Its evidence knows better than by time alone what a server that returned is worth.
      return electorBy(redisEvidence(rules.settleMs), { ...rules, settleMs: 0 });
    case 'http':
    case 'tcp':
      return withoutRoles(rules.protocol);
  }
}

function electorBy<Memory>(
  evidence: Evidence<Memory>,
  { multipleWriters: policy, settleMs }: Settles & { readonly multipleWriters: MultipleWritersPolicy },
): Elector {
  let memory: Memory | null = null;
  return {
    firstWord: 'no server has been asked yet',
    elect(input) {
      const ballot = { ...input, memory, policy, settleMs };
      const election = elect(ballot, evidence);
      ({ memory } = election);
      const { primary, splitBrain, reasons } = election;
      return { primary, splitBrain, reasons, faults: evidence.faults({ ...ballot, memory }) };
    },
  };
}

function withoutRoles(protocol: string): Elector {
  const firstWord = `servers that speak ${protocol} have no roles: none of them is the primary`;
  const verdict: Verdict = { primary: null, splitBrain: false, reasons: [firstWord], faults: [] };
  return { firstWord, elect: () => verdict };
}
