// The runbooks of one backend at work: begins runs when they are due, drives the machine, and tells the topology what it
// means for traffic. All decisions are in guard.ts, machine.ts and word.ts; all work is in steps/. Owned by runbooks.ts.

import { randomUUID } from 'node:crypto';
import { type RunbookConfig, type StepConfig } from '../config/schema.ts';
import { type Clock, type MonotonicMs, type Timer } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';
import { acceptsWrites } from '../topology/eligibility.ts';
import { type BackendView } from '../topology/model.ts';
import { type Topology } from '../topology/topology.ts';
import { leaveFor, lossOf, type Leave, type SecondOpinion } from './guard.ts';
import {
  busyWith,
  machineOf,
  move,
  whyNotResumed,
  type Beginning,
  type Facts,
  type Machine,
  type RunbookAction,
  type RunbookEvent,
  type Token,
} from './machine.ts';
import {
  type BookName,
  type EndedRun,
  type Kept,
  type Plan,
  type PlannedStep,
  type Run,
  type RunningStep,
  type StepContext,
  type StepResult,
} from './model.ts';
import { planOf } from './plan.ts';
import { refusalToBegin, targetOf } from './refusals.ts';
import { wordOf } from './word.ts';

/** Steps of one run that are told afterwards: retries count too. */
const STEPS_KEPT_MAX = 100;
/** How long the servers may take to agree with a switchover or failback whose steps have succeeded. */
const AWAIT_MAX_MS = 60_000;
const OTHERS_EVERY_MS = 1000;

/** What a step came to, for those who watch. */
export interface StepReport {
  readonly run: Run;
  readonly step: PlannedStep;
  readonly result: StepResult;
  readonly ms: number;
}

export interface RunbookObserver {
  began(backend: string, run: Run): void;
  stepBegan(backend: string, run: Run, step: PlannedStep, of: number): void;
  stepEnded(backend: string, report: StepReport): void;
  stopped(backend: string, run: Run): void;
  ended(backend: string, run: EndedRun): void;
  /** What is waited for before a run begins, when that changes; `null`: nothing any more. */
  waits(backend: string, why: string | null): void;
}

export interface RunnerDeps {
  readonly topology: Pick<Topology, 'view' | 'direct'>;
  readonly clock: Clock;
  readonly observer: RunbookObserver;
  runStep(step: StepConfig, login: RunbookConfig['login'], context: StepContext, key: string): RunningStep;
  /** Closes the sessions of a server between two transactions, those that are left at the end of the time amid one. */
  drain(server: string, timeoutMs: number): RunningStep;
  askOthers(lost: string): Promise<readonly SecondOpinion[]>;
  /** Ends what a Pointsman before this one left running of the step with that key. */
  endLeftovers(key: string): Promise<number>;
  /** Puts everything that is to be kept on disk; rejects if that fails. */
  persist(): Promise<void>;
}

/** How runs of a backend stand, for people. */
export interface RunbookStatus {
  readonly run: Run | null;
  readonly plan: Plan | null;
  readonly activity: Machine['activity'];
  readonly steps: readonly StepReport[];
  /** Since when the step under way is so; `null` where none is. */
  readonly stepSince: MonotonicMs | null;
  readonly waits: string | null;
  readonly barred: readonly string[];
  readonly last: EndedRun | null;
  readonly lastSteps: readonly StepReport[];
}

/** Either it was begun, or why not. */
export type Answer =
  { readonly ok: true; readonly run: number } | { readonly ok: false; readonly why: string };

export class Runner {
  readonly #backend: string;
  readonly #deps: RunnerDeps;
  #config: RunbookConfig | null;
  /** Of the run under way: a changed configuration is for the next one. */
  #running: RunbookConfig | null = null;
  #machine: Machine;
  #step: RunningStep | null = null;
  #stepSince: MonotonicMs | null = null;
  #timer: Timer | null = null;
  #steps: StepReport[] = [];
  #lastSteps: readonly StepReport[] = [];
  #said: { directive: string; held: string | null };
  #waits: string | null = null;
  #guardTimer: Timer | null = null;
  #due: Timer | null = null;
  #others: { lost: string; at: MonotonicMs; opinions: readonly SecondOpinion[] } | null = null;
  #isAsking = false;
  #isStopped = false;
  #promoted: string | null = null;

