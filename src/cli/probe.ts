// `pointsman probe URL`: asks one server once, exactly as a running Pointsman would, and prints what it says.
// Called by cli.ts; how a URL is read stands in probe-url.ts.

import { formatAddress } from '../core/address.ts';
import { systemClock } from '../core/clock.ts';
import { PointsmanError } from '../core/errors.ts';
import { createPostgresProber } from '../health/probers/postgres/prober.ts';
import { checkCodes } from '../health/result.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, out, table } from './output.ts';
import { readProbeUrl, type ProbeTarget } from './probe-url.ts';

export async function probe(url: string, asJson: boolean, timeoutMs: number): Promise<ExitCode> {
  process.title = 'pointsman probe'; // the URL in argv may carry a password
  let target: ProbeTarget;
  try {
    target = readProbeUrl(url, process.env['PGPASSWORD'], timeoutMs);
  } catch (thrown) {
    if (!(thrown instanceof PointsmanError)) throw thrown;
    complain(`pointsman probe: ${thrown.message}`);
    return exitCodes.usage;
  }
  const { address, check } = target;
  const startedAt = systemClock.now();
  const prober = createPostgresProber({ address, check, clock: systemClock })(() => undefined);
  const answer = await prober.probe();
  prober.close();
  const durationMs = Math.round((systemClock.now() - startedAt) * 10) / 10;
  const facts = answer.code === 'L7OK' ? answer.facts : null;
  const shown = {
    server: formatAddress(address),
    result: answer.code,
    detail: answer.detail,
    duration_ms: durationMs,
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
  if (asJson) out(JSON.stringify(shown, null, 2));
  else {
    const rows = Object.entries({ ...shown, result: `${answer.code}: ${checkCodes[answer.code].means}` });
    out(table(rows.map(([key, value]) => [key.replaceAll('_', ' '), value === null ? '-' : String(value)])));
  }
  return facts === null ? exitCodes.no : exitCodes.done;
}
