// A run of a book as a pure state machine: what happens goes in, what is to be done comes out. No time, no files, no steps.
// Driven by runner.ts. What is on record is always ahead of what is done: a step begins only after that is on disk, so
// whoever is killed at any moment finds afterwards which step may have been under way, and which surely was not.

import { invariant } from '../core/errors.ts';
import {
  type BookName,
  type EndedRun,
  type Kept,
  type Outcome,
  type Plan,
  type PlannedStep,
  type Run,
} from './model.ts';

/** Which attempt of which step of which run: what comes late, from another one, changes nothing. */
export interface Token {
  readonly run: number;
  readonly at: number;
  readonly attempt: number;
}

/** What is so when an event is handled. */
export interface Facts {
  readonly wall: number;
  readonly epoch: number;
  readonly primary: string | null;
  /** The primary, if its newest word is that it takes writes, and that is fresh. */
  readonly accepting: string | null;
  /** The servers that are down. */
  readonly down: readonly string[];
}

export interface Beginning {
  readonly book: BookName;
  readonly from: string | null;
  readonly to: string | null;
  readonly trigger: Run['trigger'];
  /** Marks the processes of its steps, in their environment. */
  readonly key: string;
}

export type RunbookEvent =
  | ({ readonly kind: 'start' } & Beginning)
  | { readonly kind: 'restarted' }
  | { readonly kind: 'written'; readonly write: number }
  | { readonly kind: 'write-failed'; readonly write: number; readonly why: string }
  | { readonly kind: 'step-ended'; readonly token: Token; readonly ok: boolean; readonly detail: string }
  | { readonly kind: 'pause-over'; readonly token: Token }
  | { readonly kind: 'snapshot' }
  /** `isDone`: the step in question was done, says the operator. */
  | { readonly kind: 'resume'; readonly isDone: boolean }
  | { readonly kind: 'abort' };

export type RunbookAction =
  /** Put `kept` on disk, and say so. */
  | { readonly kind: 'write'; readonly write: number }
  | { readonly kind: 'run'; readonly token: Token; readonly step: PlannedStep }
  /** Whatever step is under way, or waited with. */
  | { readonly kind: 'cancel' }
  | { readonly kind: 'pause'; readonly token: Token; readonly ms: number }
  | { readonly kind: 'stopped'; readonly run: Run }
  | { readonly kind: 'ended'; readonly run: EndedRun };

export interface Machine {
  readonly kept: Kept;
  /** Of the run that `kept` has; `null` without one. */
  readonly plan: Plan | null;
  readonly activity: 'idle' | 'recording' | 'running' | 'pausing';
  /** Counts writes: only the newest one's answer matters. */
  readonly write: number;
}

export interface Moved {
  readonly machine: Machine;
  readonly actions: readonly RunbookAction[];
}

const DAY_MS = 86_400_000;
const BACKOFF_MAX_MS = 60_000;

/** Steps of which an attempt is on record: the run that `kept` has may go on with them after a restart. */
export function machineOf(kept: Kept, plan: Plan | null): Machine {
  return { kept, plan, activity: 'idle', write: 0 };
}

/** Why a run can't begin now; `null`: it can. One that is stopped while traffic flows gives way. */
export function busyWith({ kept: { run }, plan }: Machine): string | null {
  if (run === null) return null;
  const isOver = (run.mark === 'stopped' || run.mark === 'asking') && stageOf(run, plan) === 'after';
  return isOver ? null : `the runbook ${run.book} is not over yet`;
}

/** Why it can't be resumed; `null`: it can. */
export function whyNotResumed({ kept: { run }, plan }: Machine, isDone: boolean): string | null {
  if (run === null) return 'no runbook is under way';
  if (run.mark !== 'stopped' && run.mark !== 'asking') return `the runbook ${run.book} is running`;
  if (plan === null || plan.digest !== run.plan) {
    return `the runbook ${run.book} was changed in the configuration since it began: it can only be aborted`;
  }
  if (isDone && plan.steps[run.at]?.kind !== 'step')
    return 'that is no step that could have been done by hand';
  return null;
}

export function stageOf({ at }: Run, plan: Plan | null): PlannedStep['stage'] {
  return plan?.steps[at]?.stage ?? 'change';
}

