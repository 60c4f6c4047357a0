// `pointsman switchover|failback BACKEND` and `pointsman runbook start|resume|abort BACKEND`: asks a running one, and tells
// step by step what becomes of it, until it is over or needs a person. What the books do stands in runbook/.

import { systemClock } from '../core/clock.ts';
import { callAdmin, readTarget, refusalIn } from './admin-client.ts';
import { type AdminOptions, type AdminTarget } from './admin-target.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, out } from './output.ts';

const LOOK_EVERY_MS = 200;
/** As long as this it may be unreachable, such as for a restart, before it is no longer looked for. */
const SILENCE_MAX_MS = 30_000;

interface Step {
  readonly step: string;
  readonly ok: boolean;
  readonly duration_ms: number;
  readonly detail: string;
}

interface RunbookState {
  readonly run: {
    readonly id: number;
    readonly book: string;
    readonly status: 'running' | 'stopped' | 'asking';
    readonly reason: string | null;
    readonly steps: readonly Step[];
  } | null;
  readonly last: {
    readonly id: number;
    readonly book: string;
    readonly outcome: string;
    readonly reason: string | null;
    readonly steps: readonly Step[];
  } | null;
}

interface State {
  readonly backends: readonly {
    readonly name: string;
    readonly primary: string | null;
    readonly runbook: RunbookState | null;
  }[];
}

/** `call`: what is asked, below the backend, such as `switchover?to=pg2`. */
export async function operateRunbook(
  call: string,
  backend: string,
  options: AdminOptions,
): Promise<ExitCode> {
  const [action = ''] = call.split('?');
  const command = action.replace('/', ' ');
  const target = readTarget(options);
  if (target === null) return exitCodes.no;
  const path = `/api/v1/backends/${encodeURIComponent(backend)}/${call}`;
  const answer = await callAdmin(target, 'POST', path, {});
  if (!answer.ok) {
    complain(`pointsman ${command}: ${answer.why}`);
    return exitCodes.no;
  }
  if (answer.status !== 202) {
    const advice =
      answer.status === 401
        ? ' (it is taken from POINTSMAN_TOKEN, else from admin.token of the configuration)'
        : '';
    complain(`pointsman ${command}: ${refusalIn(answer.body)}${advice}`);
    return exitCodes.no;
  }
  const { run } = answer.body as { readonly run: number };
  return follow(run, backend, target);
}

async function follow(run: number, backend: string, target: AdminTarget): Promise<ExitCode> {
  let told = 0;
  let heardAt = systemClock.now();
  for (;;) {
    const answer = await callAdmin(target, 'GET', '/api/v1/state', { backends: 'array' });
    if (!answer.ok || answer.status !== 200) {
      if (systemClock.now() - heardAt > SILENCE_MAX_MS) {
        complain(answer.ok ? `it answers with status ${answer.status}` : answer.why);
        return exitCodes.no;
      }
    } else {
      heardAt = systemClock.now();
      const view = (answer.body as State).backends.find(({ name }) => name === backend);
      const state = view?.runbook ?? null;
      const mine = state?.run?.id === run ? state.run : state?.last?.id === run ? state.last : null;
      for (const { step, ok, duration_ms: ms, detail } of mine?.steps.slice(told) ?? []) {
        out(`${ok ? 'done  ' : 'FAILED'} ${step} (${(ms / 1000).toFixed(1)} s): ${detail}`);
      }
      told = mine?.steps.length ?? told;
      const verdict = verdictOf(run, state);
      if (verdict !== null) {
        (verdict.isGood ? out : complain)(
          `${backend}: ${verdict.words}; primary: ${view?.primary ?? 'none'}`,
        );
        return verdict.isGood ? exitCodes.done : exitCodes.no;
      }
    }
    await new Promise<void>(resolve => void systemClock.schedule(LOOK_EVERY_MS, resolve));
  }
}

/** `null`: it goes on. */
function verdictOf(run: number, state: RunbookState | null): { isGood: boolean; words: string } | null {
  if (state === null) return { isGood: false, words: 'it has no runbook any more' };
  const { run: present, last } = state;
  if (present?.id === run) {
    if (present.status === 'running') return null;
    const words = `${present.book} ${present.status === 'asking' ? 'asks' : 'has stopped'}: ${present.reason ?? ''}; pointsman runbook resume or abort`;
    return { isGood: false, words };
  }
  if (last?.id !== run) return { isGood: false, words: 'another run has begun meanwhile' };
  const why = last.reason === null ? '' : `: ${last.reason}`;
  return { isGood: last.outcome === 'done', words: `${last.book} is ${last.outcome}${why}` };
}
