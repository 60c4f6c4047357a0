// `pointsman status`: what a running Pointsman sees, as tables or as its own JSON, once or every second.
// Changes nothing and judges nothing: it prints /api/v1/state.

import { type StateJson } from '../admin/api.ts';
import { systemClock } from '../core/clock.ts';
import { callAdmin, readTarget, refusalIn } from './admin-client.ts';
import { type AdminOptions, type AdminTarget } from './admin-target.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, isRead, out, redraw } from './output.ts';
import { statusText } from './status-text.ts';

const WATCH_INTERVAL_MS = 1000;
const STATE = { version: 'string', backends: 'array', frontends: 'array' } as const;

export interface StatusOptions extends AdminOptions {
  readonly json: boolean;
  readonly watch: boolean;
}

export async function status(options: StatusOptions): Promise<ExitCode> {
  const target = readTarget(options);
  if (target === null) return exitCodes.no;
  if (!options.watch) {
    const { text, isAnswer } = await ask(target, options.json);
    (isAnswer ? out : complain)(text);
    return isAnswer ? exitCodes.done : exitCodes.no;
  }
  // Until it is interrupted, or nobody reads it: who watches wants to see it come back as well.
  while (isRead()) {
    const { text } = await ask(target, options.json);
    redraw(text);
    await new Promise<void>(resolve => void systemClock.schedule(WATCH_INTERVAL_MS, resolve));
  }
  return exitCodes.done;
}

async function ask(target: AdminTarget, asJson: boolean): Promise<{ text: string; isAnswer: boolean }> {
  const answer = await callAdmin(target, 'GET', '/api/v1/state', STATE);
  if (!answer.ok) return { text: `pointsman status: ${answer.why}`, isAnswer: false };
  if (answer.status !== 200) return { text: `pointsman status: ${refusalIn(answer.body)}`, isAnswer: false };
  const state = answer.body as StateJson;
  const text = asJson ? JSON.stringify(state, null, 2) : statusText(state, systemClock.wall());
  return { text, isAnswer: true };
}
