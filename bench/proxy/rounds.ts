// The turns: each round goes through the scenarios, and in each through all contenders, so that what disturbs the machine
// for a while disturbs all of them. Called by run.ts.

import { setTimeout as after } from 'node:timers/promises';
import { cpuNs } from './cpu.ts';
import {
  type Addresses,
  type Contender,
  type Context,
  type Measurement,
  type RunningContender,
  type Sample,
  type Scale,
  type Scenario,
  type ScenarioResult,
} from './model.ts';
import { BASE_LINE } from './contenders/index.ts';
import { type Services } from './peers/services.ts';
import { median } from './stats.ts';

/** For the end of a load to be done with: connections that close, buffers that are given back. */
const SETTLE_MS = 100;

export interface Stage extends Context {
  readonly scale: Scale;
  readonly services: Services;
  readonly running: ReadonlyMap<Contender, RunningContender>;
}

export interface Rounds {
  readonly rounds: number;
  readonly scenarios: readonly Scenario[];
}

/** Names the contender or the scenario in whatever the task throws. */
export async function titled<T>(title: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (cause) {
    throw new Error(`${title}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** Throws, and names scenario, round and contender, when a load fails or a proxy dies. */
export async function measureRounds(
  plan: Rounds,
  stage: Stage,
  tell: (line: string) => void,
): Promise<readonly ScenarioResult[]> {
  const taken = new Map(plan.scenarios.map(scenario => [scenario, new Map<Contender, Sample[]>()]));
  for (let round = 0; round < plan.rounds; round += 1) {
    for (const [scenario, samples] of taken) {
      const title = `${scenario.name}, round ${round + 1}`;
      const turn = await measureTurn(stage, scenario, round, (contender, sample) =>
        tell(`${title}, ${contender.title}: ${oneLine(scenario, sample)}`),
      );
      for (const [contender, sample] of turn) {
        samples.set(contender, [
          ...(samples.get(contender) ?? []),
          withAdded(scenario, turn, contender, sample),
        ]);
      }
    }
  }
  return [...taken].map(([scenario, samples]) => ({
    scenario,
    measured: [...samples].map(([contender, of]) => ({ contender, samples: of })),
  }));
}

/** One sample of each contender; of a scenario that repeats itself, the medians of the repeats. */
async function measureTurn(
  stage: Stage,
  scenario: Scenario,
  round: number,
  tell: (contender: Contender, sample: Sample) => void,
): Promise<ReadonlyMap<Contender, Sample>> {
  const all = [...stage.running.keys()].filter(contender => takesPart(contender, scenario));
  const taken = new Map(all.map(contender => [contender, [] as Sample[]]));
  const repeats = scenario.repeats?.(stage.scale) ?? 1;
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    for (const contender of rotated(all, round * repeats + repeat)) {
      const title = `${scenario.name}, round ${round + 1}, ${contender.title}`;
      const sample = await titled(title, () => measureOne(stage, scenario, contender));
      taken.get(contender)?.push(sample);
      tell(contender, sample);
    }
  }
  return new Map([...taken].map(([contender, samples]) => [contender, medians(samples)]));
}

/** Figure by figure. */
export function medians(samples: readonly Sample[]): Sample {
  const keys = Object.keys(samples[0] ?? {});
  return Object.fromEntries(keys.map(key => [key, median(samples.flatMap(sample => sample[key] ?? []))]));
}

function takesPart(contender: Contender, scenario: Scenario): boolean {
  if (scenario.proxiesOnly && contender.name === BASE_LINE) return false;
  return (
    contender.serves.includes(scenario.service) && (contender.scenarios?.includes(scenario.name) ?? true)
  );
}

export function rotated<T>(all: readonly T[], by: number): readonly T[] {
  const first = all.length === 0 ? 0 : by % all.length;
  return [...all.slice(first), ...all.slice(0, first)];
}

/** The sample with what the proxy added to the direct one of the same turn. */
export function withAdded(
  { added }: Pick<Scenario, 'added'>,
  turn: ReadonlyMap<Contender, Sample>,
  contender: Contender,
  sample: Sample,
): Sample {
  const base = [...turn].find(([{ name }]) => name === BASE_LINE)?.[1];
  if (added === undefined || base === undefined || contender.name === BASE_LINE) return sample;
  const differences = Object.entries(added).map(([key, of]) => [
    key,
    (sample[of] ?? NaN) - (base[of] ?? NaN),
  ]);
  return { ...sample, ...Object.fromEntries(differences) };
}

async function measureOne(stage: Stage, scenario: Scenario, contender: Contender): Promise<Sample> {
  if (scenario.fresh !== true) return measureRunning(stage, scenario, stage.running.get(contender));
  const own: Addresses = new Map([...stage.services.addresses].filter(([name]) => name === scenario.service));
  const running = await contender.start(stage, own);
  try {
    return await measureRunning(stage, scenario, running);
  } finally {
    await running.stop();
  }
}

async function measureRunning(
  { children, directory, scale, services }: Stage,
  scenario: Scenario,
  running: RunningContender | undefined,
): Promise<Sample> {
  const target = running?.ports.get(scenario.service);
  if (running === undefined || target === undefined) throw new Error(`it does not serve ${scenario.service}`);
  const measurement: Measurement = {
    ...{ children, directory, scale, running, target },
    resetEchoes: () => services.resetEchoes(),
    withCpu: load => withCpu(running, load),
  };
  const sample = await scenario.measure(measurement);
  running.assertRunning();
  await after(SETTLE_MS);
  return sample;
}

async function withCpu<T>(
  { pid }: RunningContender,
  load: () => Promise<T>,
): Promise<{ result: T; cpuNs: number | null }> {
  if (pid === null) return { result: await load(), cpuNs: null };
  const before = cpuNs(pid);
  const result = await load();
  await after(SETTLE_MS);
  return { result, cpuNs: cpuNs(pid) - before };
}

function oneLine({ figures }: Scenario, sample: Sample): string {
  return figures
    .flatMap(({ key, title, unit, digits }) => {
      const value = sample[key];
      return value === undefined ? [] : [`${title} ${value.toFixed(digits)}${unit === '' ? '' : ` ${unit}`}`];
    })
    .join(', ');
}
