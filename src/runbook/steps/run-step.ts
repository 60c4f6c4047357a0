// Does one attempt of a step: a program, a statement, a request, a wait, a restore. The table from kinds to what does them,
// with the time limit that all share and what must not be shown taken out. Called by runner.ts; decides nothing else.

import {
  type BackendConfig,
  type RunbookConfig,
  type StepAction,
  type StepConfig,
} from '../../config/schema.ts';
import { describeError } from '../../core/errors.ts';
import { truncate } from '../../core/limits.ts';
import { type RunningStep, type StepContext, type StepResult } from '../model.ts';
import { redactor, secretsOf } from '../redact.ts';
import { environmentOf, fill, unknownWords, wordsOf } from '../variables.ts';
import { sendRequest } from './http.ts';
import { runProgram, type Surroundings } from './processes.ts';
import { restore } from './restore.ts';
import { firstDifference, openSql, placeOf, type Rows, type SqlSession } from './sql.ts';

export interface StepDeps extends Surroundings {
  readonly backend: BackendConfig;
  readonly login: RunbookConfig['login'];
  /** What programs inherit. */
  readonly environment: Readonly<Record<string, string>>;
  /** Marks the processes of the step. */
  readonly key: string;
}

type Of<K> = Extract<StepAction, { kind: K }>;

/** Work that can be given up at any moment; what `stop` gives is called then. */
type Work = (attempt: Attempt) => Promise<StepResult>;

const good = (detail: string, output = ''): StepResult => ({ ok: true, detail, output });
const bad = (detail: string, output = ''): StepResult => ({ ok: false, detail, output });

/** One attempt: what there is to be ended when it is given up. */
class Attempt {
  readonly #enders = new Set<() => void>();
  isOver = false;

  /** Calls `end` when the attempt is given up, unless what it returns was called before. */
  owns(end: () => void): () => void {
    if (this.isOver) end();
    else this.#enders.add(end);
    return () => void this.#enders.delete(end);
  }

