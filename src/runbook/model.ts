// The shapes of runbooks at work: the plan of a book, the run of one, what is kept of it, and what a step is told and says.
// No decisions here: plan.ts makes plans, machine.ts moves runs, steps/ does the work.

import { type BackendView } from '../topology/model.ts';

/** What a run may be of. `before_promote` is the beginning of `on_primary_lost`. */
export const bookNames = [
  'on_primary_lost',
  'on_promoted',
  'on_primary_returned',
  'failback',
  'switchover',
] as const;
export type BookName = (typeof bookNames)[number];

/**
 * `prepare`: nothing has changed yet. `change`: traffic is held. `await`: the steps have succeeded, and the server must say
 * itself that it is writable. `after`: it serves.
 */
export type Stage = 'prepare' | 'change' | 'await' | 'after';

export interface PlannedStep {
  /** Of the configuration, or of Pointsman's own: `close sessions`, `wait for the primary`. */
  readonly name: string;
  readonly stage: Stage;
  readonly kind: 'step' | 'drain' | 'await';
  readonly isIdempotent: boolean;
  readonly retries: number;
  readonly backoffMs: number;
}

/** What is done if the book is run, and what tells this plan from another of the same name. */
export interface Plan {
  readonly book: BookName;
  readonly steps: readonly PlannedStep[];
  readonly digest: string;
  readonly onFailure: 'hold' | 'release';
}

/**
 * `todo`: the step is next. `begun`: on record before it begins; whoever finds that after a restart doesn't know whether it
 * was done. `stopped`: it failed. `asking`: only an operator can say how to go on.
 */
type Mark = 'todo' | 'begun' | 'stopped' | 'asking';

export interface Run {
  /** Counts the runs of the backend. */
  readonly id: number;
  /** Marks the processes of its steps: found by it after a restart. */
  readonly key: string;
  readonly book: BookName;
  /** Of the backend, when it began. */
  readonly epoch: number;
  /** Who loses the role, and who gets it; `null`: nobody has it, or whoever takes over. */
  readonly from: string | null;
  readonly to: string | null;
  readonly trigger: 'automatic' | 'operator';
  /** Wall time. */
  readonly startedAt: number;
  readonly plan: string;
  /** The step that is next or under way, as an index into the plan. */
  readonly at: number;
  /** From 1. */
  readonly attempt: number;
  readonly mark: Mark;
  /** Why it is stopped or asks. */
  readonly reason: string | null;
}

export const outcomes = ['done', 'failed', 'released', 'aborted', 'superseded'] as const;
/** `released`: it failed, and the old primary has the traffic again. */
export type Outcome = (typeof outcomes)[number];

export interface EndedRun {
  readonly id: number;
  readonly book: BookName;
  /** Of the backend, when it began. */
  readonly epoch: number;
  readonly from: string | null;
  readonly to: string | null;
  readonly outcome: Outcome;
  readonly reason: string | null;
  readonly startedAt: number;
  readonly endedAt: number;
}

/** What is kept of a backend's runbooks, in memory and in the state file. */
export interface Kept {
  readonly run: Run | null;
  readonly last: EndedRun | null;
  /** How many runs there have been. */
  readonly runs: number;
  /** Wall times of the automatic runs that count towards `min_interval` and `max_per_day`, oldest first. */
  readonly starts: readonly number[];
  /** Those that gave their role to another by a book, and are not followed before they get it back by one. */
  readonly barred: readonly string[];
  /** Who is awaited back since `on_primary_lost`, and whether its return was dealt with. */
  readonly displaced: { readonly server: string; readonly returned: boolean } | null;
  /** Who was the primary last. */
  readonly lastPrimary: string | null;
}

export const nothingKept: Kept = Object.freeze({
  run: null,
  last: null,
  runs: 0,
  starts: Object.freeze([]),
  barred: Object.freeze([]),
  displaced: null,
  lastPrimary: null,
});

/** What one attempt of a step came to. */
export interface StepResult {
  readonly ok: boolean;
  /** One sentence for people. */
  readonly detail: string;
  /** What it wrote or answered, bounded, without secrets. */
  readonly output: string;
}

/** One attempt of a step under way. */
export interface RunningStep {
  /** Never rejects. */
  readonly done: Promise<StepResult>;
  /** Ends it: processes are killed, connections closed. */
  cancel(): void;
}

/** What steps are told about the run that they are part of. */
export interface StepContext {
  readonly backend: string;
  readonly book: BookName;
  readonly run: number;
  readonly step: string;
  readonly attempt: number;
  readonly epoch: number;
  readonly from: string | null;
  readonly to: string | null;
  view(): BackendView;
}
