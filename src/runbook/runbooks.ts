// The runbooks of all backends: one runner each, their part of the state file, and what operators ask of them.
// Made by app, which gives it what does the work; asked by the admin API.

import { type Config } from '../config/schema.ts';
import { type Directive } from '../topology/directive.ts';
import { type SavedState } from '../topology/saved.ts';
import { type Topology } from '../topology/topology.ts';
import { nothingKept, type BookName, type Kept } from './model.ts';
import { planOf } from './plan.ts';
import { Runner, type Answer, type RunbookStatus, type RunnerDeps } from './runner.ts';
import { loadKept, saveKept } from './saved.ts';
import { wordOf } from './word.ts';

/** What was kept of each backend. What isn't understood is told to `refused`. */
export function keptIn(saved: SavedState, refused: (backend: string) => void): ReadonlyMap<string, Kept> {
  return new Map(
    [...saved].flatMap(([backend, { runbook, primary }]): [string, Kept][] => {
      const kept = loadKept(runbook);
      if (kept === null) refused(backend);
      // Who was the primary when the file was written may be newer than what a runner had noticed.
      return [[backend, { ...(kept ?? nothingKept), lastPrimary: primary ?? kept?.lastPrimary ?? null }]];
    }),
  );
}

/** What runbooks say from the first moment on, before anything runs. */
export function directivesOf(
  kept: ReadonlyMap<string, Kept>,
  { runbooks }: Pick<Config, 'runbooks'>,
): ReadonlyMap<string, Directive> {
  return new Map(
    [...kept].flatMap(([backend, each]): [string, Directive][] => {
      const config = Object.hasOwn(runbooks, backend) ? runbooks[backend] : undefined;
      const plan = each.run === null || config === undefined ? null : planOf(each.run.book, config);
      const { directive } = wordOf(each, plan);
      return directive === null ? [] : [[backend, directive]];
    }),
  );
}

export interface RunbooksDeps {
  readonly topology: Topology;
  /** What does the work of a backend's runbook. */
  runnerDeps(backend: string): Omit<RunnerDeps, 'topology'>;
}

export class Runbooks {
  readonly #deps: RunbooksDeps;
  readonly #kept: ReadonlyMap<string, Kept>;
  readonly #runners = new Map<string, Runner>();
  readonly #unsubscribe: readonly (() => void)[];
  #isStarted = false;

  constructor(
    config: Pick<Config, 'runbooks' | 'backends'>,
    kept: ReadonlyMap<string, Kept>,
    deps: RunbooksDeps,
  ) {
    this.#deps = deps;
    this.#kept = kept;
    this.configure(config);

    const { changes, removals } = deps.topology;
    this.#unsubscribe = [
      changes.subscribe(({ after }) => this.#runners.get(after.name)?.changed()),
      removals.subscribe(({ name }) => this.#remove(name)),
    ];
  }

  /** Goes on with what was under way before a restart. Called when the topology is told of nothing yet. */
  start(): void {
    this.#isStarted = true;
    for (const runner of this.#runners.values()) runner.start();
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    for (const runner of this.#runners.values()) runner.stop();
  }

  /** The books of another configuration, for runs that begin from now on. The topology has its backends already. */
  configure({ runbooks, backends }: Pick<Config, 'runbooks' | 'backends'>): void {
    for (const name of Object.keys(backends)) {
      const config = Object.hasOwn(runbooks, name) ? (runbooks[name] ?? null) : null;
      const known = this.#runners.get(name);
      if (known !== undefined) known.configure(config);
      else if (config !== null || (this.#kept.get(name)?.run ?? null) !== null) this.#add(name, config);
    }
  }

  /** The same state, with what is kept of each runbook. */
  save(state: SavedState): SavedState {
    return new Map(
      [...state].map(([name, backend]) => {
        const runner = this.#runners.get(name);
        const runbook = runner === undefined ? null : saveKept(runner.kept);
        return [name, runbook === null ? backend : { ...backend, runbook }];
      }),
    );
  }

  /** `null`: the backend has no runbook. */
  status(backend: string): RunbookStatus | null {
    return this.#runners.get(backend)?.status ?? null;
  }

  begin(backend: string, book: BookName, to: string | null): Answer {
    return this.#ask(backend, runner => runner.begin(book, to));
  }

  resume(backend: string, isDone: boolean): Answer {
    return this.#ask(backend, runner => runner.resume(isDone));
  }

  abort(backend: string): Answer {
    return this.#ask(backend, runner => runner.abort());
  }

  #ask(backend: string, question: (runner: Runner) => Answer): Answer {
    const runner = this.#runners.get(backend);
    return runner === undefined
      ? { ok: false, why: `${backend} has no runbook: it is to be written in runbooks.${backend}` }
      : question(runner);
  }

  #remove(name: string): void {
    this.#runners.get(name)?.stop();
    this.#runners.delete(name);
  }

  #add(name: string, config: Config['runbooks'][string] | null): void {
    const deps = { topology: this.#deps.topology, ...this.#deps.runnerDeps(name) };
    const runner = new Runner(name, config, this.#kept.get(name) ?? nothingKept, deps);
    this.#runners.set(name, runner);
    if (this.#isStarted) runner.start();
  }
}
