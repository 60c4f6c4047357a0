// The truth about PostgreSQL servers: system identifiers, timelines, and the branches of the true history, which travel in
// the place of the version. Used by oracle.ts.

import { type Loss } from '../../src/topology/loss.ts';
import { readLine, type Line } from './line.ts';
import { type Lineage, type Scene, type Truths } from './truths.ts';
import { lsnOf, type Witness } from './witness.ts';

export class PostgresTruths implements Truths {
  /** The history that was followed last: nothing older is followed again. */
  #lineage: Lineage | null = null;
  /** The true history of the followed server as of its newest word, and that of the one before it, as of its last. */
  #line: Line | null = null;
  #formerLine: Line | null = null;
  #formerTimeline = 0;
  #lineServer: Witness | null = null;
  #formerServer: Witness | null = null;

  get lineage(): Lineage | null {
    return this.#lineage;
  }

  disqualifies(server: Witness): string | null {
    return this.#isOutdated(server) ? 'it is of an older history, or another cluster' : null;
  }

  isQuestionable(server: Witness): boolean {
    return this.#isOutdated(server);
  }

  objectionTo(server: Witness, scene: Scene): string | null {
    if (this.#isSetBack(server, scene)) return 'a standby has had more of its timeline than it has now';
    return this.#isUnsettled(server, scene) ? 'it has only just returned' : null;
  }

  isConfirmed(): boolean {
    return false;
  }

  isPromoted({ facts }: Witness): boolean {
    const lineage = this.#lineage;
    return (
      lineage !== null && facts?.systemId === lineage.systemId && (facts.timeline ?? 0) > lineage.timeline
    );
  }

  beats(one: Witness, other: Witness, { members }: Scene): boolean {
    const [a, b] = [one.facts?.timeline ?? 0, other.facts?.timeline ?? 0];
    if (one.facts?.systemId === other.facts?.systemId && a !== b) return a > b;
    const followers = (of: Witness): number =>
      members.filter(({ facts }) => facts?.upstream === of.address).length;
    return followers(one) > 0 && followers(other) === 0;
  }

  successorOf(server: Witness, scene: Scene): Witness | null {
    const own = server.lastFacts;
    if (own === null || own.timeline === null) return null;
    const newer = scene.members.filter(
      ({ facts }) =>
        facts !== null && facts.systemId === own.systemId && (facts.timeline ?? 0) > own.timeline!,
    );
    const [only] = newer;
    if (only === undefined || newer.length > 1 || only === server || !scene.claims(only)) return null;
    return only;
  }

  learn({ followed: server, claims }: Scene): void {
    if (server === null || !claims(server)) return;
    const { facts } = server;
    const lineage = this.#lineage;
    if (facts === null || facts.systemId === null || facts.timeline === null) return;
    this.#line = readLine(facts.version);
    this.#lineServer = server;
    if (lineage?.systemId === facts.systemId && lineage.timeline >= facts.timeline) return;
    this.#lineage = { systemId: facts.systemId, timeline: facts.timeline };
  }

  followedAnother(): void {
    this.#formerLine = this.#line;
    this.#formerServer = this.#lineServer;
    this.#formerTimeline = this.#lineage?.timeline ?? 0;
  }

  /** What was seen of the old primary's own history and isn't in the new one's is lost: a report may not say less. */
  lieIn(loss: Loss, { followed }: Scene): string | null {
    const former = this.#formerLine;
    const present = this.#line;
    const told = loss.kind === 'none' ? 0 : loss.kind === 'bytes' ? loss.bytes : null;
    if (former === null || present === null || told === null) return null;
    // “At least” is no promise of the contrary.
    if (loss.kind === 'bytes' && loss.atLeast) return null;
    const [branch, seen] = former.at(-1) ?? [0, 0];
    const [, start] = former.at(-2) ?? [0, 0];
    const shared = present.find(([id]) => id === branch)?.[1] ?? null;
    // Nothing that servers tell shows that one was promoted twice over from a history that only bears the same numbers.
    if (shared === null && this.#formerTimeline !== (this.#lineage?.timeline ?? 0)) return null;
    // Nor that one was rewound and promoted again while nobody could see it.
    if (shared === null && this.#formerServer === followed && !followed?.wasStandbySince) return null;
    const covered = shared ?? start;
    return seen - covered > told ? `${seen - covered} bytes that were seen` : null;
  }

  remember(): unknown {
    return this.#lineage;
  }

  recall(knowledge: unknown): void {
    this.#lineage = knowledge as Lineage | null;
    this.#line = null;
    this.#formerLine = null;
    this.#lineServer = null;
    this.#formerServer = null;
  }

  #isOutdated({ facts }: Witness): boolean {
    const lineage = this.#lineage;
    if (lineage === null || facts === null || facts.systemId === null) return false;
    return facts.systemId !== lineage.systemId || (facts.timeline ?? lineage.timeline) < lineage.timeline;
  }

  /**
   * What a standby tells later it may have received from that very server since; not where it receives nothing. One that an
   * operator put in maintenance is to be rebuilt, and no witness.
   */
  #isSetBack(server: Witness, { members }: Scene): boolean {
    const { facts, lsn, at } = server;
    if (facts === null || lsn === null) return false;
    return members.some(other => {
      const theirs = other.lastFacts;
      if (other === server || other.admin === 'maintenance') return false;
      if (theirs === null || theirs.role !== 'replica') return false;
      if (other.lastFactsAt > at && theirs.replicating !== false) return false;
      const comparable = theirs.systemId === facts.systemId && theirs.timeline === facts.timeline;
      return comparable && (lsnOf(theirs) ?? 0) > lsn;
    });
  }

  #isUnsettled(server: Witness, scene: Scene): boolean {
    const { settleMs } = scene.bounds;
    if (settleMs === 0 || this.#lineage === null || this.isPromoted(server) || scene.isNamed(server))
      return false;
    return server.writableSince === null || scene.now - server.writableSince < settleMs;
  }
}
