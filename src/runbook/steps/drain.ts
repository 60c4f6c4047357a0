// Closes the sessions of a server for a switchover: each between two transactions, as the server itself tells, and what is
// left when the time is up amid one. New ones don't come meanwhile: the topology holds them. Called by runner.ts.

import { type Address } from '../../core/address.ts';
import { type Clock } from '../../core/clock.ts';
import { describeError } from '../../core/errors.ts';
import { type RunningStep, type StepResult } from '../model.ts';
import { type Rest } from './transactions.ts';

/** Between two looks: a session rests for a few milliseconds only where an application is busy. */
const LOOK_EVERY_MS = 5;

/** What must be known of a session to close it at the right moment. */
interface OpenSession {
  readonly id: string;
  /** Our end of the connection to the server, as the server sees it. */
  readonly local: Address | null;
  readonly bytesUp: number;
  readonly bytesDown: number;
}

interface OpenSessions {
  readonly sessions: readonly OpenSession[];
  /** All there are, those that are not listed included. */
  readonly matched: number;
  /** Worker threads whose sessions are missing. */
  readonly silentWorkers: number;
}

export interface DrainDeps {
  readonly clock: Clock;
  /** Who is joined to the server. Every change of the topology that was published before is in force by the answer. */
  list(): Promise<OpenSessions>;
  close(ids: readonly string[]): Promise<number>;
  /** Who rests between two transactions; `null`: this protocol knows no transactions. Rejects where it can't be told. */
  rest(): Promise<Rest | null>;
  /** Ends what `rest` keeps open. */
  end(): void;
}

export function drainSessions(deps: DrainDeps, timeoutMs: number): RunningStep {
  let isGivenUp = false;
  const done = drain(deps, timeoutMs, () => isGivenUp).finally(() => deps.end());
  return {
    done,
    cancel() {
      isGivenUp = true;
    },
  };
}

async function drain(deps: DrainDeps, timeoutMs: number, isGivenUp: () => boolean): Promise<StepResult> {
  const { clock } = deps;
  const deadline = clock.now() + timeoutMs;
  let closed = 0;
  let cut = 0;
  let trouble: string | null = null;
  let before = new Map<string, number>();
  for (;;) {
    if (isGivenUp()) return { ok: false, detail: 'it was given up', output: '' };
    const { sessions, matched, silentWorkers } = await deps.list();
    if (matched === 0 && silentWorkers === 0) return ended(closed, cut, trouble);
    if (clock.now() >= deadline) {
      const now = await deps.close(sessions.map(({ id }) => id));
      cut += now;
      // More than are told at once; or they can't be closed one by one, and end with the change of the primary.
      if (now === 0 || matched <= sessions.length) return ended(closed, cut, trouble);
      continue;
    }
    const quiet = sessions.filter(session => before.get(session.id) === progressOf(session));
    before = new Map(sessions.map(session => [session.id, progressOf(session)]));
    const resting = await restingAmong(quiet, deps).catch((thrown: unknown) => {
      trouble = describeError(thrown).message;
      return [];
    });
    if (resting.length > 0) closed += await deps.close(resting.map(({ id }) => id));
    await new Promise<void>(resolve => void clock.schedule(LOOK_EVERY_MS, resolve));
  }
}

const progressOf = ({ bytesUp, bytesDown }: OpenSession): number => bytesUp + bytesDown;

async function restingAmong(
  sessions: readonly OpenSession[],
  deps: DrainDeps,
): Promise<readonly OpenSession[]> {
  if (sessions.length === 0) return [];
  const rest = await deps.rest();
  if (rest === null) return sessions;
  return sessions.filter(({ local }) => local !== null && rest.get(`${local.host}:${local.port}`) === true);
}

function ended(closed: number, cut: number, trouble: string | null): StepResult {
  const amid = cut === 0 ? '' : `, ${cut} amid a transaction or unseen when the time was up`;
  const why = trouble === null ? '' : ` (who is in a transaction could not always be asked: ${trouble})`;
  return { ok: true, detail: `${closed} sessions closed between two transactions${amid}${why}`, output: '' };
}