export function move(
  machine: Machine,
  event: RunbookEvent,
  facts: Facts,
  plan: Plan | null = machine.plan,
): Moved {
  switch (event.kind) {
    case 'start':
      return start(machine, event, facts, plan);
    case 'restarted':
      return afterRestart(machine);
    case 'written':
      return event.write === machine.write && machine.activity === 'recording'
        ? recorded(machine)
        : stay(machine);
    case 'write-failed':
      if (event.write !== machine.write || machine.activity !== 'recording') return stay(machine);
      return halt(machine, 'stopped', `its progress cannot be written to the state file: ${event.why}`);
    case 'step-ended':
      if (machine.activity !== 'running' || !isOf(machine, event.token)) return stay(machine);
      return event.ok ? advance(machine, facts) : fail(machine, event.detail, facts);
    case 'pause-over':
      return machine.activity === 'pausing' && isOf(machine, event.token) ? begin(machine) : stay(machine);
    case 'snapshot':
      return look(machine, facts);
    case 'resume':
      return resume(machine, event.isDone, facts);
    case 'abort':
      return machine.kept.run === null ? stay(machine) : end(machine, 'aborted', 'by an operator', facts);
  }
}

const stay = (machine: Machine): Moved => ({ machine, actions: [] });

function start(machine: Machine, beginning: Beginning, facts: Facts, plan: Plan | null): Moved {
  invariant(busyWith(machine) === null, 'one runbook per backend at a time');
  invariant(plan !== null && plan.book === beginning.book, 'a run has a plan');
  const before = machine.kept.run === null ? stay(machine) : end(machine, 'superseded', null, facts);
  const { kept } = before.machine;
  const { book, from, to, trigger, key } = beginning;
  const counts = trigger === 'automatic' && book === 'on_primary_lost';
  const recent = kept.starts.filter(at => facts.wall - at < DAY_MS);
  const run: Run = {
    id: kept.runs + 1,
    key,
    book,
    epoch: facts.epoch,
    from,
    to,
    trigger,
    startedAt: facts.wall,
    plan: plan.digest,
    at: 0,
    attempt: 1,
    mark: 'todo',
    reason: null,
  };
  const isReturn = book === 'on_primary_returned' && kept.displaced !== null;
  const next: Kept = {
    ...kept,
    run,
    runs: run.id,
    starts: counts ? [...recent, facts.wall] : recent,
    displaced: isReturn ? { ...kept.displaced, returned: true } : kept.displaced,
  };
  const begun = begin({ ...before.machine, kept: next, plan });
  return { machine: begun.machine, actions: [...before.actions, ...begun.actions] };
}

/** What is on record decides; how far a step got that was under way nobody knows. */
function afterRestart(machine: Machine): Moved {
  const { run } = machine.kept;
  if (run === null || run.mark === 'stopped' || run.mark === 'asking') return stay(machine);
  const { plan } = machine;
  const step = plan?.steps[run.at];
  if (plan === null || step === undefined || plan.digest !== run.plan) {
    return halt(machine, 'asking', 'its steps were changed in the configuration while it was under way');
  }
  if (run.mark === 'todo') return begin(machine);
  if (step.isIdempotent) return begin(withRun(machine, { attempt: run.attempt + 1 }));
  return halt(
    machine,
    'asking',
    `Pointsman ended while ${step.name} ran, and nobody knows whether it was done`,
  );
}

/** Puts on record that the step begins now. */
function begin(machine: Machine): Moved {
  return record(withRun(machine, { mark: 'begun', reason: null }));
}

function record(machine: Machine): Moved {
  const write = machine.write + 1;
  return { machine: { ...machine, activity: 'recording', write }, actions: [{ kind: 'write', write }] };
}

function recorded(machine: Machine): Moved {
  const { run } = machine.kept;
  invariant(run !== null, 'only a run is recorded');
  if (run.mark === 'todo') return begin(machine);
  const step = machine.plan?.steps[run.at];
  invariant(step !== undefined, 'a step that begins is one of the plan');
  return {
    machine: { ...machine, activity: 'running' },
    actions: [{ kind: 'run', token: tokenOf(run), step }],
  };
}

function look(machine: Machine, facts: Facts): Moved {
  const seen = noticed(machine, facts);
  const { run } = seen.kept;
  if (run === null) return stay(seen);
  const stage = stageOf(run, seen.plan);
  const isBeforeIts = stage === 'change' || stage === 'await';
  if (run.book === 'on_primary_lost' && isBeforeIts && facts.primary !== null && facts.primary !== run.to) {
    return end(seen, 'superseded', `${facts.primary} is the primary meanwhile`, facts);
  }
  if (stage !== 'await' || seen.activity !== 'running' || !isThere(run, facts)) return stay(seen);
  const advanced = advance(activated(seen), facts);
  return { machine: advanced.machine, actions: [{ kind: 'cancel' }, ...advanced.actions] };
}

