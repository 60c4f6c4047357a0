// `npm run bench`: the data plane beside its competitors. Starts real servers and every proxy, checks first that each
// hands on the right bytes, then measures all of them in turns and writes RESULTS.md, .json and .svg. See options.ts.

import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { describeError } from '../../src/core/errors.ts';
import { repositoryRoot } from '../../test/support/repository.ts';
import { Children } from './children.ts';
import { contenders, fallbacks } from './contenders/index.ts';
import { type Contender, type Scale, type Scenario, type ScenarioResult } from './model.ts';
import { checkBytes } from './correctness.ts';
import { fullScale, quickScale, readOptions, USAGE, type Options } from './options.ts';
import { startServices, type Services } from './peers/services.ts';
import { writeResults } from './results.ts';
import { measureRounds, titled, type Stage } from './rounds.ts';
import { scenarios } from './scenarios/index.ts';
import { warmUp } from './warm-up.ts';

const FULL_ROUNDS = 5;
/** How long an interrupted bench waits for servers that were just starting, so that they can be ended too. */
const STARTING_MAX_MS = 15_000;
/** Descriptors beyond two for every idle connection. */
const SPARE_DESCRIPTORS = 500;

const write = (text: string): void => void process.stdout.write(`${text}\n`);

/** Rejects on the first Ctrl-C or SIGTERM, so that all is cleared away; the second ends the process at once. */
const interrupted = new Promise<never>((_resolve, reject) => {
  let signals = 0;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      signals += 1;
      if (signals > 1) process.exit(1);
      reject(new Error(`ended by ${signal}`));
    });
  }
});
interrupted.catch(() => undefined); // bench() listens; before it does there is nothing to clear away

interface Plan {
  readonly scale: Scale;
  readonly rounds: number;
  readonly scenarios: readonly Scenario[];
  readonly contenders: readonly Contender[];
}

function planOf(options: Options): Plan {
  const chosen = contenders(options.pointsmanEngine).filter(({ name }) =>
    options.proxies === null ? !(options.quick && fallbacks.includes(name)) : options.proxies.includes(name),
  );
  return {
    scale: options.quick ? quickScale : fullScale,
    rounds: options.rounds,
    scenarios: scenarios.filter(({ name }) => options.only?.includes(name) ?? true),
    contenders: chosen,
  };
}

/** A proxy needs two descriptors for every connection; most would fail amid the run where HAProxy refuses to start. */
function demandDescriptors({ scale, scenarios: chosen }: Plan): void {
  if (!chosen.some(({ name }) => name === 'memory')) return;
  const limits = readFileSync('/proc/self/limits', 'latin1');
  const allowed = Number(/^Max open files +\S+ +(\d+)/m.exec(limits)?.[1]);
  const needed = 2 * scale.idleConnections + SPARE_DESCRIPTORS;
  if (allowed < needed)
    throw new Error(`memory needs ${needed} open files a process; ulimit -Hn is ${allowed}`);
}

/** Starts every contender for what it serves, checks its bytes and warms it up. */
async function startContenders(plan: Plan, stage: Omit<Stage, 'running'>): Promise<Stage> {
  const running = new Map<Contender, Awaited<ReturnType<Contender['start']>>>();
  for (const contender of plan.contenders) {
    const served = new Map([...stage.services.addresses].filter(([name]) => contender.serves.includes(name)));
    if (served.size === 0) continue;
    await titled(contender.title, async () => {
      const started = await contender.start(stage, served);
      running.set(contender, started);
      await checkBytes(started.ports);
      await warmUp(stage, started.ports);
    });
    write(`${contender.title}: the right bytes`);
  }
  return { ...stage, running };
}

async function bench(options: Options): Promise<void> {
  const startedAt = performance.now();
  const plan = planOf(options);
  demandDescriptors(plan);
  const children = new Children();
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-bench-'));
  chmodSync(directory, 0o755); // PgBouncer and nginx's worker have accounts of their own
  const context = { children, directory };
  const starting: Promise<Services> = startServices(
    context,
    new Set(plan.scenarios.map(({ service }) => service)),
  );
  const playing = (async () => {
    const services = await starting;
    const stage = await startContenders(plan, { ...context, scale: plan.scale, services });
    const results: readonly ScenarioResult[] = await measureRounds(plan, stage, write);
    const versions = new Map(services.versions);
    for (const contender of stage.running.keys()) {
      const version = await contender.version(context);
      if (version !== '' && version !== process.version)
        versions.set(contender.title.split(' ')[0] ?? '', version);
    }
    return { results, versions };
  })();
  try {
    const { results, versions } = await Promise.race([playing, interrupted]);
    const full =
      !options.quick && options.only === null && options.proxies === null && plan.rounds >= FULL_ROUNDS;
    const out = options.out ?? join(repositoryRoot, full ? 'bench' : '.cache/bench');
    const report = {
      ...{ rounds: plan.rounds, scale: plan.scale, arguments: process.argv.slice(2), results, versions },
      engine: options.pointsmanEngine,
      tookMs: performance.now() - startedAt,
    };
    const { path, text } = writeResults(report, out);
    write(`\n${text}\n${path}`);
  } finally {
    playing.catch(() => undefined); // the race has reported why, or has ended it
    await children.stopAll();
    const settled = starting.then(
      services => services.dispose(),
      () => undefined, // it has ended what it started
    );
    await Promise.race([settled, after(STARTING_MAX_MS, undefined, { ref: false })]);
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  }
}

let options: Options;
try {
  options = readOptions(process.argv.slice(2), {
    scenarios: scenarios.map(({ name }) => name),
    contenders: contenders(null).map(({ name }) => name),
  });
} catch (thrown) {
  process.stderr.write(`bench: ${describeError(thrown).message}\n${USAGE}\n`);
  process.exit(2);
}
try {
  await bench(options);
  process.exit(0);
} catch (thrown) {
  process.stderr.write(`bench: ${describeError(thrown).message}\n`);
  process.exit(1);
}
