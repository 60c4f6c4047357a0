// Joins the runbooks to everything they touch: topology, proxy, state file, incidents, metrics, log. What a run is stands in
// runbook/; what its steps do in runbook/steps. Owned by app.ts.

import { runbookJson, type RunbookDesk, type RunbookJson } from '../admin/runbook.ts';
import { type Config } from '../config/schema.ts';
import { type Clock } from '../core/clock.ts';
import { type Logger } from '../core/logger.ts';
import { type Metrics } from '../metrics/metrics.ts';
import { type Proxy } from '../proxy/proxy.ts';
import { type Kept } from '../runbook/model.ts';
import { Runbooks } from '../runbook/runbooks.ts';
import { type RunbookObserver, type RunnerDeps } from '../runbook/runner.ts';
import { drainSessions, type DrainDeps } from '../runbook/steps/drain.ts';
import { endLeftovers } from '../runbook/steps/processes.ts';
import { runStep } from '../runbook/steps/run-step.ts';
import { openSql, placeOf, type SqlSession } from '../runbook/steps/sql.ts';
import { askRest, type Rest } from '../runbook/steps/transactions.ts';
import { askOthers } from '../runbook/steps/vantage.ts';
import { type IncidentRecorder } from '../topology/incidents.ts';
import { type Topology } from '../topology/topology.ts';
import { type StateFile } from './state-file.ts';

export interface RunbookParts {
  readonly topology: Topology;
  readonly proxy: Pick<Proxy, 'sessions' | 'closeSessions' | 'pauseSessions'>;
  readonly stateFile: StateFile | null;
  readonly incidents: IncidentRecorder;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Logger;
  /** What programs inherit. */
  readonly environment: Readonly<Record<string, string>>;
  /** The configuration that is in force. */
  config(): Config;
}

export function createRunbooks(
  config: Config,
  kept: ReadonlyMap<string, Kept>,
  parts: RunbookParts,
): Runbooks {
  const { topology, clock, stateFile } = parts;
  const observer = observerOf(parts);
  const around = { clock, signal: (pid: number, name: NodeJS.Signals): void => void process.kill(pid, name) };
  return new Runbooks(config, kept, {
    topology,
    runnerDeps: (backend): Omit<RunnerDeps, 'topology'> => {
      // Looked up anew each time: a reload may have changed them.
      const surroundings = () => {
        const { backends, runbooks } = parts.config();
        const own = backends[backend];
        const runbook = runbooks[backend];
        if (own === undefined || runbook === undefined) throw new Error(`${backend} has no runbook any more`);
        return { backend: own, login: runbook.login, runbook };
      };
      return {
        clock,
        observer,
        runStep: (step, login, context, key) =>
          runStep(step, context, {
            ...around,
            environment: parts.environment,
            key,
            login,
            backend: surroundings().backend,
          }),
        drain: (server, timeoutMs) =>
          drainSessions(drainDeps(backend, server, parts, surroundings), timeoutMs),
        askOthers: lost => askOthers(backend, lost, surroundings().runbook.confirm, clock),
        endLeftovers: key => endLeftovers(key, around),
        persist: () => stateFile?.persist() ?? Promise.resolve(),
      };
    },
  });
}

/** What of them is shown; `null`: the backend has none. */
export function runbookOf(runbooks: Runbooks, backend: string, clock: Clock): RunbookJson | null {
  const status = runbooks.status(backend);
  return status === null ? null : runbookJson(status, clock);
}

/** Where operators ask. */
export function deskOf(runbooks: Runbooks, topology: Pick<Topology, 'views'>): RunbookDesk {
  return {
    begin: (backend, book, to) => runbooks.begin(backend, book, to),
    resume: (backend, isDone) => runbooks.resume(backend, isDone),
    abort: backend => runbooks.abort(backend),
    hasBackend: name => topology.views().some(view => view.name === name),
  };
}

function drainDeps(
  backend: string,
  server: string,
  { clock, proxy, topology }: RunbookParts,
  surroundings: () => Parameters<typeof placeOf>[3],
): DrainDeps {
  let session: SqlSession | null = null;
  const own = { user: null, password: null, database: null };
  const rest = async (): Promise<Rest | null> => {
    const { protocol } = surroundings().backend;
    if (protocol !== 'postgres' && protocol !== 'mysql') return null;
    try {
      session ??= await openSql(placeOf(server, own, topology.view(backend), surroundings()));
      return await askRest(session, protocol);
    } catch (thrown) {
      session?.end();
      session = null;
      throw thrown;
    }
  };
  return {
    clock,
    list: () => proxy.sessions({ backend, server }),
    close: (ids, rested) => proxy.closeSessions(ids, 'switchover', rested),
    pause: (ids, forMs) => proxy.pauseSessions(ids, forMs),
    rest,
    end: () => session?.end(),
  };
}

function observerOf({ incidents, metrics, log }: RunbookParts): RunbookObserver {
  return {
    began(backend, { book, from, to, trigger, id }) {
      const words = `the runbook ${book} begins${to === null ? '' : `, for ${to}`}`;
      log.warn({ backend, book, run: id, from, to, trigger }, words);
      incidents.noteRunbook(backend, words);
      metrics.runbookRunning.set({ backend }, 1);
    },
    stepBegan(backend, { book, id, at, attempt }, { name }, of) {
      log.info({ backend, book, run: id, step: name, attempt }, `${book}: step ${at + 1} of ${of}: ${name}`);
      metrics.runbookStopped.set({ backend }, 0);
    },
    stepEnded(backend, { run, step, result, ms }) {
      const { ok, detail, output } = result;
      const { book, id } = run;
      const words = `${book}: ${step.name} ${ok ? 'is done' : 'failed'} after ${Math.round(ms)} ms: ${detail}`;
      log[ok ? 'info' : 'warn'](
        { backend, book, run: id, step: step.name, ms: Math.round(ms), output },
        words,
      );
      incidents.noteRunbook(backend, words, { book, step: step.name, ok, ms, detail, output });
      metrics.runbookStepSeconds.observe({ backend, book, result: ok ? 'done' : 'failed' }, ms / 1000);
    },
    stopped(backend, { book, id, reason, mark }) {
      const words = `the runbook ${book} ${mark === 'asking' ? 'asks' : 'has stopped'}: ${reason}; pointsman runbook resume or abort ${backend}`;
      log.error({ backend, book, run: id }, words);
      incidents.noteRunbook(backend, words);
      metrics.runbookStopped.set({ backend }, 1);
    },
    ended(backend, { book, id, outcome, reason }) {
      const words = `the runbook ${book} is over: ${outcome}${reason === null ? '' : `: ${reason}`}`;
      log[outcome === 'done' ? 'warn' : 'error']({ backend, book, run: id, outcome }, words);
      incidents.noteRunbook(backend, words);
      incidents.runbookEnded(backend);
      metrics.runbookRuns.inc({ backend, book, outcome });
      metrics.runbookRunning.set({ backend }, 0);
      metrics.runbookStopped.set({ backend }, 0);
    },
    waits(backend, why) {
      if (why !== null) log.warn({ backend }, `on_primary_lost waits: ${why}`);
    },
  };
}
