// `pointsman restart`: has a running one replaced by the program and the configuration that are on disk now, and says when the
// new one serves, or why the old one goes on. SIGUSR2 does the same without an answer (run.ts).

import { callAdmin, readTarget, refusalIn } from './admin-client.ts';
import { type AdminOptions } from './admin-target.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, out } from './output.ts';

/** Longer than the running one waits for its successor (app/handover.ts). */
const ANSWER_MAX_MS = 75_000;

export async function restart(options: AdminOptions): Promise<ExitCode> {
  const target = readTarget(options);
  if (target === null) return exitCodes.no;
  const answer = await callAdmin(target, 'POST', '/api/v1/restart', { outcome: 'string' }, ANSWER_MAX_MS);
  if (!answer.ok || answer.status !== 200) {
    complain(`pointsman restart: ${answer.ok ? refusalIn(answer.body) : answer.why}`);
    return exitCodes.no;
  }
  const { pid } = answer.body as { readonly pid: number };
  out(`process ${pid} has taken over; the one before lets its sessions end`);
  return exitCodes.done;
}
