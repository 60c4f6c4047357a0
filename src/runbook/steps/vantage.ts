// Asks others, who see a backend from elsewhere, whether its primary is lost for them too.
// What their word means: guard.ts. Called by runner.ts.

import { z } from 'zod';
import { type Clock } from '../../core/clock.ts';
import { type RunbookConfig } from '../../config/schema.ts';
import { type SecondOpinion } from '../guard.ts';
import { sendRequest, type HttpAnswer } from './http.ts';

const ASK_MAX_MS = 3000;

/** As much of another Pointsman's state as is looked at. */
const stateSchema = z.object({
  backends: z.array(
    z.object({
      name: z.string(),
      primary: z.string().nullable(),
      servers: z.array(z.object({ name: z.string(), health: z.string() })),
    }),
  ),
});

export async function askOthers(
  backend: string,
  lost: string,
  { http, pointsmen }: RunbookConfig['confirm'],
  clock: Clock,
): Promise<readonly SecondOpinion[]> {
  const answers = [
    ...http.map(async url => byStatus(url, lost, await ask(url, clock))),
    ...pointsmen.map(async url => {
      const answer = await ask(`${url.replace(/\/$/, '')}/api/v1/state`, clock);
      return byState(url, backend, lost, answer);
    }),
  ];
  return Promise.all(answers);
}

async function ask(url: string, clock: Clock): Promise<HttpAnswer> {
  const request = sendRequest({ url, method: 'GET', headers: {}, body: null });
  const timer = clock.schedule(ASK_MAX_MS, () => request.cancel());
  const answer = await request.done;
  timer.cancel();
  return answer;
}

/** Without what may be secret in it. */
const nameOf = (url: string): string => {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
};

function byStatus(url: string, lost: string, answer: HttpAnswer): SecondOpinion {
  const who = nameOf(url);
  if (!answer.ok) return { kind: 'unknown', words: `${who} does not answer (${answer.why})` };
  if (answer.status === 200) return { kind: 'lost', words: `${who} confirms it` };
  return { kind: 'alive', words: `${who} says that ${lost} is not lost (status ${answer.status})` };
}

function byState(url: string, backend: string, lost: string, answer: HttpAnswer): SecondOpinion {
  const who = `the Pointsman at ${nameOf(url)}`;
  const unknown = (why: string): SecondOpinion => ({ kind: 'unknown', words: `${who} ${why}` });
  if (!answer.ok) return unknown(`does not answer (${answer.why})`);
  let read: z.ZodSafeParseResult<z.output<typeof stateSchema>>;
  try {
    read = stateSchema.safeParse(JSON.parse(answer.body));
  } catch {
    return unknown('answers with what is no JSON');
  }
  const view = read.data?.backends.find(({ name }) => name === backend);
  const server = view?.servers.find(({ name }) => name === lost);
  if (view === undefined || server === undefined) return unknown(`knows no ${backend}/${lost}`);
  if (server.health === 'down') return { kind: 'lost', words: `${who} confirms it` };
  if (server.health === 'up') return { kind: 'alive', words: `${who} still sees ${lost}` };
  return unknown(`does not know yet how ${lost} is`);
}
