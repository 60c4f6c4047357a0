// The runbooks of one backend on a clock of the test: a real topology, steps whose outcome the test decides, and a disk that
// keeps what was written. A Pointsman can be killed between any two things that happen, and another started on that disk.

import { configSchema, type Config } from '../../src/config/schema.ts';
import { describeError } from '../../src/core/errors.ts';
import { type ProbeResult } from '../../src/health/result.ts';
import { type Kept, type RunningStep, type StepContext, type StepResult } from '../../src/runbook/model.ts';
import { directivesOf, keptIn, Runbooks } from '../../src/runbook/runbooks.ts';
import { type RunbookStatus } from '../../src/runbook/runner.ts';
import { type SecondOpinion } from '../../src/runbook/guard.ts';
import { readState, writeState, type SavedState } from '../../src/topology/saved.ts';
import { Topology, type BackendSpec } from '../../src/topology/topology.ts';
import { FakeClock } from './fake-clock.ts';
import { down, fail, FRESHNESS_MS, up } from './views.ts';

export interface Begun {
  readonly name: string;
  readonly context: StepContext;
  readonly key: string;
  end(result: Partial<StepResult>): void;
  isCancelled: boolean;
}

/** What outlives a Pointsman: the disk, and what its steps have done. */
export class World {
  disk = '';
  readonly done: string[] = [];
  readonly begun: Begun[] = [];
  /** Why nothing can be written now. */
  diskFailure: string | null = null;
}

export function configOf(runbook: object, more: object = {}): Config {
  const servers = { pg1: '10.0.0.1:5001', pg2: '10.0.0.1:5002' };
  return configSchema.parse({
    frontends: { rw: { bind: '127.0.0.1:0', backend: 'app' } },
    backends: { app: { protocol: 'postgres', check: { user: 'probe', ...more }, servers } },
    runbooks: { app: runbook },
  });
}

export class Stage {
  readonly clock: FakeClock;
  readonly topology: Topology;
  readonly runbooks: Runbooks;
  readonly world: World;
  opinions: readonly SecondOpinion[] = [];
  drained: string[] = [];
  readonly said: string[] = [];
  readonly #downSince = new Map<string, number>();
  #isDead = false;

  constructor(config: Config, world: World = new World(), clock: FakeClock = new FakeClock()) {
    this.world = world;
    this.clock = clock;
    const saved = this.#read();
    const kept = keptIn(saved, backend => this.said.push(`not understood: ${backend}`));
    this.topology = new Topology([specOf()], clock, saved, directivesOf(kept, config));
    this.runbooks = new Runbooks(config, kept as ReadonlyMap<string, Kept>, {
      topology: this.topology,
      runnerDeps: () => ({
        clock,
        observer: {
          began: (_backend, { book }) => this.said.push(`began ${book}`),
          stepBegan: () => undefined,
          stepEnded: () => undefined,
          stopped: (_backend, { reason }) => this.said.push(`stopped: ${reason}`),
          ended: (_backend, { book, outcome }) => this.said.push(`${book} ${outcome}`),
          waits: (_backend, why) => this.said.push(`waits: ${why}`),
        },
        runStep: (_step, _login, context, key) => this.#begin(context, key),
        drain: server => {
          this.drained.push(server);
          return settled({ ok: true, detail: 'closed', output: '' });
        },
        askOthers: () => Promise.resolve(this.opinions),
        endLeftovers: () => Promise.resolve(0),
        persist: () => this.#persist(),
      }),
    });
    // As the state file is kept: written after every change of the primary, when everybody has heard of it.
    this.topology.changes.subscribe(({ before, after }) => {
      if (before.primary !== after.primary || before.epoch !== after.epoch)
        void this.#persist().catch((thrown: unknown) => this.said.push(describeError(thrown).message));
    });
    this.runbooks.start();
  }

  get status(): RunbookStatus {
    const status = this.runbooks.status('app');
    if (status === null) throw new Error('there is no runbook');
    return status;
  }

  get view() {
    return this.topology.view('app');
  }

  /** What a server says now; `null`: nothing, it is down. */
  hear(server: string, result: ProbeResult | null): void {
    const at = this.clock.now();
    if (result === null) {
      const since = this.#downSince.get(server) ?? at;
      this.#downSince.set(server, since);
      this.topology.report('app', server, { ...down(), since } as typeof up, fail('L4CON', at));
    } else {
      this.#downSince.delete(server);
      this.topology.report('app', server, up, { ...result, at });
    }
  }

  /** The step that was begun last. */
  get step(): Begun {
    const step = this.world.begun.at(-1);
    if (step === undefined) throw new Error('no step was begun');
    return step;
  }

  /** kill -9: nothing that happens from now on reaches it, and it writes nothing more. */
  kill(): void {
    this.#isDead = true;
    this.runbooks.stop();
  }

  #begin(context: StepContext, key: string): RunningStep {
    let resolve: (result: StepResult) => void = () => undefined;
    const done = new Promise<StepResult>(settle => {
      resolve = settle;
    });
    const begun: Begun = {
      name: context.step,
      context,
      key,
      isCancelled: false,
      end: ({ ok = true, detail = 'as it should', output = '' }) => {
        if (ok) this.world.done.push(context.step);
        resolve({ ok, detail, output });
      },
    };
    this.world.begun.push(begun);
    return {
      done,
      cancel() {
        begun.isCancelled = true;
      },
    };
  }

  async #persist(): Promise<void> {
    await Promise.resolve();
    if (this.#isDead) return new Promise(() => undefined);
    if (this.world.diskFailure !== null) throw new Error(this.world.diskFailure);
    this.world.disk = writeState(this.runbooks.save(this.topology.save()));
  }

  #read(): SavedState {
    if (this.world.disk === '') return new Map();
    const read = readState(this.world.disk);
    if (!read.ok) throw new Error(read.why);
    return read.state;
  }
}

function specOf(): BackendSpec {
  return {
    name: 'app',
    protocol: 'postgres',
    multipleWriters: 'newest',
    settleMs: 0,
    freshnessMs: FRESHNESS_MS,
    slowStartMs: 0,
    servers: ['pg1', 'pg2'].map((name, index) => ({
      name,
      address: { host: '10.0.0.1', port: 5001 + index },
      weight: 100,
    })),
  };
}

const settled = (result: StepResult): RunningStep => ({
  done: Promise.resolve(result),
  cancel: () => undefined,
});
