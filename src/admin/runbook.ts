// What operators ask of runbooks, and what is shown of them: begin a switchover, a failback or the book for a lost primary,
// go on, give up. Each answers at once; the state tells what becomes of it. What they mean stands in runbook/.

import { type Clock } from '../core/clock.ts';
import { type Answer, type RunbookStatus, type StepReport } from '../runbook/runner.ts';
import { type BookName, type EndedRun } from '../runbook/model.ts';
import { type Guard, refuse } from './guard.ts';
import { type AdminRequest, type Reply, type Route } from './route.ts';
import { json } from './server.ts';

/** What is asked of app's runbooks. */
export interface RunbookDesk {
  begin(backend: string, book: BookName, to: string | null): Answer;
  resume(backend: string, isDone: boolean): Answer;
  abort(backend: string): Answer;
  hasBackend(name: string): boolean;
}

const books = {
  switchover: 'switchover',
  failback: 'failback',
  'runbook/start': 'on_primary_lost',
} as const satisfies Readonly<Record<string, BookName>>;

export function runbookRoutes(desk: RunbookDesk, guard: Guard): readonly Route[] {
  const post = (action: string, act: (backend: string, request: AdminRequest) => Answer): Route => ({
    method: 'POST',
    path: `/api/v1/backends/{backend}/${action}`,
    answer: request => refuse(guard, request) ?? reply(desk, guard, action, request, act),
  });
  const begins = Object.entries(books).map(([action, book]) =>
    post(action, (backend, { url }) => desk.begin(backend, book, url.searchParams.get('to'))),
  );
  return [
    ...begins,
    post('runbook/resume', (backend, { url }) => desk.resume(backend, url.searchParams.get('done') === '1')),
    post('runbook/abort', backend => desk.abort(backend)),
  ];
}

function reply(
  desk: RunbookDesk,
  { log }: Guard,
  action: string,
  request: AdminRequest,
  act: (backend: string, request: AdminRequest) => Answer,
): Reply {
  const { backend = '' } = request.params;
  if (!desk.hasBackend(backend)) {
    return json({ error: `there is no backend ${JSON.stringify(backend)}` }, 404);
  }
  const answer = act(backend, request);
  const fields = { backend, action, remote: request.remote };
  if (!answer.ok) {
    log.info({ ...fields, why: answer.why }, `operator: ${action} of ${backend} is refused`);
    return json({ error: answer.why }, 409);
  }
  log.info({ ...fields, run: answer.run }, `operator: ${action} of ${backend}`);
  return json({ backend, run: answer.run }, 202);
}

export type RunbookJson = ReturnType<typeof runbookJson>;

export function runbookJson(status: RunbookStatus, clock: Clock) {
  const { run, plan, activity, steps, stepSince, waits, barred, last, lastSteps } = status;
  return {
    run: run && {
      id: run.id,
      book: run.book,
      from: run.from,
      to: run.to,
      trigger: run.trigger,
      status: run.mark === 'stopped' || run.mark === 'asking' ? run.mark : 'running',
      step: plan?.steps[run.at]?.name ?? null,
      step_number: run.at + 1,
      of: plan?.steps.length ?? null,
      attempt: run.attempt,
      activity,
      step_age_seconds: stepSince === null ? null : (clock.now() - stepSince) / 1000,
      age_seconds: Math.max(0, clock.wall() - run.startedAt) / 1000,
      reason: run.reason,
      started_at: new Date(run.startedAt).toISOString(),
      steps: steps.map(stepJson),
    },
    waits_for: waits,
    barred,
    last: last && endedJson(last, lastSteps),
  };
}

function endedJson(
  { id, book, from, to, outcome, reason, startedAt, endedAt }: EndedRun,
  steps: readonly StepReport[],
) {
  return {
    id,
    book,
    from,
    to,
    outcome,
    reason,
    started_at: new Date(startedAt).toISOString(),
    ended_at: new Date(endedAt).toISOString(),
    steps: steps.map(stepJson),
  };
}

function stepJson({ step, result, ms }: StepReport) {
  const { ok, detail, output } = result;
  return { step: step.name, ok, duration_ms: Math.round(ms), detail, output };
}
