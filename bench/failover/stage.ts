// Where a round of bench:failover is played: real servers, what is done to them, and what the report says of both.
// Here the interface; pairs.ts, pg-auto-failover.ts and patroni.ts are the stages. Called by run.ts.

import { type FailoverFigures } from '../../test/support/traffic.ts';
import { type Contender } from './contenders.ts';

export interface Round {
  readonly figures: FailoverFigures;
  /** Version of the servers. */
  readonly postgres: string;
}

/** A promise that the round can't outlive: it also ends when the time is up, or the bench is. */
export type Guard = <T>(playing: Promise<T>) => Promise<T>;

/** What of the report differs from stage to stage: lines of Markdown. */
export interface StageWords {
  readonly title: string;
  /** How the rounds were played, after "Rounds of each: …". */
  readonly rounds: string;
  /** How it is known that the new primary takes writes. */
  readonly known: string;
  /** How the servers get a new primary. */
  readonly promotion: readonly string[];
  readonly pointsman: string;
  /** How HAProxy is configured. */
  readonly haproxy: readonly string[];
  /** The command, without the number of rounds. */
  readonly repeat: string;
}

export interface Stage {
  /** Who takes turns; Pointsman first. */
  readonly contenders: readonly Contender[];
  /** Whether an old primary may still be shutting down when its writers come back, and refuse them itself, each once. */
  readonly refusesWhileDying: boolean;
  /** Names of the faults, each a row of the report for each contender. */
  readonly scenarios: readonly string[];
  readonly words: StageWords;
  /** Of the report, without its ending. */
  readonly file: string;
  play(scenario: string, contender: Contender, guard: Guard): Promise<Round>;
  /** Ends what is left of the servers. */
  end(): Promise<void>;
}

export const WRITERS = 8;
export const WARM_UP_MS = 1000;
export const START_MAX_MS = 40_000;
