// `pointsman probe URL`: asks one server once, exactly as a running Pointsman would, and prints what it says.
// Called by cli.ts; how a URL is read stands in probe-url.ts.

import { formatAddress } from '../core/address.ts';
import { systemClock } from '../core/clock.ts';
import { PointsmanError } from '../core/errors.ts';
import { type ProbeAnswer } from '../health/prober.ts';
import { createProber } from '../health/probers/create.ts';
import { checkCodes, hasPassed, type Outcome } from '../health/result.ts';
import { hasRoles } from '../topology/model.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, out, table } from './output.ts';
import { readProbeUrl, type ProbeTarget } from './probe-url.ts';

const healthAfter: Readonly<Record<Outcome, string>> = { pass: 'up', fail: 'down', inconclusive: 'unknown' };

export async function probe(url: string, asJson: boolean, timeoutMs: number): Promise<ExitCode> {
  process.title = 'pointsman probe'; // the URL in argv may carry a password
  let target: ProbeTarget;
  try {
    target = readProbeUrl(url, process.env, timeoutMs);
  } catch (thrown) {
    if (!(thrown instanceof PointsmanError)) throw thrown;
    complain(`pointsman probe: ${thrown.message}`);
    return exitCodes.usage;
  }
  const { address, backend } = target;
  const startedAt = systemClock.now();
  const prober = createProber(backend, { address }, systemClock)(() => undefined);
  const answer = await prober.probe();
  prober.close();
  const durationMs = Math.round((systemClock.now() - startedAt) * 10) / 10;
  const shown = {
    server: formatAddress(address),
    health: healthAfter[checkCodes[answer.code].outcome],
    result: answer.code,
    detail: answer.detail,
    duration_ms: durationMs,
    ...(hasRoles(backend.protocol) ? told(answer) : {}),
  };
  if (asJson) out(JSON.stringify(shown, null, 2));
  else {
    const rows = Object.entries({ ...shown, result: `${answer.code}: ${checkCodes[answer.code].means}` });
    out(table(rows.map(([key, value]) => [key.replaceAll('_', ' '), value === null ? '-' : String(value)])));
  }
  return hasPassed(answer) ? exitCodes.done : exitCodes.no;
}

/** What a server with a role said of itself. */
function told(answer: ProbeAnswer): Readonly<Record<string, string | number | boolean | null>> {
  const facts = hasPassed(answer) ? answer.facts : null;
  return {
    role: facts?.role ?? 'unknown',
    writable: facts?.writable ?? false,
    lag_seconds: facts?.lagSeconds ?? null,
    replicating: facts?.replicating ?? null,
    upstream: facts?.upstream ?? null,
    position: facts?.position ?? null,
    timeline: facts?.timeline ?? null,
    system_id: facts?.systemId ?? null,
    version: facts?.version ?? null,
  };
}
