// Closes the sessions of a server for a switchover: each between two transactions, as the server itself tells, and what is
// left when the time is up amid one. New ones don't come meanwhile: the topology holds them. Called by runner.ts.

// An application that sends at the very moment in which its connection is closed sees an error, and nobody can prevent that:
// so the ones that have rested longest go first. A pool takes what was used last; the more of its connections are gone, the
// more of its users wait at our door, and the longer the others rest. The last one goes when it has just come to rest: its
// user has only begun to think, and nobody else is there to take it.

import { type Address } from '../../core/address.ts';
import { type Clock, type MonotonicMs } from '../../core/clock.ts';
import { describeError } from '../../core/errors.ts';
import { type RunningStep, type StepResult } from '../model.ts';
import { type Rest } from './transactions.ts';

/** Between two looks: a session rests for a few milliseconds only where an application is busy. */
const LOOK_EVERY_MS = 3;
/** Who rests for so long, and for twice as long as the time before, is seldom about to speak. */
const LONG_REST_MS = 150;
/** Nobody has rested for long meanwhile: then one that has just come to rest. */
const STUCK_MS = 2000;

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
  /** `bytes`: of each, as listed; who has gone on since is left alone. Left out: they are closed anyway. */
  close(ids: readonly string[], bytes?: readonly number[]): Promise<number>;
  /** Who rests between two transactions; `null`: this protocol knows no transactions. Rejects where it can't be told. */
  rest(): Promise<Rest | null>;
  /** Ends what `rest` keeps open. */
  end(): void;
}

/** A session as it was seen, since when it has been silent, and how long the time before. */
interface Seen {
  readonly restedMs: number;
  readonly session: OpenSession;
  readonly bytes: number;
  readonly since: MonotonicMs;
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
  let closedAt = clock.now();
  let trouble: string | null = null;
  let seen: ReadonlyMap<string, Seen> = new Map();
  while (!isGivenUp()) {
    const { sessions, matched, silentWorkers } = await deps.list();
    if (matched === 0 && silentWorkers === 0) return ended(closed, cut, trouble);
    if (clock.now() >= deadline) {
      const now = await deps.close(sessions.map(({ id }) => id));
      cut += now;
      // More than are told at once; or they can't be closed one by one, and end with the change of the primary.
      if (now === 0 || matched <= sessions.length) return ended(closed, cut, trouble);
      continue;
    }
    const before = seen;
    seen = look(sessions, before, clock.now());
    const now = clock.now();
    const isStuck = matched === 1 || now - closedAt >= STUCK_MS;
    const candidates = [...longSilent(seen, now), ...(isStuck ? justSilent(seen, before) : [])];
    const found = await resting(candidates, deps).catch((thrown: unknown) => {
      trouble = describeError(thrown).message;
      return [];
    });
    const patient = longSilent(new Map(found.map(one => [idOf(one), one])), now);
    // Of those that were busy a moment ago one at a time: its users go to our door, and leave the others to rest.
    const doomed = patient.length > 0 ? patient : found.slice(0, 1);
    const gone =
      doomed.length === 0
        ? 0
        : await deps.close(
            doomed.map(idOf),
            doomed.map(({ bytes }) => bytes),
          );
    if (gone > 0) closedAt = clock.now();
    closed += gone;
    await new Promise<void>(resolve => void clock.schedule(LOOK_EVERY_MS, resolve));
  }
  return { ok: false, detail: 'it was given up', output: '' };
}

const idOf = ({ session }: Seen): string => session.id;

function look(
  sessions: readonly OpenSession[],
  before: ReadonlyMap<string, Seen>,
  now: MonotonicMs,
): ReadonlyMap<string, Seen> {
  return new Map(
    sessions.map(session => {
      const bytes = session.bytesUp + session.bytesDown;
      const known = before.get(session.id);
      if (known === undefined) return [session.id, { session, bytes, since: now, restedMs: 0 }];
      if (known.bytes === bytes) return [session.id, { ...known, session }];
      return [session.id, { session, bytes, since: now, restedMs: now - known.since }];
    }),
  );
}

const longSilent = (seen: ReadonlyMap<string, Seen>, now: MonotonicMs): readonly Seen[] =>
  [...seen.values()].filter(({ since, restedMs }) => now - since >= Math.max(LONG_REST_MS, 2 * restedMs));

/** Whoever has said something since the last look, and may rest now. */
function justSilent(seen: ReadonlyMap<string, Seen>, before: ReadonlyMap<string, Seen>): readonly Seen[] {
  return [...seen.values()].filter(({ session, bytes }) => {
    const known = before.get(session.id);
    return known !== undefined && known.bytes !== bytes;
  });
}

async function resting(candidates: readonly Seen[], deps: DrainDeps): Promise<readonly Seen[]> {
  if (candidates.length === 0) return [];
  const rest = await deps.rest();
  if (rest === null) return candidates;
  return candidates.filter(
    ({ session: { local } }) => local !== null && rest.get(`${local.host}:${local.port}`) === true,
  );
}

function ended(closed: number, cut: number, trouble: string | null): StepResult {
  const amid = cut === 0 ? '' : `, ${cut} amid a transaction or unseen when the time was up`;
  const why = trouble === null ? '' : ` (who is in a transaction could not always be asked: ${trouble})`;
  return { ok: true, detail: `${closed} sessions closed between two transactions${amid}${why}`, output: '' };
}
