// Closes the sessions of a server for a switchover: each between two transactions, as the server itself tells, and what is
// left when the time is up amid one. New ones don't come meanwhile: the topology holds them. Called by runner.ts.

// An application that sends at the very moment in which its connection is closed sees an error, and nobody can prevent that.
// So its connections aren't listened to for a while: each has somebody who waits for it then or nobody who wants it, and
// whoever else has something to do makes a new one and waits at our door. Then they are served, and go at once when they rest:
// their users have only begun to think, and nobody else is there to take them. Who doesn't rest soon is paused again.

import { type Address } from '../../core/address.ts';
import { type Clock } from '../../core/clock.ts';
import { describeError } from '../../core/errors.ts';
import { type RunningStep, type StepResult } from '../model.ts';
import { type Rest } from './transactions.ts';

/** Who thinks for longer between two transactions is likely to think on. */
const PAUSE_MS = 2000;
/** Between two pauses: for a short transaction, and shorter than most people's thinking. */
const LISTEN_MS = 250;
/**
 * Who was answered longer ago is closed in the next round at the earliest: a slow machine may close late, and an application
 * needs its time to notice.
 */
const FRESH_MS = 2 * LISTEN_MS;
const LOOK_EVERY_MS = 3;

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

/** `bytes`: of both directions of each, as listed. And silent for less than this, or for as long as that. */
export interface Rested {
  readonly bytes: readonly number[];
  readonly idleBelowMs: number;
  readonly idleFromMs: number;
}

export interface DrainDeps {
  readonly clock: Clock;
  /** Who is joined to the server. Every change of the topology that was published before is in force by the answer. */
  list(): Promise<OpenSessions>;
  /** Who has gone on since, rests otherwise, or is paused, is left alone. `rested` left out: they are closed anyway. */
  close(ids: readonly string[], rested?: Rested): Promise<number>;
  /** What these clients send is not read for so long. */
  pause(ids: readonly string[], forMs: number): Promise<number>;
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
  let [closed, cut] = [0, 0];
  let listensUntil = -Infinity;
  let trouble: string | null = null;
  while (!isGivenUp()) {
    const { sessions, matched, silentWorkers } = await deps.list();
    const ids = sessions.map(({ id }) => id);
    if (matched === 0 && silentWorkers === 0) return ended(closed, cut, trouble);
    const leftMs = deadline - clock.now();
    if (leftMs <= 0) {
      const now = await deps.close(ids);
      cut += now;
      // More than are told at once; or they can't be closed one by one, and end with the change of the primary.
      if (now === 0 || matched <= sessions.length) return ended(closed, cut, trouble);
      continue;
    }
    // Who was paused up to the end would be cut with what they have sent.
    if (clock.now() >= listensUntil && leftMs > PAUSE_MS) {
      await deps.pause(ids, PAUSE_MS);
      await pass(clock, PAUSE_MS);
      listensUntil = clock.now() + LISTEN_MS;
      continue;
    }
    const found = await resting(sessions, deps).catch((thrown: unknown) => {
      trouble = describeError(thrown).message;
      return [];
    });
    if (found.length > 0) {
      const rested = { bytes: found.map(bytesOf), idleBelowMs: FRESH_MS, idleFromMs: PAUSE_MS };
      closed += await deps.close(found.map(idOf), rested);
    }
    await pass(clock, LOOK_EVERY_MS);
  }
  return { ok: false, detail: 'it was given up', output: '' };
}

const idOf = ({ id }: OpenSession): string => id;
const bytesOf = ({ bytesUp, bytesDown }: OpenSession): number => bytesUp + bytesDown;

function pass(clock: Clock, ms: number): Promise<void> {
  return new Promise(resolve => void clock.schedule(ms, resolve));
}

async function resting(sessions: readonly OpenSession[], deps: DrainDeps): Promise<readonly OpenSession[]> {
  const rest = await deps.rest();
  if (rest === null) return sessions;
  return sessions.filter(({ local }) => local !== null && rest.get(`${local.host}:${local.port}`) === true);
}

function ended(closed: number, cut: number, trouble: string | null): StepResult {
  const amid = cut === 0 ? '' : `, ${cut} amid a transaction or unseen when the time was up`;
  const why = trouble === null ? '' : ` (who is in a transaction could not always be asked: ${trouble})`;
  return { ok: true, detail: `${closed} sessions closed between two transactions${amid}${why}`, output: '' };
}
