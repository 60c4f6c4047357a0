// Makes a failing scenario small: takes faults out, shortens them and the run, while the same rule still fails.
// Not clever, only patient: each try is a whole run, and their number is bounded. Called by simulate.ts.

import { type Rule } from './rules.ts';
import { type Fault, type Scenario } from './scenario.ts';
import { run } from './simulation.ts';

export interface Shrunk {
  readonly scenario: Scenario;
  readonly tries: number;
}

/** Resolves to the smallest scenario found that breaks `rule`, the given one if no smaller does. At most `maxTries` runs. */
export async function shrink(scenario: Scenario, rule: Rule, maxTries = 300): Promise<Shrunk> {
  let best = scenario;
  let tries = 0;
  const better = async (candidate: Scenario): Promise<boolean> => {
    if (tries >= maxTries) return false;
    tries += 1;
    const { violation } = await run(candidate);
    if (violation?.rule !== rule) return false;
    best = candidate;
    return true;
  };
  for (let improved = true; improved && tries < maxTries;) {
    improved = false;
    for (const smaller of candidatesOf(best)) {
      if (!(await better(smaller))) continue;
      improved = true;
      break;
    }
  }
  return { scenario: best, tries };
}

/** From bold to timid. */
function* candidatesOf(scenario: Scenario): Generator<Scenario> {
  const { setup, faults } = scenario;
  const withFaults = (list: readonly Fault[]): Scenario => ({ setup, faults: list });
  for (let size = faults.length >> 1; size >= 1; size >>= 1) {
    for (let start = 0; start < faults.length; start += size) {
      yield withFaults([...faults.slice(0, start), ...faults.slice(start + size)]);
    }
  }
  const durationMs = Math.round(setup.durationMs * 0.7);
  if (faults.every(({ atMs }) => atMs < durationMs)) yield { setup: { ...setup, durationMs }, faults };
  if (setup.clients > 1) yield { setup: { ...setup, clients: Math.ceil(setup.clients / 2) }, faults };
  if (setup.readers.length > 0) yield { setup: { ...setup, readers: setup.readers.slice(1) }, faults };
  if (setup.orchestrated && !setup.learned) yield { setup: { ...setup, orchestrated: false }, faults };
  for (const [index, fault] of faults.entries()) {
    const change = (changed: Partial<Fault>): Scenario =>
      withFaults(faults.map((other, at) => (at === index ? { ...fault, ...changed } : other)));
    if (fault.forMs > 20) yield change({ forMs: fault.forMs >> 1 });
    const earlier = Math.round(fault.atMs / 2);
    if (fault.atMs > 100 && earlier >= (faults[index - 1]?.atMs ?? 0)) yield change({ atMs: earlier });
  }
}
