// Keeps what a loss report will need once the primary is gone: its last word, and what the others told last as replicas.
// Follows every change of the topology; decides nothing, and knows no clock. Owned by the incident recorder.

import { type MonotonicMs } from '../../core/clock.ts';
import {
  factsOf,
  hasPassed,
  type PassedResult,
  type ProbeResult,
  type ServerFacts,
} from '../../health/result.ts';
import { lossOf, lossOfUnseen, lossOnReturn, type Loss } from '../loss.ts';
import { type BackendChange, type BackendView, type ServerView } from '../model.ts';
import { type LossCase, type Word } from './shapes.ts';

interface Replica {
  /** The newest of the history it is in, and of the one before: a replica goes over to the new primary's. */
  readonly words: readonly Word[];
  /** As its primary knew it; `null` where that was hidden. */
  readonly standbyName: string | null;
}

interface Memory {
  /** The newest word of the elected primary, or of the last one. */
  primary: Word | null;
  readonly replicas: Map<string, Replica>;
  /** Of the last change of the primary. */
  lossCase: LossCase | null;
  /** The old primary has been heard of since. */
  returned: boolean;
}

export class LossWatch {
  readonly #memories = new Map<string, Memory>();

  observe(change: BackendChange): void {
    const { before, after } = change;
    const memory = this.#memories.get(after.name) ?? {
      primary: null,
      replicas: new Map<string, Replica>(),
      lossCase: null,
      returned: false,
    };
    this.#memories.set(after.name, memory);
    for (const [index, server] of after.servers.entries()) {
      if (server !== before.servers[index]) rememberReplica(memory.replicas, server, after);
    }
    if (before.primary !== after.primary) memory.lossCase = null;
    const primary = after.servers.find(({ name }) => name === after.primary);
    const result = primary?.result ?? null;
    if (primary === undefined || result === null || !hasPassed(result)) return;
    // A primary of before a restart that isn't up yet may turn out to be something else.
    if (primary.health.kind !== 'up') return;
    const present: Word = { server: primary.name, result };
    if (before.primary !== after.primary) {
      memory.lossCase = memory.primary && caseOf(after, memory.primary, present, primary, memory.replicas);
      memory.returned = false;
      memory.replicas.delete(primary.name);
    }
    memory.primary = present;
  }

  forget(backend: string): void {
    this.#memories.delete(backend);
  }

  /** Of the change of the primary from `old` that was observed last. `signAt`: the first bad sign of it. */
  assess(backend: string, old: string, signAt: MonotonicMs): Loss {
    const lossCase = this.#memories.get(backend)?.lossCase ?? null;
    if (lossCase === null) return lossOfUnseen(old);
    return lossOf(lossCase, Math.max(0, signAt - askedAt(lossCase.former.result)));
  }

  /** What a report must become after this change; `null`: it stays. At most once by the old primary's return, once by what came since. */
  revise({ after }: BackendChange, loss: Loss): Loss | null {
    const memory = this.#memories.get(after.name);
    const lossCase = memory?.lossCase ?? null;
    if (memory === undefined || memory.primary === null || lossCase === null) return null;
    const old = lossCase.former.server;
    if (old === lossCase.present.server) return null;
    const result = after.servers.find(({ name }) => name === old)?.result ?? null;
    const word = !memory.returned && isLater(result, lossCase) ? { server: old, result } : null;
    const awaited = loss.kind === 'transactions' && loss.count > 0;
    if (word === null && !awaited) return null;
    const revised = lossOnReturn(loss, lossCase, word, memory.primary);
    if (revised === null) return null;
    if (word !== null) memory.returned = true;
    return revised;
  }
}

/** The facts in an answer are older than the answer by no more than this. */
const askedAt = ({ at, durationMs }: PassedResult): MonotonicMs => at - durationMs;

function isLater(result: ProbeResult | null, { present }: LossCase): result is PassedResult {
  return result !== null && hasPassed(result) && result.at > present.result.at;
}

function caseOf(
  { protocol }: BackendView,
  former: Word,
  present: Word,
  { name, upSince }: ServerView,
  replicas: ReadonlyMap<string, Replica>,
): LossCase {
  const own = replicas.get(name);
  const promotedFrom = own?.words.at(-1) ?? null;
  const unbroken = promotedFrom !== null && upSince !== null && upSince <= promotedFrom.result.at;
  return Object.freeze({
    protocol,
    former,
    present,
    promotedFrom: unbroken ? promotedFrom : null,
    witnesses: [...replicas.values()].flatMap(({ words }) => words),
    standbyName: own?.standbyName ?? null,
  });
}

function rememberReplica(replicas: Map<string, Replica>, server: ServerView, view: BackendView): void {
  const { name, result } = server;
  if (result === null) replicas.delete(name);
  const facts = factsOf(result);
  if (result === null || !hasPassed(result) || facts?.role !== 'replica' || !isCertain(facts, view)) return;
  const known = replicas.get(name);
  const earlier = known?.words.findLast(word => historyKey(word.result.facts) !== historyKey(facts));
  replicas.set(name, {
    words: [...(earlier === undefined ? [] : [earlier]), { server: name, result }],
    // What it was called while it received: after its primary's death there is nothing to be seen.
    standbyName: facts.replicating === true ? (facts.wal?.standbyName ?? null) : (known?.standbyName ?? null),
  });
}

/**
 * A PostgreSQL server that receives nothing tells the timeline of its last checkpoint: once there is a newer primary it may
 * be on that one's already.
 */
function isCertain({ replicating, timeline }: ServerFacts, { servers }: BackendView): boolean {
  if (timeline === null || replicating === true) return true;
  return !servers.some(({ lastAnswer }) => {
    return lastAnswer?.facts.role === 'primary' && (lastAnswer.facts.timeline ?? 0) > timeline;
  });
}

function historyKey({ systemId, timeline, history }: ServerFacts): string {
  const id = history?.kind === 'redis' ? history.replicationId : '';
  return `${systemId ?? ''} ${timeline ?? ''} ${id}`;
}
