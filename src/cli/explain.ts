// `pointsman explain BACKEND [--if SERVER=STATE …]`: why a backend is as it is, or what would happen to it, in words.
// The answer is the running one's (topology/explain.ts); this prints it.

import { type ExplanationJson } from '../admin/explain.ts';
import { formatDuration } from '../config/units.ts';
import { callAdmin, readTarget, refusalIn } from './admin-client.ts';
import { type AdminOptions } from './admin-target.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, out } from './output.ts';

const EXPLANATION = {
  says: 'string',
  assumptions: 'array',
  steps: 'array',
  servers: 'array',
  frontends: 'array',
  notice: 'array',
  takeover: 'array',
} as const;

export async function explain(
  backend: string,
  assumptions: readonly string[],
  asJson: boolean,
  options: AdminOptions,
): Promise<ExitCode> {
  const target = readTarget(options);
  if (target === null) return exitCodes.no;
  const query = new URLSearchParams();
  for (const text of assumptions) query.append('if', text);
  const path = `/api/v1/backends/${encodeURIComponent(backend)}/explain?${query.toString()}`;
  const answer = await callAdmin(target, 'GET', path, EXPLANATION);
  if (!answer.ok) {
    complain(`pointsman explain: ${answer.why}`);
    return exitCodes.no;
  }
  if (answer.status !== 200) {
    complain(`pointsman explain: ${refusalIn(answer.body)}`);
    return exitCodes.no;
  }
  out(asJson ? JSON.stringify(answer.body, null, 2) : explanationText(answer.body as ExplanationJson));
  return exitCodes.done;
}

export function explanationText(explanation: ExplanationJson): string {
  const { assumptions, says, steps, orchestrator, disagreement } = explanation;
  const given = assumptions.map(({ server, is }) => `${server} is ${is}`).join(' and ');
  const [first, ...more] = steps;
  const section = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : ['', title, ...lines.map(line => `  ${line}`)];
  return [
    ...(given === '' ? [] : [`If ${given}:`]),
    says,
    ...(first === undefined || more.length === 0 ? [] : section('In time:', steps.map(stepText))),
    ...section(
      'Servers:',
      explanation.servers.map(server => server.says),
    ),
    ...section('Orchestrator:', orchestrator === null ? [] : [orchestrator]),
    ...section('Disagreement:', disagreement === null ? [] : [disagreement]),
    ...section(
      'Frontends:',
      explanation.frontends.map(frontend => frontend.says),
    ),
    ...section('How soon it is noticed:', explanation.notice),
    ...section('For another to take over:', explanation.takeover),
  ].join('\n');
}

function stepText({ after_ms: afterMs, primary, reasons }: ExplanationJson['steps'][number]): string {
  const when = afterMs === 0 ? 'at once' : `within ${formatDuration(afterMs)}`;
  return `${when}: ${primary === null ? 'no primary' : `primary ${primary}`}: ${reasons.join('; ')}`;
}