  end(): void {
    this.isOver = true;
    for (const end of this.#enders) end();
    this.#enders.clear();
  }

  async during({ done, cancel }: RunningStep): Promise<StepResult> {
    const forget = this.owns(cancel);
    const result = await done;
    forget();
    return result;
  }
}

export function runStep(step: StepConfig, context: StepContext, deps: StepDeps): RunningStep {
  const attempt = new Attempt();
  const redact = redactor(secretsOf(step, deps.login, deps.backend));
  let giveUp: (why: string) => void = () => undefined;
  const done = new Promise<StepResult>(resolve => {
    const finish = (result: StepResult): void => {
      timer.cancel();
      attempt.end();
      resolve({ ok: result.ok, detail: redact(result.detail), output: redact(result.output) });
    };
    giveUp = why => finish(bad(why));
    const timer = deps.clock.schedule(step.timeoutMs, () => {
      // Programs tell what they have written so far when they are ended; that is waited for.
      attempt.end();
      timedOut = true;
    });
    let timedOut = false;
    workOf(
      step,
      context,
      deps,
    )(attempt).then(
      result =>
        finish(timedOut ? bad(`it took longer than ${step.timeoutMs / 1000} s`, result.output) : result),
      (thrown: unknown) =>
        finish(
          bad(
            timedOut
              ? `it took longer than ${step.timeoutMs / 1000} s`
              : truncate(describeError(thrown).message),
          ),
        ),
    );
  });
  return { done, cancel: () => giveUp('it was given up') };
}

function workOf({ action, env }: StepConfig, context: StepContext, deps: StepDeps): Work {
  const words = wordsOf(context);
  const environment = { ...deps.environment, ...environmentOf(context), ...env };
  const program = (argv: readonly string[], stdin?: string): RunningStep => {
    const [command = '', ...args] = argv;
    const input = stdin === undefined ? {} : { stdin };
    return runProgram({ command, args, env: environment, key: deps.key, ...input }, deps);
  };
  switch (action.kind) {
    case 'exec': {
      const argv = action.argv.map(text => fill(text, words));
      return attempt => unknown(action.argv) ?? attempt.during(program(argv));
    }
    case 'shell':
      return attempt => attempt.during(program(['/bin/sh', '-c', action.line]));
    case 'sql':
      return attempt => askSql(action, context, deps, attempt);
    case 'http':
      return attempt => askHttp(action, context, attempt);
    case 'wait':
      return attempt => waitFor(action, context, deps, attempt);
    case 'restore':
      return attempt =>
        restore(action, { protocol: deps.backend.protocol, wall: () => deps.clock.wall() }, file => {
          const filled = action.command.map(text => fill(text, wordsOf(context, { file })));
          const named = action.command.some(text => text.includes('{{file}}'));
          return attempt.isOver
            ? Promise.resolve(bad('it was given up'))
            : attempt.during(program(filled, named ? undefined : file));
        });
  }
  function unknown(texts: readonly string[]): Promise<StepResult> | null {
    const found = texts.flatMap(text => unknownWords(text, words));
    return found.length === 0 ? null : Promise.resolve(bad(`${found.join(', ')} stands for nothing`));
  }
}

type SqlQuestion = Omit<Of<'sql'>, 'kind'>;
type HttpQuestion = Omit<Of<'http'>, 'kind'>;

async function askSql(
  question: SqlQuestion,
  context: StepContext,
  deps: StepDeps,
  attempt: Attempt,
): Promise<StepResult> {
  const words = wordsOf(context);
  const ask = async (server: string, query: string, database: string | null): Promise<Rows> => {
    const { login } = question;
    const place = placeOf(
      fill(server, words),
      { ...login, database: database ?? login.database },
      context.view(),
      deps,
    );
    const session: SqlSession = await openSql(place);
    const forget = attempt.owns(() => session.end());
    try {
      return await session.ask(fill(query, words));
    } finally {
      forget();
      session.end();
    }
  };
  const { server, query, expect, same } = question;
  const rows = await ask(server, query, null);
  const shown = rows.slice(0, ROWS_SHOWN_MAX).map(row => row.map(value => value ?? 'NULL').join(' | '));
  const output = truncate(shown.join('\n'), OUTPUT_SHOWN_MAX_CHARS);
  const first = rows[0]?.[0] ?? null;
  if (expect !== null && first !== fill(expect, words)) {
    return bad(`the answer is ${quoted(first)}, and ${quoted(fill(expect, words))} is expected`, output);
  }
  if (same === null) return good(rows.length === 0 ? 'done' : `it answers ${quoted(first)}`, output);
  const others = await ask(same.server, same.query, same.database);
  const difference = firstDifference(rows, others);
  const [one, other] = [fill(server, words), fill(same.server, words)];
  if (difference === null) return good(`${one} and ${other} agree (${rows.length} rows)`, output);
  return bad(`${one} and ${other} differ: ${difference}`, output);
}

const ROWS_SHOWN_MAX = 20;
const OUTPUT_SHOWN_MAX_CHARS = 2000;

const quoted = (value: string | null): string =>
  value === null ? 'nothing' : JSON.stringify(truncate(value));

async function askHttp(
  { url, method, headers, body, expect, expectStatus }: HttpQuestion,
  context: StepContext,
  attempt: Attempt,
): Promise<StepResult> {
  const words = wordsOf(context);
  const filled = Object.entries(headers).map(([name, value]) => [name, fill(value, words)] as const);
  const request = sendRequest({
    url: fill(url, words),
    method,
    headers: Object.fromEntries(filled),
    body: body === null ? null : fill(body, words),
  });
  const forget = attempt.owns(() => request.cancel());
  const answer = await request.done;
  forget();
  if (!answer.ok) return bad(answer.why);
  const output = truncate(answer.body, OUTPUT_SHOWN_MAX_CHARS);
  if (!expectStatus.includes(answer.status)) return bad(`it answers with status ${answer.status}`, output);
  if (expect !== null && !answer.body.includes(fill(expect, words))) {
    return bad(`the answer does not contain ${quoted(fill(expect, words))}`, output);
  }
  return good(`it answers with status ${answer.status}`, output);
}

/** Asks again and again; the limit of the step ends it. */
async function waitFor(
  action: Of<'wait'>,
  context: StepContext,
  deps: StepDeps,
  attempt: Attempt,
): Promise<StepResult> {
  let last = bad('it was not asked yet');
  let times = 0;
  while (!attempt.isOver) {
    times += 1;
    last = await once(action, context, deps, attempt);
    if (last.ok)
      return { ...last, detail: times === 1 ? last.detail : `${last.detail}, after ${times} questions` };
    await new Promise<void>(resolve => {
      const timer = deps.clock.schedule(action.everyMs, () => {
        forget();
        resolve();
      });
      const forget = attempt.owns(() => {
        timer.cancel();
        resolve();
      });
    });
  }
  return bad(last.detail, last.detail);
}

async function once(
  action: Of<'wait'>,
  context: StepContext,
  deps: StepDeps,
  attempt: Attempt,
): Promise<StepResult> {
  const { probe, sql, http } = action;
  try {
    if (sql !== null) return await askSql(sql, context, deps, attempt);
    if (http !== null) return await askHttp(http, context, attempt);
    return probe === null ? bad('nothing is waited for') : seen(probe, context);
  } catch (thrown) {
    return bad(truncate(describeError(thrown).message));
  }
}

function seen({ server, state }: NonNullable<Of<'wait'>['probe']>, context: StepContext): StepResult {
  const name = fill(server, wordsOf(context));
  const view = context.view().servers.find(each => each.name === name);
  if (view === undefined) return bad(`there is no server ${quoted(name)}`);
  const { health, result } = view;
  const facts = result !== null && 'facts' in result ? result.facts : null;
  const isSo = {
    up: health.kind === 'up' && facts !== null,
    down: health.kind === 'down',
    writable: health.kind === 'up' && facts !== null && facts.role === 'primary' && facts.writable,
    replica: health.kind === 'up' && facts !== null && facts.role === 'replica' && facts.replicating === true,
  }[state];
  return isSo
    ? good(`${name} is ${state}`)
    : bad(`${name} is not ${state}: ${result?.detail ?? 'not asked yet'}`);
}
