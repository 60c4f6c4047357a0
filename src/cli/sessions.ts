// `pointsman sessions`: who is joined to which server, so that whoever sees a connection in a database (pg_stat_activity's
// client_port, MySQL's processlist) finds the client behind it. `pointsman close SESSION` ends one.
// Both ask a running one (admin/sessions.ts).

import { type SessionsJson } from '../admin/sessions.ts';
import { formatDuration } from '../config/units.ts';
import { callAdmin, readTarget, refusalIn } from './admin-client.ts';
import { type AdminOptions } from './admin-target.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, out, table } from './output.ts';
import { adviceFor } from './operate.ts';

const LIST = { sessions: 'array' } as const;
const CLOSED = { closed: 'boolean' } as const;

export interface SessionsOptions extends AdminOptions {
  readonly client?: string | undefined;
  readonly serverPort?: number | undefined;
  readonly frontend?: string | undefined;
  readonly backend?: string | undefined;
  readonly server?: string | undefined;
  readonly limit?: number | undefined;
  readonly json: boolean;
}

export async function sessions(options: SessionsOptions): Promise<ExitCode> {
  const target = readTarget(options);
  if (target === null) return exitCodes.no;
  const query = new URLSearchParams();
  const { client, serverPort, frontend, backend, server, limit } = options;
  for (const [key, value] of Object.entries({
    client,
    server_port: serverPort,
    frontend,
    backend,
    server,
    limit,
  })) {
    if (value !== undefined) query.set(key, String(value));
  }
  const answer = await callAdmin(target, 'GET', `/api/v1/sessions?${query.toString()}`, LIST);
  if (!answer.ok || answer.status !== 200) {
    complain(`pointsman sessions: ${answer.ok ? refusalIn(answer.body) : answer.why}`);
    return exitCodes.no;
  }
  out(options.json ? JSON.stringify(answer.body, null, 2) : sessionsText(answer.body as SessionsJson));
  return exitCodes.done;
}

export function sessionsText({ sessions: shown, matched, silent_workers: silent }: SessionsJson): string {
  const lines = [
    ['SESSION', 'CLIENT', 'BY', 'FRONTEND', 'SERVER', 'SERVER SEES', 'AGE', 'IDLE', 'UP', 'DOWN'],
    ...shown.map(session => [
      session.id,
      session.client,
      // Only where it isn't the client itself: a proxy before us that announced it.
      session.peer === session.client ? '-' : (session.peer ?? '-'),
      session.frontend,
      `${session.backend}/${session.server}`,
      session.local ?? '-',
      formatDuration(session.age_ms),
      formatDuration(session.idle_ms),
      String(session.bytes_up),
      String(session.bytes_down),
    ]),
  ];
  const rest = matched - shown.length;
  return [
    shown.length === 0 ? 'no sessions' : table(lines),
    ...(rest > 0 ? [`and ${rest} more: ask for fewer, or raise --limit`] : []),
    ...(silent > 0
      ? [
          `${silent} worker ${silent === 1 ? 'thread' : 'threads'} gave no answer: the sessions there are missing`,
        ]
      : []),
  ].join('\n');
}

export async function closeSession(id: string, options: AdminOptions): Promise<ExitCode> {
  const target = readTarget(options);
  if (target === null) return exitCodes.no;
  const path = `/api/v1/sessions/${encodeURIComponent(id)}/close`;
  const answer = await callAdmin(target, 'POST', path, CLOSED);
  if (answer.ok && answer.status === 200) {
    out(`${id}: closed`);
    return exitCodes.done;
  }
  const why = answer.ok ? `${refusalIn(answer.body)}${adviceFor(answer.status)}` : answer.why;
  complain(`pointsman close: ${why}`);
  return exitCodes.no;
}