/** Who is the primary now, and whether the one that is awaited back has gone again. */
function noticed(machine: Machine, { primary, down }: Facts): Machine {
  const { kept } = machine;
  const { displaced, lastPrimary } = kept;
  const hasGone = displaced !== null && displaced.returned && down.includes(displaced.server);
  if ((primary === null || primary === lastPrimary) && !hasGone) return machine;
  return {
    ...machine,
    kept: {
      ...kept,
      lastPrimary: primary ?? lastPrimary,
      displaced: hasGone ? { ...displaced, returned: false } : displaced,
    },
  };
}

/** Whether the one that was to become the primary is it, and takes writes. */
function isThere({ to, from }: Run, { accepting }: Facts): boolean {
  return accepting !== null && (to === null ? accepting !== from : accepting === to);
}

/** Who gave the role away by a loss or a failback stays without it until a book gives it back. */
function activated(machine: Machine): Machine {
  const { run, barred } = machine.kept;
  if (run === null || run.book === 'switchover') return machine;
  const { from, to } = run;
  const others = barred.filter(name => name !== to && name !== from);
  const displaced =
    run.book === 'on_primary_lost' && from !== null ? { server: from, returned: false } : null;
  return {
    ...machine,
    kept: { ...machine.kept, barred: from === null ? others : [...others, from], displaced },
  };
}

function advance(machine: Machine, facts: Facts): Moved {
  const { run } = machine.kept;
  invariant(run !== null && machine.plan !== null, 'only a run goes on');
  if (run.at + 1 >= machine.plan.steps.length) return end(machine, 'done', null, facts);
  return record(withRun(machine, { at: run.at + 1, attempt: 1, mark: 'todo', reason: null }));
}

function fail(machine: Machine, detail: string, facts: Facts): Moved {
  const { run } = machine.kept;
  const step = run === null ? undefined : machine.plan?.steps[run.at];
  invariant(run !== null && step !== undefined, 'only a step of a run fails');
  if (run.attempt <= step.retries) {
    const ms = Math.min(BACKOFF_MAX_MS, step.backoffMs * 2 ** (run.attempt - 1));
    const next = withRun(machine, { attempt: run.attempt + 1 });
    const { run: again } = next.kept;
    invariant(again !== null, 'a run that pauses is still one');
    return {
      machine: { ...next, activity: 'pausing' },
      actions: [{ kind: 'pause', token: tokenOf(again), ms }],
    };
  }
  const reason = `${step.name} failed: ${detail}`;
  if (step.stage === 'prepare') return end(machine, 'failed', reason, facts);
  const isUnchanged = step.stage !== 'after' && run.from !== null && facts.accepting === run.from;
  if (isUnchanged && machine.plan?.onFailure === 'release') {
    return end(machine, 'released', `${reason}; ${run.from} has its clients again`, facts);
  }
  return halt(machine, 'stopped', reason);
}

function halt(machine: Machine, mark: 'stopped' | 'asking', reason: string): Moved {
  const write = machine.write + 1;
  const halted: Machine = { ...withRun(machine, { mark, reason }), activity: 'idle', write };
  const { run } = halted.kept;
  invariant(run !== null, 'only a run is halted');
  return {
    machine: halted,
    actions: [
      { kind: 'write', write },
      { kind: 'stopped', run },
    ],
  };
}

function resume(machine: Machine, isDone: boolean, facts: Facts): Moved {
  invariant(whyNotResumed(machine, isDone) === null, 'only what is halted is resumed');
  return isDone ? advance(machine, facts) : begin(withRun(machine, { attempt: 1 }));
}

function end(machine: Machine, outcome: Outcome, reason: string | null, { wall }: Facts): Moved {
  const { run } = machine.kept;
  invariant(run !== null, 'only a run ends');
  const { id, book, epoch, from, to, startedAt } = run;
  const last: EndedRun = { id, book, epoch, from, to, outcome, reason, startedAt, endedAt: wall };
  const write = machine.write + 1;
  return {
    machine: { kept: { ...machine.kept, run: null, last }, plan: null, activity: 'idle', write },
    actions: [{ kind: 'cancel' }, { kind: 'write', write }, { kind: 'ended', run: last }],
  };
}

function withRun(machine: Machine, change: Partial<Run>): Machine {
  const { run } = machine.kept;
  invariant(run !== null, 'only a run changes');
  return { ...machine, kept: { ...machine.kept, run: { ...run, ...change } } };
}

const tokenOf = ({ id, at, attempt }: Run): Token => ({ run: id, at, attempt });

function isOf({ kept: { run } }: Machine, token: Token): boolean {
  return run !== null && run.id === token.run && run.at === token.at && run.attempt === token.attempt;
}
