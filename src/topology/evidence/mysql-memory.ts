// What is remembered between the elections of a MySQL backend: what the primary had, as it was seen last and a little
// before, and what its successor took over without. Frozen values and pure functions. Used by mysql.ts.

import { type MonotonicMs } from '../../core/clock.ts';
import { factsOf, type GtidSet } from '../../health/result.ts';
import { type Ballot, type Claimant } from '../evidence.ts';
import { type ServerView } from '../model.ts';
import { historyOf, isNone, lackingOf, type GtidHistory } from './mysql-history.ts';
import { watched, type Watch } from './mysql-watch.ts';

/** What a server had at a moment. */
export interface Sample {
  readonly at: MonotonicMs;
  readonly history: GtidHistory;
}

export interface MysqlMemory {
  /** The primary, or the last one. */
  readonly primary: string;
  /** The cluster that it belongs to (Galera, Group Replication); `null` for none. */
  readonly systemId: string | null;
  /** What it had, oldest first; empty if it tells no GTIDs. */
  readonly samples: readonly Sample[];
  /** Since when it isn't seen to be writable; `null` while it is. */
  readonly unseenSince: MonotonicMs | null;
  /** What the primary before it had and this one lacked when it took over; `null` for nothing. */
  readonly owed: { readonly of: string; readonly transactions: GtidSet } | null;
  /** What of the servers' replication looked wrong in their newest results, to tell a fault from a passing state. */
  readonly watch: Watch;
}

/**
 * A transaction this old, by the clock of the proxy, was shipped to whoever follows well. A younger one may have been
 * seen by a probe and died with its server before it was sent anywhere.
 */
const SETTLED_AFTER_MS = 1000;
/** Samples nearer to each other are one: a probe every 10 ms would fill memory and tell no more. */
const SAMPLES_APART_MS = 250;

export function remember(ballot: Ballot<MysqlMemory>, chosen: Claimant | null): MysqlMemory | null {
  const { memory, now } = ballot;
  const watch = watched(memory?.watch ?? {}, ballot.servers);
  if (chosen !== null && chosen.name !== memory?.primary) return successor(memory, chosen, watch);
  if (memory === null) return null;
  const primary = ballot.servers.find(server => server.name === memory.primary);
  return Object.freeze({
    ...memory,
    systemId: chosen?.facts.systemId ?? memory.systemId,
    samples: extended(memory.samples, primary),
    unseenSince: chosen === null ? (memory.unseenSince ?? now) : null,
    owed: stillOwed(memory.owed, primary),
    watch,
  });
}

/** The newest thing known of what the last primary had. */
export function newest({ samples }: MysqlMemory): Sample | null {
  return samples.at(-1) ?? null;
}

/**
 * What the primary had a second before `at`: whoever follows it well had that too by then. Of one that was elected later
 * than that: what it had when it was.
 */
export function settledBy({ samples }: MysqlMemory, at: MonotonicMs): Sample | null {
  return samples.findLast(sample => sample.at <= at - SETTLED_AFTER_MS) ?? samples[0] ?? null;
}

function successor(before: MysqlMemory | null, chosen: Claimant, watch: Watch): MysqlMemory {
  const history = historyOf(chosen.facts);
  const had = before === null ? null : newest(before);
  const missing = history === null || had === null ? null : lackingOf(history, had.history.transactions);
  return Object.freeze({
    primary: chosen.name,
    systemId: chosen.facts.systemId,
    samples: extended([], chosen.server),
    unseenSince: null,
    owed:
      before === null || missing === null || isNone(missing)
        ? null
        : { of: before.primary, transactions: missing },
    watch,
  });
}

/** What it has fetched since is owed no more. */
function stillOwed(owed: MysqlMemory['owed'], primary: ServerView | undefined): MysqlMemory['owed'] {
  const history = historyOf(primary?.lastAnswer?.facts ?? null);
  if (owed === null || history === null) return owed;
  return isNone(lackingOf(history, owed.transactions)) ? null : owed;
}

/** With the newest word of the server, and no more of the old ones than `settledBy` needs. */
function extended(samples: readonly Sample[], server: ServerView | undefined): readonly Sample[] {
  const result = server?.result ?? null;
  const history = historyOf(factsOf(result));
  const last = samples.at(-1);
  if (result === null || history === null || (last !== undefined && result.at <= last.at)) return samples;
  const before = samples.at(-2);
  const near = before !== undefined && result.at - before.at < SAMPLES_APART_MS;
  const all = [...(near ? samples.slice(0, -1) : samples), { at: result.at, history }];
  const settled = all.findLastIndex(sample => sample.at <= result.at - SETTLED_AFTER_MS);
  return Object.freeze(all.slice(Math.max(0, settled)));
}
