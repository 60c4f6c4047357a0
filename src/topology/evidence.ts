// What an election needs to know of a protocol: why a writable server may not be followed, and which of several has the
// better right. Shapes only. One implementation per protocol in evidence/; elect.ts asks them, topology.ts keeps their memory.

import { type MonotonicMs } from '../core/clock.ts';
import { type MultipleWritersPolicy } from '../config/schema.ts';
import { type ServerFacts } from '../health/result.ts';
import { type Directive } from './directive.ts';
import { type Fault, type Opinion, type ServerView } from './model.ts';

/** How an operator whose service was rebuilt has its past forgotten: the other half of `if that is meant, …`. */
export const FORGET =
  'stop Pointsman, remove the backend from its state_file if it has one, and start it again';

export interface Ballot<Memory> {
  readonly servers: readonly ServerView[];
  readonly current: string | null;
  /** What earlier elections left to be remembered; `null` before the first primary. */
  readonly memory: Memory | null;
  readonly policy: MultipleWritersPolicy;
  /** What the orchestrator says, where there is one that is asked. */
  readonly opinion: Opinion | null;
  /** What a runbook says, where there is one. */
  readonly directive: Directive | null;
  /** How long a server that returns must have been writable before it is believed without proof of a promotion; 0: at once. */
  readonly settleMs: number;
  readonly now: MonotonicMs;
  readonly freshnessMs: number;
}

/** A server that is up and says, in a fresh result, that it is a primary and writable. */
export interface Claimant {
  readonly name: string;
  readonly server: ServerView;
  readonly facts: ServerFacts;
}

export interface Choice {
  readonly primary: string | null;
  readonly reasons: readonly string[];
}

export interface Election<Memory> extends Choice {
  readonly splitBrain: boolean;
  /** By server: why one that says it is writable may not be followed. */
  readonly refusals: ReadonlyMap<string, string>;
  readonly memory: Memory | null;
}

/** What a memory is taken up with that was saved by a Pointsman before this one. */
export interface Restart {
  readonly now: MonotonicMs;
  /** Whether the server of this name is still the one that had it when the memory was saved. */
  isSame(server: string): boolean;
}

/** Pure functions; `Memory` is a frozen value that they alone look into. */
export interface Evidence<Memory> {
  /** Why this claimant may not be followed now, as a sentence; `null`: nothing speaks against it. */
  refusalOf(claimant: Claimant, ballot: Ballot<Memory>): string | null;
  /** What proves that it took over from the present primary, which can't be seen well; `null`: nothing does. */
  promotionOf(claimant: Claimant, ballot: Ballot<Memory>): string | null;
  /** Under `newest`: which of several has the better right; `null` when nothing tells them apart. */
  best(eligible: readonly Claimant[], ballot: Ballot<Memory>): Choice | null;
  /** What must be said of the chosen one beside why it was chosen, such as what it lacks; `null`: nothing. */
  caveatOf?(chosen: Claimant, ballot: Ballot<Memory>): string | null;
  /** What the next election is to know. Called after every election, with the primary if it is among the claimants. */
  remember(ballot: Ballot<Memory>, chosen: Claimant | null): Memory | null;
  /** What is wrong between the servers now, whoever is the primary. */
  faults(ballot: Ballot<Memory>): readonly Fault[];
  /** For a restart, as what JSON can hold. Moments mean nothing after it: they are kept as ages, if at all. */
  save(memory: Memory, now: MonotonicMs): object;
  /** What `save` has made, its ages counted from now; `null`: it isn't that. It elects whom the memory would have elected. */
  load(saved: unknown, restart: Restart): Memory | null;
}
