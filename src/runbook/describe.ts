// A book on paper: every step in order, with the very command, statement or request that it would be, and what happens to
// traffic meanwhile. Pure. For `pointsman runbook plan`; the caller hides what came out of the environment.

import { formatDuration } from '../config/units.ts';
import { type BackendConfig, type RunbookConfig, type StepConfig } from '../config/schema.ts';
import { isIpAddress } from '../config/addresses.ts';
import { bookNames, type BookName, type PlannedStep } from './model.ts';
import { planOf } from './plan.ts';
import { targetOf } from './refusals.ts';
import { fill, wordsOf } from './variables.ts';

const whens: Readonly<Record<BookName, (runbook: RunbookConfig) => string>> = {
  on_primary_lost: ({ onPrimaryLost, lostForMs, minIntervalMs, maxPerDay }) =>
    onPrimaryLost?.trigger === 'manual'
      ? 'by pointsman runbook start, when the primary is lost'
      : `when the primary is down for ${formatDuration(lostForMs)} and nobody still sees it; at most every ${formatDuration(minIntervalMs)} and ${maxPerDay} times a day`,
  on_promoted: () => 'when another server has become the primary without a book',
  on_primary_returned: () => 'when the server that lost its role is up again',
  failback: ({ failback }) =>
    failback?.trigger === 'automatic' ? 'by itself, once that server is up again' : 'by pointsman failback',
  switchover: () => 'by pointsman switchover',
};

const stages: Readonly<Record<PlannedStep['stage'], string>> = {
  prepare: 'traffic goes on',
  change: 'traffic waits',
  await: 'traffic waits',
  after: 'the new primary serves',
};

export interface Papers {
  readonly name: string;
  readonly runbook: RunbookConfig;
  readonly backend: BackendConfig;
}

/** The books that there are, or the one that is asked for; empty where there is none. */
export function planText({ name, runbook, backend }: Papers, only: BookName | null): readonly string[] {
  return bookNames
    .filter(book => only === null || book === only)
    .flatMap(book => {
      const plan = planOf(book, runbook);
      if (plan === null) return [];
      const to = targetOf(book, null, runbook);
      const [other, ...more] = Object.keys(backend.servers).filter(server => server !== to);
      // With two servers it is clear who the other one is.
      const from = to === null || more.length > 0 ? null : (other ?? null);
      const heading = `${book}${to === null ? '' : ` (${to} becomes the primary)`}: ${whens[book](runbook)}`;
      const width = Math.max(...plan.steps.map(step => step.name.length));
      const told = { name, runbook, backend, book, from, to };
      const lines = plan.steps.flatMap((step, index) => {
        const [first = '', ...rest] = workOf(step, told);
        const label = `${String(index + 1).padStart(3)}. ${step.name.padEnd(width)}`;
        return [
          `${label}  [${stages[step.stage]}] ${first}`,
          ...rest.map(line => `${' '.repeat(width + 7)}${line}`),
        ];
      });
      return [heading, ...lines, ''];
    });
}

interface Told extends Papers {
  readonly book: BookName;
  readonly from: string | null;
  readonly to: string | null;
}

function workOf({ name, kind }: PlannedStep, told: Told): readonly string[] {
  const { runbook, to } = told;
  if (kind === 'drain') {
    const planned = told.book === 'failback' || told.book === 'switchover' ? runbook[told.book] : null;
    const limit = formatDuration(planned?.drainTimeoutMs ?? 0);
    return [`each session between two transactions, what is left after ${limit} amid one`];
  }
  if (kind === 'await') return [`until ${to ?? 'another server'} says itself that it is writable`];
  const step = runbook.steps[name];
  return step === undefined ? ['there is no such step'] : [...actionOf(step, told, name), limitsOf(step)];
}

function actionOf(
  { action, env }: StepConfig,
  { name, backend, book, from, to }: Told,
  step: string,
): readonly string[] {
  const servers = Object.entries(backend.servers).map(([server, { address }]) => ({
    name: server,
    address,
    host: isIpAddress(address.host) ? null : address.host,
    lastAnswer: null,
  }));
  const known = wordsOf({ backend: name, book, run: 0, step, epoch: 0, from, to, view: () => ({ servers }) });
  // What is only known when it runs stays as it is written.
  const words = (word: string): string | null =>
    ['run', 'epoch'].includes(word) || /position$/.test(word) ? null : known(word) || null;
  const filled = (text: string): string => fill(text, words);
  const environment = Object.keys(env).map(variable => `${variable}=***`);
  const more = environment.length === 0 ? [] : [`environment: ${environment.join(' ')}`];
  switch (action.kind) {
    case 'exec':
      return [`exec: ${action.argv.map(filled).map(shellQuoted).join(' ')}`, ...more];
    case 'shell':
      return [`shell: ${action.line}`, ...more];
    case 'sql':
      return [sqlText(action, filled)];
    case 'http':
      return [httpText(action, filled)];
    case 'wait': {
      const { probe, sql, http, everyMs } = action;
      const what =
        sql !== null
          ? sqlText(sql, filled)
          : http !== null
            ? httpText(http, filled)
            : `${filled(probe?.server ?? '')} is ${probe?.state ?? ''}`;
      return [`wait, asking every ${formatDuration(everyMs)}: ${what}`];
    }
    case 'restore':
      return [
        `restore: the newest of ${action.files} not older than ${formatDuration(action.maxAgeMs)}, by: ${action.command.map(filled).map(shellQuoted).join(' ')}`,
        ...more,
      ];
  }
}

type Filled = (text: string) => string;

function sqlText(
  {
    server,
    query,
    expect,
    same,
  }: Pick<Extract<StepConfig['action'], { kind: 'sql' }>, 'server' | 'query' | 'expect' | 'same'>,
  filled: Filled,
): string {
  const wanted = expect === null ? '' : `, which must give ${JSON.stringify(filled(expect))}`;
  const compared =
    same === null ? '' : `, which must give the same as on ${filled(same.server)}: ${filled(same.query)}`;
  return `sql on ${filled(server)}: ${filled(query)}${wanted}${compared}`;
}

function httpText(
  {
    method,
    url,
    body,
    expectStatus,
  }: Pick<Extract<StepConfig['action'], { kind: 'http' }>, 'method' | 'url' | 'body' | 'expectStatus'>,
  filled: Filled,
): string {
  const sent = body === null ? '' : ` with ${filled(body)}`;
  return `${method} ${filled(url)}${sent}, which must answer ${expectStatus.join(' or ')}`;
}

function limitsOf({ timeoutMs, retries, backoffMs, isIdempotent }: StepConfig): string {
  const again =
    retries === 0
      ? 'not tried again'
      : `tried again ${retries} times, first after ${formatDuration(backoffMs)}`;
  const killed = isIdempotent ? 'repeated' : 'an operator is asked';
  return `at most ${formatDuration(timeoutMs)}; ${again}; if Pointsman is killed meanwhile: ${killed}`;
}

const shellQuoted = (text: string): string =>
  /^[\w@%+=:,./{}-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
