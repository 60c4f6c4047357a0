// What a run means for traffic and elections at each moment: who may be the primary, and why new clients wait. Pure.
// Given to the topology by runner.ts at every move; derived, never kept: after a restart it is what it was.

import { type Directive } from '../topology/directive.ts';
import { type Kept, type Plan, type Run } from './model.ts';
import { stageOf } from './machine.ts';

export interface Word {
  readonly directive: Directive | null;
  readonly held: string | null;
}

export function wordOf({ run, barred }: Pick<Kept, 'run' | 'barred'>, plan: Plan | null): Word {
  const stage = run === null ? 'after' : stageOf(run, plan);
  const words = run === null ? 'no runbook is under way' : describeRun(run, plan);
  const only = run === null ? null : whoMayLead(run, stage);
  const appointed = run !== null && stage === 'await' && run.book !== 'switchover' ? run.to : null;
  const isPlanned = run?.book === 'switchover' || run?.book === 'failback';
  const isHeld = isPlanned && (stage === 'change' || stage === 'await');
  const directive =
    only === null && barred.length === 0 && appointed === null ? null : { words, only, barred, appointed };
  return { directive, held: isHeld ? words : null };
}

/** `null`: whoever by evidence. */
function whoMayLead({ book, from, to }: Run, stage: string): readonly string[] | null {
  if (stage !== 'change' && stage !== 'await') return null;
  const those = (...names: readonly (string | null)[]): readonly string[] =>
    names.filter(name => name !== null);
  switch (book) {
    case 'on_primary_lost':
      return stage === 'change' ? [] : those(to);
    case 'failback':
      return stage === 'change' ? those(from) : those(to);
    case 'switchover':
      return to === null ? null : those(from, to);
    case 'on_promoted':
    case 'on_primary_returned':
      return null;
  }
}

/** `the runbook failback is at step 2 of 5, compare`, as a clause. */
function describeRun({ book, at, mark, reason }: Run, plan: Plan | null): string {
  const step = plan?.steps[at]?.name ?? 'unknown';
  const place = `step ${at + 1} of ${plan?.steps.length ?? '?'}, ${step}`;
  if (mark === 'stopped') return `the runbook ${book} stopped at ${place}: ${reason}`;
  if (mark === 'asking') return `the runbook ${book} asks at ${place}: ${reason}`;
  return `the runbook ${book} is at ${place}`;
}
