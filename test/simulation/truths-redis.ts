// The truth about Redis servers: which process holds which part of the true history, and how long each has said that it is
// the primary. More lenient than the production code wherever only the documents' promise counts: a process that was
// restarted with less is not followed while somebody has more. Used by oracle.ts.

import { type History } from '../../src/health/result.ts';
import { type Loss } from '../../src/topology/loss.ts';
import { readLine, sharedWith, type Line } from './line.ts';
import { type Lineage, type Scene, type Truths } from './truths.ts';
import { type Witness } from './witness.ts';

type RedisHistory = Extract<History, { kind: 'redis' }>;

interface Known {
  /** Of the process that was followed last. */
  readonly process: string;
  readonly line: Line;
}

export class RedisTruths implements Truths {
  /** Nothing of this is brought back after a loss: the cluster itself decides what lives on. */
  readonly lineage: Lineage | null = null;
  #known: Known | null = null;
  #former: Line | null = null;
  /** By address: the process that was seen as a replica. */
  #replicas = new Map<string, string>();
  /** By address: since when a process has said that it is the primary. */
  readonly #claims = new Map<string, { readonly process: string; readonly since: number }>();

  disqualifies(server: Witness, scene: Scene): string | null {
    const history = historyOf(server);
    if (history === null || this.#known === null) return null;
    if (history.runId === this.#known.process || scene.opinion?.process === history.runId) return null;
    const isSettled = this.#isSettled(server, history, scene);
    if (this.#wasReplica(server, history)) {
      if (scene.opinion !== null || isSettled || isFollowed(server, scene)) return null;
      const ahead = this.#ahead(server, scene).filter(other => other.lastFacts?.role === 'replica');
      return ahead.length === 0 ? null : `${ahead[0]?.address} has more of the history`;
    }
    const [holder] = this.#ahead(server, scene);
    if (holder !== undefined)
      return `it was restarted, and ${holder.address} has more of the history than it`;
    const had = this.#known.line.at(-1)?.[1] ?? 0;
    const lacks = (sharedWith(this.#known.line, readLine(server.facts?.version ?? null)) ?? 0) < had;
    return lacks && !isSettled ? 'it was restarted with less than it had, a moment ago' : null;
  }

  isQuestionable(server: Witness, { members }: Scene): boolean {
    const history = historyOf(server);
    if (history === null) return false;
    if (this.#known === null) return members.some(({ lastFacts }) => lastFacts?.role === 'replica');
    return history.runId !== this.#known.process;
  }

  objectionTo(server: Witness, scene: Scene): string | null {
    const history = historyOf(server);
    if (this.#known !== null || history === null || this.#isSettled(server, history, scene)) return null;
    if (scene.opinion?.process === history.runId || isFollowed(server, scene)) return null;
    if (scene.opinion !== null && this.#wasReplica(server, history)) return null;
    const own = readLine(server.facts?.version ?? null);
    const stranger = scene.members.find(({ lastFacts }) => {
      const line = lastFacts?.role === 'replica' ? readLine(lastFacts.version) : [];
      const [branch, end] = line.at(-1) ?? [0, 0];
      return line.length > 0 && branch !== own.at(-1)?.[0] && (sharedWith(line, own) ?? -1) < end;
    });
    return stranger === undefined ? null : `${stranger.address} has what it lacks`;
  }

  /** Decision 0007: all Sentinels name this very process, and it says so itself. */
  isConfirmed(server: Witness, { opinion }: Scene): boolean {
    return opinion !== null && opinion.process === (historyOf(server)?.runId ?? '');
  }

  isPromoted(server: Witness): boolean {
    const history = historyOf(server);
    if (history === null || this.#known === null || !this.#wasReplica(server, history)) return false;
    return sharedWith(this.#known.line, readLine(server.facts?.version ?? null)) !== null;
  }

  beats(one: Witness, other: Witness, scene: Scene): boolean {
    if (isFollowed(one, scene) && !isFollowed(other, scene)) return true;
    const present = scene.followed;
    if (this.#known === null || (present !== null && scene.claims(present))) return false;
    const has = ({ facts }: Witness): number =>
      sharedWith(this.#known?.line ?? [], readLine(facts?.version ?? null)) ?? 0;
    return has(one) >= has(other);
  }

  successorOf(): Witness | null {
    return null;
  }

  learn(scene: Scene): void {
    for (const member of scene.members) {
      const history = historyOf(member);
      if (member.health !== 'up') this.#claims.delete(member.address);
      if (history === null) continue;
      const { runId: process } = history;
      if (member.facts?.role === 'replica') this.#replicas.set(member.address, process);
      if (!member.saysWritable || member.health !== 'up') this.#claims.delete(member.address);
      else if (this.#claims.get(member.address)?.process !== process)
        this.#claims.set(member.address, { process, since: member.at });
    }
    const { followed } = scene;
    const history = followed !== null && scene.claims(followed) ? historyOf(followed) : null;
    if (history !== null)
      this.#known = { process: history.runId, line: readLine(followed?.facts?.version ?? null) };
  }

  followedAnother(): void {
    this.#former = this.#known?.line ?? null;
  }

  lieIn(loss: Loss): string | null {
    const told = loss.kind === 'none' ? 0 : loss.kind === 'bytes' && !loss.atLeast ? loss.bytes : null;
    if (told === null || this.#former === null || this.#known === null) return null;
    const [, seen] = this.#former.at(-1) ?? [0, 0];
    const [, start] = this.#former.at(-2) ?? [0, 0];
    const covered = sharedWith(this.#former, this.#known.line) ?? start;
    return seen - covered > told ? `${seen - covered} bytes that were seen` : null;
  }

  remember(): unknown {
    return { known: this.#known, replicas: new Map(this.#replicas) };
  }

  recall(knowledge: unknown): void {
    const { known, replicas } = (knowledge ?? { known: null, replicas: new Map() }) as {
      known: Known | null;
      replicas: Map<string, string>;
    };
    this.#known = known;
    this.#replicas = new Map(replicas);
    this.#former = null;
    this.#claims.clear();
  }

  #wasReplica({ address }: Witness, { runId }: RedisHistory): boolean {
    return this.#replicas.get(address) === runId;
  }

  #isSettled({ address }: Witness, { runId }: RedisHistory, { now, bounds }: Scene): boolean {
    const claim = this.#claims.get(address);
    return now - (claim?.process === runId ? claim.since : now) >= bounds.settleMs;
  }

  /** Those that aren't lost and were last seen with more of the history that was followed. */
  #ahead(server: Witness, { members }: Scene): readonly Witness[] {
    const line = this.#known?.line ?? [];
    const own = sharedWith(line, readLine(server.facts?.version ?? null)) ?? 0;
    return members.filter(other => {
      if (other === server || other.health === 'down' || other.lastFacts === null) return false;
      const history = other.lastFacts.history?.kind === 'redis' ? other.lastFacts.history : null;
      // One that was restarted itself is no better witness; a replica is one, and the last process that was followed.
      if (other.lastFacts.role === 'primary' && history?.runId !== this.#known?.process) return false;
      const its = readLine(other.lastFacts.version);
      return its.at(-1)?.[0] === line.at(-1)?.[0] && (sharedWith(line, its) ?? 0) > own;
    });
  }
}

function isFollowed(server: Witness, { members }: Scene): boolean {
  const id = historyOf(server)?.replicationId;
  return members.some(other => {
    const { facts } = other;
    if (other === server || facts?.role !== 'replica' || facts.replicating !== true) return false;
    return historyOf(other)?.replicationId === id;
  });
}

function historyOf({ facts }: Witness): RedisHistory | null {
  return facts?.history?.kind === 'redis' ? facts.history : null;
}
