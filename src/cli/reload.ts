// `pointsman reload`: has a running one read its configuration anew, and prints what was changed, or why nothing was.
// What a reload does stands in app/reload.ts; signals do the same without an answer (run.ts).

import { formatIssue, type Issue } from '../config/load.ts';
import { callAdmin, readTarget, refusalIn } from './admin-client.ts';
import { type AdminOptions } from './admin-target.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, out } from './output.ts';

interface Answer {
  readonly generation: number;
  readonly changes: readonly string[];
  readonly warnings: readonly Issue[];
}

const ANSWER = { outcome: 'string', changes: 'array', warnings: 'array' } as const;

export async function reload(options: AdminOptions): Promise<ExitCode> {
  const target = readTarget(options);
  if (target === null) return exitCodes.no;
  const answer = await callAdmin(target, 'POST', '/api/v1/reload', ANSWER);
  if (!answer.ok) {
    complain(`pointsman reload: ${answer.why}`);
    return exitCodes.no;
  }
  if (answer.status !== 200) {
    for (const issue of issuesIn(answer.body)) complain(formatIssue(issue));
    complain(`pointsman reload: ${refusalIn(answer.body)}`);
    return exitCodes.no;
  }
  const { generation, changes, warnings } = answer.body as Answer;
  for (const warning of warnings) complain(`${formatIssue(warning)} (warning)`);
  if (changes.length === 0) out(`nothing has changed: configuration ${generation} goes on`);
  else out(`configuration ${generation} is in force`);
  for (const change of changes) out(`  ${change}`);
  return exitCodes.done;
}

function issuesIn(body: unknown): readonly Issue[] {
  const issues = typeof body === 'object' && body !== null && 'issues' in body ? body.issues : null;
  return Array.isArray(issues) ? (issues as readonly Issue[]) : [];
}
