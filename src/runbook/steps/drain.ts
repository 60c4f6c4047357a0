// Closes the sessions of a server for a switchover: each between two transactions, as the server itself tells, and what is
// left when the time is up amid one. New ones don't come meanwhile: the topology holds them. Called by runner.ts.

// An application that sends at the very moment in which its connection is closed sees an error, and nobody can prevent that.
// So a session goes that its application has passed over: it used others meanwhile, again and again, and just now (one that
// is silent because its process has no turn would use all of them at once when it has). A pool takes what was used last; the
// more of its connections are gone, the more of its users wait at our door, and the more are passed over. The last one goes
// when it has just come to rest: its user has only begun to think, and nobody else is there to take it.

import { type Address } from '../../core/address.ts';
import { type Clock } from '../../core/clock.ts';
import { describeError } from '../../core/errors.ts';
import { type RunningStep, type StepResult } from '../model.ts';
import { type Rest } from './transactions.ts';

/** Between two looks: a session rests for a few milliseconds only where an application is busy. */
const LOOK_EVERY_MS = 3;
/** So often others of the same application must have been used since, and for so long it must have been silent. */
const PASSED_OVER_MIN = 8;
const SILENT_MIN_MS = 300;
/** Where nobody of an application says anything: it does nothing now. */
const LONG_SILENT_MS = 1500;
/** Where we had no turn for longer, others had none either: then nobody rested, nobody could do anything. */
const GAP_COUNTED_MS = 20;
/** An application that makes many new connections at once is slow to notice what has ended. */
const AT_ONCE = 2;
/** As old as this may be what a closing rests on, or twice what a look at that server takes at best. */
const FRESH_MS = 12;
/** None could be closed for so long: then one that has just come to rest. */
const STUCK_MS = 2000;

/** What must be known of a session to close it at the right moment. */
interface OpenSession {
  readonly id: string;
  /** Our end of the connection to the server, as the server sees it. */
  readonly local: Address | null;
  /** Whose it is: the host alone matters. */
  readonly client: Address;
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

/** A session as it was seen, and what has been since it said something last. */
interface Seen {
  readonly session: OpenSession;
  readonly bytes: number;
  readonly silentMs: number;
  /** In how many looks others of its application were seen at work: a burst of them counts once. */
  readonly passedOver: number;
  /** Others of its application were, since the look before. */
  readonly isPassedOver: boolean;
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
  let [closedAt, lookedAt] = [clock.now(), clock.now()];
  let quickestMs = Infinity;
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
    const now = clock.now();
    seen = look(sessions, before, now - lookedAt);
    lookedAt = now;
    const isStuck = matched === 1 || now - closedAt >= STUCK_MS;
    const candidates = [
      ...[...seen.values()].filter(isPatient),
      ...(isStuck ? justSilent(seen, before) : []),
    ];
    const found = await resting(candidates, deps).catch((thrown: unknown) => {
      trouble = describeError(thrown).message;
      return [];
    });
    // Late, it is the silence of a moment ago, and its application may have begun something since.
    const tookMs = clock.now() - now;
    quickestMs = Math.min(quickestMs, tookMs);
    const isFresh = tookMs <= Math.max(FRESH_MS, 2 * quickestMs);
    const patient = found.filter(isPatient).sort((one, other) => other.silentMs - one.silentMs);
    const ready = patient.length > 0 ? patient.slice(0, AT_ONCE) : found.slice(0, 1);
    const doomed = isFresh ? ready : [];
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

/** `sinceMs`: the time since the look before. */
function look(
  sessions: readonly OpenSession[],
  before: ReadonlyMap<string, Seen>,
  sinceMs: number,
): ReadonlyMap<string, Seen> {
  const countedMs = Math.min(sinceMs, GAP_COUNTED_MS);
  const bytesOf = ({ bytesUp, bytesDown }: OpenSession): number => bytesUp + bytesDown;
  const isSilent = (session: OpenSession): boolean => before.get(session.id)?.bytes === bytesOf(session);
  const working = new Map<string, number>();
  for (const session of sessions) {
    const { host } = session.client;
    if (before.has(session.id) && !isSilent(session)) working.set(host, (working.get(host) ?? 0) + 1);
  }
  return new Map(
    sessions.map(session => {
      const known = isSilent(session) ? before.get(session.id) : undefined;
      const others = working.get(session.client.host) ?? 0;
      const seen: Seen = {
        session,
        bytes: bytesOf(session),
        silentMs: known === undefined ? 0 : known.silentMs + countedMs,
        passedOver: known === undefined ? 0 : known.passedOver + Math.min(others, 1),
        isPassedOver: others > 0,
      };
      return [session.id, seen];
    }),
  );
}

function isPatient({ silentMs, passedOver, isPassedOver }: Seen): boolean {
  if (silentMs >= LONG_SILENT_MS) return true;
  return isPassedOver && passedOver >= PASSED_OVER_MIN && silentMs >= SILENT_MIN_MS;
}

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
