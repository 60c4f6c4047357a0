// The tables of `pointsman status`, from the state as the API tells it. Pure.
// Called by status.ts.

import { type StateJson } from '../admin/api.ts';
import { hasRoles } from '../topology/model.ts';
import { table } from './output.ts';

type BackendJson = StateJson['backends'][number];
type ServerJson = BackendJson['servers'][number];

/** `now`: milliseconds since the epoch, to tell how long ago a check was. */
export function statusText(
  { version, started_at: since, config, backends, frontends }: StateJson,
  now: number,
): string {
  const ports = table([
    ['FRONTEND', 'BIND', 'BACKEND', 'ROUTE', 'SESSIONS', 'WAITING'],
    ...frontends.map(({ name, bind, backend, route, sessions, held, leaving }) => [
      name,
      leaving ? 'closed' : bind,
      backend,
      route,
      String(sessions),
      String(held),
    ]),
  ]);
  const parts = [
    `pointsman ${version}, since ${since}${configText(config)}`,
    ...backends.map(backend => backendText(backend, now)),
    [ports, ...unusedLines(frontends)].join('\n'),
  ];
  return parts.join('\n\n');
}

/** Nothing while it is that of the start. */
function configText({ generation, applied_at: since, last_reload: last }: StateJson['config']): string {
  const failed = last !== null && last.outcome !== 'applied' && last.outcome !== 'unchanged';
  const inForce = generation === 1 ? '' : `; configuration ${generation}, since ${since}`;
  return failed
    ? `${inForce}\nLAST RELOAD (${last.at}) CHANGED NOTHING: ${last.outcome}; the log says why`
    : inForce;
}

/** Why servers get no readers: what else an operator would have to guess. */
const unusedLines = (frontends: StateJson['frontends']): readonly string[] =>
  frontends.flatMap(({ name, unused }) =>
    unused.map(({ server, why }) => `  ${name}: no new sessions to ${server}: ${why}`),
  );

function backendText(backend: BackendJson, now: number): string {
  const { name, protocol, primary, epoch, reasons, orchestrator, notes, disagreement, servers } = backend;
  const head = hasRoles(protocol)
    ? `${name} (${protocol}): ${primary === null ? 'NO PRIMARY' : `primary ${primary}`}, epoch ${epoch}`
    : `${name} (${protocol}): ${servers.filter(({ health }) => health === 'up').length} of ${servers.length} up`;
  const lines = [
    head,
    ...reasons.map(reason => `  ${reason}`),
    ...(backend.split_brain ? ['  SPLIT BRAIN: several servers claim to be writable'] : []),
    ...(orchestrator === null ? [] : [`  ${orchestratorText(orchestrator)}`]),
    ...runbookLines(backend.runbook).map(line => `  ${line}`),
    ...notes.map(note => `  NOTE: ${note}`),
    ...(disagreement === null ? [] : [`  DISAGREEMENT: ${disagreement}`]),
    ...servers.flatMap(server =>
      server.faults.map(({ code, what }) => `  FAULT of ${server.name}: ${code}: ${what}`),
    ),
    ...(hasRoles(protocol) ? withRoles(servers, now) : withoutRoles(servers, now))
      .split('\n')
      .map(line => `  ${line}`),
  ];
  return lines.join('\n');
}

function orchestratorText({ name, says, passive }: NonNullable<BackendJson['orchestrator']>): string {
  if (says === null) return `orchestrator: ${name}: silent`;
  return `orchestrator: ${says}${passive ? ' (it doesn’t act now)' : ''}`;
}

/** What is being done, what has stopped and why, who is kept out by it. */
function runbookLines(runbook: BackendJson['runbook']): readonly string[] {
  if (runbook === null) return [];
  const { run, waits_for: waits, barred, last } = runbook;
  const barredLine = barred.length === 0 ? [] : [`BARRED by a runbook: ${barred.join(', ')}`];
  if (run !== null) return [runText(run), ...barredLine];
  const failed = last !== null && last.outcome !== 'done';
  return [
    ...(waits === null ? [] : [`runbook waits: ${waits}`]),
    ...(failed
      ? [`LAST RUNBOOK (${last.book}, ${last.ended_at}): ${last.outcome}${because(last.reason)}`]
      : []),
    ...barredLine,
  ];
}

function runText(run: NonNullable<NonNullable<BackendJson['runbook']>['run']>): string {
  const { book, from, to, status, step, step_number: number, of, attempt, age_seconds: age, reason } = run;
  const way = `${from ?? 'nobody'} to ${to ?? 'nobody'}`;
  const where =
    step === null ? '' : `, step ${number} of ${of}: ${step}${attempt > 1 ? ` (attempt ${attempt})` : ''}`;
  const state = { running: 'running', stopped: 'STOPPED', asking: 'ASKING' }[status];
  return `RUNBOOK ${book}, ${way}: ${state} for ${age.toFixed(1)} s${where}${because(reason)}`;
}

const because = (reason: string | null): string => (reason === null ? '' : `: ${reason}`);

const sessionsText = ({ sessions, circuit }: ServerJson): string =>
  circuit === null || circuit === 'closed' ? String(sessions) : `${sessions} (circuit ${circuit})`;

const withRoles = (servers: readonly ServerJson[], now: number): string =>
  table([
    ['SERVER', 'ADDRESS', 'HEALTH', 'ROLE', 'WRITABLE', 'LAG', 'ADMIN', 'SESSIONS', 'LAST CHECK'],
    ...servers.map(server => [
      server.name,
      server.address,
      server.health,
      server.role,
      server.writable ? 'yes' : 'no',
      server.lag_seconds === null ? '-' : `${server.lag_seconds} s`,
      server.admin,
      sessionsText(server),
      checkText(server, now),
    ]),
  ]);

const withoutRoles = (servers: readonly ServerJson[], now: number): string =>
  table([
    ['SERVER', 'ADDRESS', 'HEALTH', 'ADMIN', 'SESSIONS', 'LAST CHECK'],
    ...servers.map(server => [
      server.name,
      server.address,
      server.health,
      server.admin,
      sessionsText(server),
      checkText(server, now),
    ]),
  ]);

function checkText({ last_check: check }: ServerJson, now: number): string {
  if (check === null) return 'never';
  const ago = Math.max(0, (now - Date.parse(check.at)) / 1000).toFixed(1);
  return `${check.code} ${ago} s ago: ${check.detail}`;
}