  constructor(backend: string, config: RunbookConfig | null, kept: Kept, deps: RunnerDeps) {
    this.#backend = backend;
    this.#config = config;
    this.#deps = deps;
    const { run } = kept;
    this.#running = run === null ? null : config;
    this.#machine = machineOf(kept, run === null || config === null ? null : planOf(run.book, config));
    this.#said = { directive: JSON.stringify(wordOf(kept, this.#machine.plan).directive), held: null };
    this.#promoted = kept.lastPrimary;
  }

  get kept(): Kept {
    return this.#machine.kept;
  }

  get status(): RunbookStatus {
    const { kept, plan, activity } = this.#machine;
    return {
      run: kept.run,
      plan,
      activity,
      steps: this.#steps,
      stepSince: this.#stepSince,
      waits: this.#waits,
      barred: kept.barred,
      last: kept.last,
      lastSteps: this.#lastSteps,
    };
  }

  /** Goes on where a Pointsman before this one was; called once, when the topology runs. */
  start(): void {
    this.#speak();
    this.#take({ kind: 'restarted' });
    this.changed();
  }

  /** Another configuration, for runs that begin from now on. */
  configure(config: RunbookConfig | null): void {
    this.#config = config;
    this.changed();
  }

  /** Ends the step under way and begins no other; what is on record stays as it is. */
  stop(): void {
    this.#isStopped = true;
    this.#guardTimer?.cancel();
    this.#due?.cancel();
    this.#cancel();
  }

