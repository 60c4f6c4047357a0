// What the subject has to reach, as a ratio to the reference in the same run, and whether it did.
// Pure. Called by reports.

import { REFERENCE, SUBJECT } from './contenders/index.ts';
import { type ScenarioResult } from './model.ts';
import { median } from './stats.ts';

export interface Target {
  readonly title: string;
  readonly scenario: string;
  readonly figure: string;
  readonly compare: '≥' | '≤';
  readonly limit: number;
}

const target = (
  title: string,
  scenario: string,
  figure: string,
  compare: Target['compare'],
  limit: number,
): Target => ({ title, scenario, figure, compare, limit });

export const targets: readonly Target[] = [
  target('pgbench select-only, 16 clients: transactions/s', 'select-16', 'tps', '≥', 1),
  target('pgbench select-only, 64 clients: transactions/s', 'select-64', 'tps', '≥', 1),
  target('proxy CPU per transaction, 16 clients', 'select-16', 'cpuUs', '≤', 0.9),
  target('proxy CPU per transaction, 64 clients', 'select-64', 'cpuUs', '≤', 0.9),
  target('bulk throughput, client to server', 'bulk-up', 'gbits', '≥', 1.3),
  target('bulk throughput, server to client', 'bulk-down', 'gbits', '≥', 1.3),
  target('HTTP keep-alive: requests/s', 'http', 'perSecond', '≥', 1),
  target('new connections/s', 'http-close', 'perSecond', '≥', 0.95),
  target('proxy CPU per new connection', 'http-close', 'cpuUs', '≤', 1.05),
  target('added p99 latency at a fixed rate', 'latency', 'p99Added', '≤', 1),
  target('memory per idle connection', 'memory', 'bytesEach', '≤', 0.4),
];

export interface Verdict {
  readonly target: Target;
  readonly subject: number;
  readonly reference: number;
  /** NaN where one of the two isn't above zero: a proxy adds something to a latency, so the noise was larger than that. */
  readonly ratio: number;
  /** `null` where the ratio is NaN. */
  readonly reached: boolean | null;
}

/** Of the targets that were measured for both. */
export function verdicts(results: readonly ScenarioResult[]): readonly Verdict[] {
  return targets.flatMap(wanted => {
    const subject = medianOf(results, wanted.scenario, SUBJECT, wanted.figure);
    const reference = medianOf(results, wanted.scenario, REFERENCE, wanted.figure);
    if (Number.isNaN(subject) || Number.isNaN(reference)) return [];
    const ratio = subject > 0 && reference > 0 ? subject / reference : NaN;
    return [{ target: wanted, subject, reference, ratio, reached: isReached(wanted, ratio) }];
  });
}

function isReached({ compare, limit }: Target, ratio: number): boolean | null {
  if (Number.isNaN(ratio)) return null;
  return compare === '≥' ? ratio >= limit : ratio <= limit;
}

/** NaN where it wasn't measured. */
export function medianOf(
  results: readonly ScenarioResult[],
  scenario: string,
  contender: string,
  figure: string,
): number {
  const samples = results
    .find(result => result.scenario.name === scenario)
    ?.measured.find(measured => measured.contender.name === contender)?.samples;
  return median((samples ?? []).flatMap(sample => sample[figure] ?? []));
}
