// From the configuration to the plan of a book: which steps, in which order, and what traffic does meanwhile. Pure.
// What is done with a plan: machine.ts; how it is shown: describe.ts.

import { createHash } from 'node:crypto';
import { type RunbookConfig } from '../config/schema.ts';
import { type BookName, type Plan, type PlannedStep, type Stage } from './model.ts';

const ours = { isIdempotent: true, retries: 0, backoffMs: 0 } as const;

const CLOSE_SESSIONS = 'close sessions';
const AWAIT_PRIMARY = 'wait for the primary';

const drain: PlannedStep = { name: CLOSE_SESSIONS, stage: 'change', kind: 'drain', ...ours };
const awaitPrimary: PlannedStep = { name: AWAIT_PRIMARY, stage: 'await', kind: 'await', ...ours };

/** `null`: there is no such book, or it is empty. */
export function planOf(book: BookName, config: RunbookConfig): Plan | null {
  const steps = stepsOf(book, config);
  if (steps === null || steps.length === 0) return null;
  const named = steps.map(({ name, kind }) => [name, kind === 'step' ? config.steps[name] : kind]);
  const digest = createHash('sha256')
    .update(JSON.stringify([book, named]))
    .digest('hex')
    .slice(0, 16);
  const onFailure = book === 'switchover' || book === 'failback' ? config[book]?.onFailure : undefined;
  return { book, steps, digest, onFailure: onFailure ?? 'hold' };
}

function stepsOf(book: BookName, config: RunbookConfig): readonly PlannedStep[] | null {
  const at = (stage: Stage, names: readonly string[]): readonly PlannedStep[] =>
    names.map(name => plannedStep(name, stage, config));
  const { beforePromote, onPrimaryLost, onPromoted, onPrimaryReturned } = config;
  switch (book) {
    case 'on_primary_lost':
      if (onPrimaryLost === null) return null;
      return [
        ...at('change', [...beforePromote, ...onPrimaryLost.steps]),
        awaitPrimary,
        ...at('after', [...onPrimaryLost.after, ...onPromoted]),
      ];
    case 'switchover':
    case 'failback': {
      const planned = config[book];
      if (planned === null) return null;
      return [
        ...at('prepare', planned.prepare),
        drain,
        ...at('change', planned.steps),
        awaitPrimary,
        ...at('after', [...planned.after, ...onPromoted]),
      ];
    }
    case 'on_promoted':
      return at('after', onPromoted);
    case 'on_primary_returned':
      return at('after', onPrimaryReturned);
  }
}

function plannedStep(name: string, stage: Stage, { steps }: RunbookConfig): PlannedStep {
  const step = steps[name];
  return {
    name,
    stage,
    kind: 'step',
    isIdempotent: step?.isIdempotent ?? false,
    retries: step?.retries ?? 0,
    backoffMs: step?.backoffMs ?? 0,
  };
}