  /** The topology has changed: looked at once those who serve clients have heard of it. */
  changed(): void {
    this.#due ??= this.#deps.clock.afterInput(() => {
      this.#due = null;
      this.#look();
    });
  }

  /** Begins a book by the word of an operator. */
  begin(book: BookName, to: string | null): Answer {
    const view = this.#view();
    const config = this.#config;
    const refusal = busyWith(this.#machine) ?? refusalToBegin(book, to, view, config, this.kept, this.#now());
    if (refusal !== null || config === null) return { ok: false, why: refusal ?? 'there is no runbook' };
    const from = book === 'on_primary_lost' ? this.kept.lastPrimary : view.primary;
    this.#begin({ book, from, to: targetOf(book, to, config), trigger: 'operator' });
    return { ok: true, run: this.kept.runs };
  }

  resume(isDone: boolean): Answer {
    const why = whyNotResumed(this.#machine, isDone);
    if (why !== null) return { ok: false, why };
    this.#take({ kind: 'resume', isDone });
    return { ok: true, run: this.kept.runs };
  }

  abort(): Answer {
    const { run } = this.kept;
    if (run === null) return { ok: false, why: 'no runbook is under way' };
    this.#take({ kind: 'abort' });
    return { ok: true, run: run.id };
  }

  #begin(beginning: Omit<Beginning, 'key'>): void {
    const plan = this.#config && planOf(beginning.book, this.#config);
    if (plan === null) return;
    this.#running = this.#config;
    this.#steps = [];
    this.#wait(null, null);
    this.#take({ kind: 'start', ...beginning, key: randomUUID() }, plan);
    const { run } = this.kept;
    if (run !== null) this.#deps.observer.began(this.#backend, run);
  }

  #take(event: RunbookEvent, plan: Plan | null = this.#machine.plan): void {
    if (this.#isStopped) return;
    const { machine, actions } = move(this.#machine, event, this.#facts(), plan);
    this.#machine = machine;
    // Whom traffic may go to is said before anything else is done.
    this.#speak();
    for (const action of actions) this.#perform(action);
  }

  #perform(action: RunbookAction): void {
    const { clock, observer } = this.#deps;
    switch (action.kind) {
      case 'write':
        void this.#write(action.write);
        return;
      case 'run':
        this.#run(action.token, action.step);
        return;
      case 'cancel':
        this.#cancel();
        return;
      case 'pause':
        this.#timer = clock.schedule(action.ms, () =>
          this.#take({ kind: 'pause-over', token: action.token }),
        );
        return;
      case 'stopped':
        observer.stopped(this.#backend, action.run);
        return;
      case 'ended':
        this.#lastSteps = this.#steps;
        this.#steps = [];
        this.#running = null;
        observer.ended(this.#backend, action.run);
        this.changed();
    }
  }

  async #write(write: number): Promise<void> {
    try {
      await this.#deps.persist();
      this.#take({ kind: 'written', write });
    } catch (thrown) {
      this.#take({ kind: 'write-failed', write, why: describeError(thrown).message });
    }
  }

  #run(token: Token, step: PlannedStep): void {
    const { run, plan } = { run: this.kept.run, plan: this.#machine.plan };
    if (run === null) return;
    const { clock, observer } = this.#deps;
    const since = clock.now();
    this.#stepSince = since;
    observer.stepBegan(this.#backend, run, step, plan?.steps.length ?? 0);
    const running = this.#work(run, step, token);
    this.#step = running;
    void running.done.then(result => {
      if (this.#step !== running) return;
      this.#step = null;
      this.#stepSince = null;
      const report = { run, step, result, ms: clock.now() - since };
      this.#steps = [...this.#steps, report].slice(-STEPS_KEPT_MAX);
      observer.stepEnded(this.#backend, report);
      this.#take({ kind: 'step-ended', token, ok: result.ok, detail: result.detail });
    });
    if (step.kind === 'await') this.changed();
  }

  #work(run: Run, step: PlannedStep, token: Token): RunningStep {
    if (step.kind === 'await') return this.#await(run);
    if (step.kind === 'drain') {
      const planned = run.book === 'failback' || run.book === 'switchover' ? this.#running?.[run.book] : null;
      return this.#deps.drain(run.from ?? '', planned?.drainTimeoutMs ?? 0);
    }
    const key = `${run.key}/${token.at}`;
    const context: StepContext = {
      backend: this.#backend,
      book: run.book,
      run: run.id,
      step: step.name,
      attempt: token.attempt,
      epoch: run.epoch,
      from: run.from,
      to: run.to,
      view: () => this.#view(),
    };
    const config = this.#running;
    const known = config?.steps[step.name];
    if (config === null || known === undefined) return failedStep(`there is no step ${step.name}`);
    const begin = (): RunningStep => this.#deps.runStep(known, config.login, context, key);
    return token.attempt > 1 ? this.#afterLeftovers(key, begin) : begin();
  }

  /** A second attempt must not meet the first one. */
  #afterLeftovers(key: string, begin: () => RunningStep): RunningStep {
    let inner: RunningStep | null = null;
    let isOver = false;
    const given: StepResult = { ok: false, detail: 'it was given up', output: '' };
    const done = this.#deps.endLeftovers(key).then(
      () => {
        if (isOver) return given;
        inner = begin();
        return inner.done;
      },
      (thrown: unknown) => ({ ok: false, detail: describeError(thrown).message, output: '' }),
    );
    return {
      done,
      cancel() {
        isOver = true;
        inner?.cancel();
      },
    };
  }

  /** Ends by the machine, when it sees the primary there; or not, and then by time, where traffic waits for it. */
  #await(run: Run): RunningStep {
    let finish: (result: StepResult) => void = () => undefined;
    const done = new Promise<StepResult>(resolve => {
      finish = resolve;
    });
    const isBounded = run.book !== 'on_primary_lost';
    const who = run.to ?? 'another server';
    const detail = `${who} does not take writes within ${AWAIT_MAX_MS / 1000} s after the last step`;
    const timer = isBounded
      ? this.#deps.clock.schedule(AWAIT_MAX_MS, () => finish({ ok: false, detail, output: '' }))
      : null;
    return { done, cancel: () => timer?.cancel() };
  }

  #cancel(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const step = this.#step;
    this.#step = null;
    this.#stepSince = null;
    step?.cancel();
  }

  #look(): void {
    if (this.#isStopped) return;
    this.#take({ kind: 'snapshot' });
    if (busyWith(this.#machine) === null) this.#beginWhatIsDue();
    else this.#wait(null, null);
  }

  /** At most one thing: the next is looked for when that is over. */
  #beginWhatIsDue(): void {
    const config = this.#config;
    if (config === null) return;
    const view = this.#view();
    const { kept } = this.#machine;
    if (config.onPrimaryLost !== null && config.onPrimaryLost.trigger === 'automatic') {
      const loss = lossOf(view, kept.lastPrimary);
      if (loss !== null && loss.server !== config.onPrimaryLost.activate) {
        this.#guard(config);
        return;
      }
    }
    this.#wait(null, null);
    if (kept.run !== null) return;
    if (view.primary !== null && view.primary !== this.#promoted) {
      const from = this.#promoted;
      this.#promoted = view.primary;
      if (from !== null && config.onPromoted.length > 0 && !this.#wasByBook(view.primary)) {
        this.#begin({ book: 'on_promoted', from, to: view.primary, trigger: 'automatic' });
        return;
      }
    }
    this.#welcome(config, view);
  }

  /** Whether the book that made it the primary has run the steps for that already. */
  #wasByBook(primary: string): boolean {
    const { last } = this.kept;
    return last !== null && last.outcome === 'done' && last.to === primary;
  }

  /** The one that lost its role is up again. */
  #welcome(config: RunbookConfig, view: BackendView): void {
    const { displaced } = this.kept;
    if (displaced === null || view.primary === null) return;
    const server = view.servers.find(({ name }) => name === displaced.server);
    if (server?.health.kind !== 'up') return;
    if (!displaced.returned) {
      const book = { from: view.primary, to: displaced.server, trigger: 'automatic' } as const;
      if (config.onPrimaryReturned.length > 0) {
        this.#begin({ book: 'on_primary_returned', ...book });
        return;
      }
    }
    const { failback } = config;
    if (failback === null || failback.trigger !== 'automatic' || failback.activate !== displaced.server)
      return;
    const { last } = this.kept;
    if (last !== null && last.book === 'failback' && last.outcome !== 'done') return;
    if (last !== null && last.book === 'on_primary_returned' && last.outcome !== 'done') return;
    this.#begin({ book: 'failback', from: view.primary, to: displaced.server, trigger: 'automatic' });
  }

  #guard(config: RunbookConfig): void {
    const view = this.#view();
    const loss = lossOf(view, this.kept.lastPrimary);
    if (loss === null || config.onPrimaryLost === null) return;
    const now = { at: this.#now(), wall: this.#deps.clock.wall() };
    const asks = config.confirm.http.length + config.confirm.pointsmen.length > 0;
    const fresh = this.#others?.lost === loss.server && now.at - this.#others.at < 2 * OTHERS_EVERY_MS;
    const unasked: readonly SecondOpinion[] = [{ kind: 'unknown', words: 'they are being asked' }];
    const opinions = !asks ? [] : fresh ? (this.#others?.opinions ?? unasked) : unasked;
    const leave: Leave = leaveFor(loss, view, config, this.kept, opinions, now);
    if (leave.kind === 'go') {
      this.#begin({
        book: 'on_primary_lost',
        from: loss.server,
        to: config.onPrimaryLost.activate,
        trigger: 'automatic',
      });
      return;
    }
    if (asks && !fresh && now.at - loss.since >= config.lostForMs) void this.#ask(loss.server);
    this.#wait(leave.why, leave.againMs);
  }

  async #ask(lost: string): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const opinions = await this.#deps.askOthers(lost);
      this.#others = { lost, at: this.#now(), opinions };
    } finally {
      this.#isAsking = false;
    }
    this.changed();
  }

  #wait(why: string | null, againMs: number | null): void {
    this.#guardTimer?.cancel();
    this.#guardTimer = againMs === null ? null : this.#deps.clock.schedule(againMs, () => this.changed());
    if (this.#waits === why) return;
    this.#waits = why;
    this.#deps.observer.waits(this.#backend, why);
  }

  #speak(): void {
    const { kept, plan } = this.#machine;
    const { directive, held } = wordOf(kept, plan);
    const text = JSON.stringify(directive);
    if (text === this.#said.directive && held === this.#said.held) return;
    this.#said = { directive: text, held };
    this.#deps.topology.direct(this.#backend, directive, held);
  }

  #facts(): Facts {
    const view = this.#view();
    const accepting = acceptsWrites(view.held === null ? view : { ...view, held: null }, this.#now());
    return {
      wall: this.#deps.clock.wall(),
      epoch: view.epoch,
      primary: view.primary,
      accepting: accepting?.name ?? null,
      down: view.servers.filter(({ health }) => health.kind === 'down').map(({ name }) => name),
    };
  }

  #view(): BackendView {
    return this.#deps.topology.view(this.#backend);
  }

  #now(): MonotonicMs {
    return this.#deps.clock.now();
  }
}

const failedStep = (detail: string): RunningStep => ({
  done: Promise.resolve({ ok: false, detail, output: '' }),
  cancel: () => undefined,
});
