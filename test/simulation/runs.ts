// Runs one scenario after the other and tells what came of it; a failing one is made small and written as JSON, which
// `--replay` plays again. Called by simulate.ts.

import { readFileSync } from 'node:fs';
import { type Rule } from './rules.ts';
import { generate, type Scenario } from './scenario.ts';
import { shrink } from './shrink.ts';
import { run, type RunResult } from './simulation.ts';

const PROGRESS_MS = 10_000;

export interface Wanted {
  readonly seeds: number;
  readonly from: number;
  /** Enough when so many steps are taken. */
  readonly steps: number;
  /** A file with one scenario. */
  readonly replay: string | null;
}

type Write = (text: string) => void;

/** The scenarios to run, each with its name. */
function* scenarios({ seeds, from, replay }: Wanted): Generator<readonly [string, Scenario]> {
  if (replay !== null) {
    yield [replay, JSON.parse(readFileSync(replay, 'utf8')) as Scenario];
    return;
  }
  for (let seed = from; seed < from + seeds; seed += 1) yield [`seed ${seed}`, generate(seed)];
}

/** `rule`: only its violations count, and the first is enough. Resolves to the number of violations. */
export async function runAll(wanted: Wanted, rule: Rule | null, write: Write): Promise<number> {
  const started = performance.now();
  let shownAt = started;
  const sum = { steps: 0, runs: 0, violations: 0, changes: 0, restarts: 0, acknowledged: 0 };
  const summary = (): string => {
    const seconds = (performance.now() - started) / 1000;
    return `${sum.steps} steps in ${sum.runs} runs, ${sum.violations} violations; ${Math.round(sum.steps / seconds)} steps/s, ${sum.changes} changes of the primary, ${sum.restarts} restarts, ${sum.acknowledged} acknowledged writes`;
  };
  for (const [name, scenario] of scenarios(wanted)) {
    const result = await run(scenario, rule === null ? {} : { rule });
    sum.steps += result.steps;
    sum.runs += 1;
    sum.changes += result.changes;
    sum.restarts += result.restarts;
    sum.acknowledged += result.tally.acknowledged;
    if (result.violation !== null) {
      sum.violations += 1;
      await tell(name, scenario, result, rule === null && wanted.replay === null, write);
      if (rule !== null) break;
    }
    if (sum.steps >= wanted.steps) break;
    if (performance.now() - shownAt > PROGRESS_MS) {
      shownAt = performance.now();
      write(`${name}: ${summary()}`);
    }
  }
  write(summary());
  return sum.violations;
}

async function tell(
  name: string,
  scenario: Scenario,
  { violation }: RunResult,
  shrinks: boolean,
  write: Write,
): Promise<void> {
  if (violation === null) return;
  const { rule, atMs, what } = violation;
  write(`${name}: rule ${rule} is broken after ${Math.round(atMs)} ms: ${what}`);
  if (!shrinks) return;
  const { scenario: small, tries } = await shrink(scenario, rule);
  write(
    `made small in ${tries} tries, from ${scenario.faults.length} faults to ${small.faults.length}; for --replay:`,
  );
  write(JSON.stringify(small));
}
