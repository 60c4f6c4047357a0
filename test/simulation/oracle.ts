// The judge: one check for each safety rule of the design, by number, from what Pointsman was told and what it did.
// It never asks the topology what it believes. What it is told of: answers handed to the monitors, the orchestrator's word,
// members and admin states (inputs); published changes, splices, bytes sent on, sessions ended (outputs).
// Fed by simulation.ts. The first violation of a run is what counts: later ones may follow from it.

import { type ProbeAnswer } from '../../src/health/prober.ts';
import { type Opinion } from '../../src/topology/model.ts';
import { type Loss } from '../../src/topology/loss.ts';
import { type SessionWitness } from './socket.ts';
import { lsnOf, Witness, type Bounds } from './witness.ts';

/** A number of the design's section 2; `live`: clients are served again after all is healed; `leak`; `crash`. */
export type Rule = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 'live' | 'leak' | 'crash';

export interface Violation {
  readonly rule: Rule;
  readonly atMs: number;
  readonly what: string;
}

export interface OracleSetup extends Bounds {
  readonly policy: 'newest' | 'keep' | 'block' | 'ordered';
  readonly orchestrated: boolean;
  readonly routes: Readonly<Record<string, string>>;
}

/** Branches of the true history, each with the position where it was left. */
type Line = readonly (readonly [branch: number, lsn: number])[];

function lineOf(text: string): Line {
  return text.split(' ').map(part => {
    const [branch, lsn] = part.split('@');
    return [Number(branch), Number(lsn)];
  });
}

export class Oracle {
  readonly violations: Violation[] = [];
  isClosing = false;
  /** A number that any difference between two runs changes. */
  hash = 0x811c9dc5;
  readonly #setup: OracleSetup;
  readonly #now: () => number;
  readonly #witnesses = new Map<string, Witness>();
  #members: readonly Witness[] = [];
  #names: ReadonlyMap<string, Witness> = new Map();
  #opinion: Opinion | null | 'awaited';
  #followed: Witness | null = null;
  /** The history that was followed last: nothing older is followed again. */
  #lineage: { systemId: string; timeline: number } | null = null;
  #everFollowed = false;
  #straySessions = 0;
  /** The true history of the followed server as of its newest word, and that of the one before it, as of its last. */
  #line: Line | null = null;
  #formerLine: Line | null = null;
  #formerTimeline = 0;
  #lineServer: Witness | null = null;
  #formerServer: Witness | null = null;
  /** Was followed until the change that is being carried out now. */
  #leaving: Witness | null = null;

  constructor(setup: OracleSetup, now: () => number) {
    this.#setup = setup;
    this.#now = now;
    this.#opinion = setup.orchestrated ? 'awaited' : null;
  }

  violation(rule: Rule, what: string): void {
    this.violations.push({ rule, atMs: this.#now(), what });
  }

  /** What clients were led to last; `null`: to nothing yet. */
  get followed(): { readonly systemId: string; readonly timeline: number } | null {
    return this.#lineage;
  }

  // Inputs

  members(list: readonly { readonly name: string; readonly address: string }[]): void {
    for (const member of this.#members) member.isMember = false;
    this.#members = list.map(({ address }) => this.#witness(address));
    this.#names = new Map(list.map(({ name, address }) => [name, this.#witness(address)]));
    for (const member of this.#members) member.isMember = true;
    this.#straySessions = 0;
    for (const witness of this.#witnesses.values())
      if (!witness.isMember) this.#straySessions += witness.sessions;
  }

  monitored(address: string): void {
    this.#witness(address).forget();
  }

  delivered(address: string, answer: ProbeAnswer): void {
    this.#mix(address.length + answer.code.length);
    this.#witness(address).hear(answer, this.#now(), this.#setup);
  }

  opinion(opinion: Opinion | null): void {
    this.#opinion = opinion;
  }

  admin(address: string, state: Witness['admin']): void {
    this.#witness(address).admin = state;
  }

  // Outputs

  /** What was seen of the old primary's own history and isn't in the new one's is lost: a report may not say less. */
  lossReported(newPrimary: string | null, loss: Loss | null): void {
    const former = this.#formerLine;
    const present = this.#line;
    const told = loss?.kind === 'none' ? 0 : loss?.kind === 'bytes' ? loss.bytes : null;
    if (former === null || present === null || told === null || loss === null) return;
    // “At least” is no promise of the contrary.
    if (loss.kind === 'bytes' && loss.atLeast) return;
    const [branch, seen] = former.at(-1) ?? [0, 0];
    const [, start] = former.at(-2) ?? [0, 0];
    const shared = present.find(([id]) => id === branch)?.[1] ?? null;
    // Nothing that servers tell shows that one was promoted twice over from a history that only bears the same numbers.
    if (shared === null && this.#formerTimeline !== (this.#lineage?.timeline ?? 0)) return;
    // Nor that one was rewound and promoted again while nobody could see it.
    if (shared === null && this.#formerServer === this.#followed && !this.#followed?.wasStandbySince) return;
    const covered = shared ?? start;
    if (seen - covered > told) {
      this.violation(
        9,
        `${newPrimary} lacks ${seen - covered} bytes that were seen, and the report says: ${loss.words}`,
      );
    }
  }

  published(primary: string | null): void {
    const next = primary === null ? null : (this.#names.get(primary) ?? null);
    const before = this.#followed;
    if (primary !== null && next === null) this.violation(2, `${primary} is elected and is no member`);
    if (next !== before) {
      this.#mix(next === null ? 7 : next.address.charCodeAt(next.address.length - 6));
      if (next === null) this.#judgeLoss(before!);
      else {
        this.#judgeElection(before, next);
        this.#formerLine = this.#line;
        this.#formerServer = this.#lineServer;
        this.#formerTimeline = this.#lineage?.timeline ?? 0;
      }
      this.#followed = next;
      if (next !== null) this.#everFollowed = true;
      if (before !== null) before.demotions += 1;
      this.#leaving = before;
    } else if (next !== null) {
      next.wasStandbySince = false;
    }
    if (next !== null && this.#claims(next)) this.#learn(next);
  }

  spliced(frontend: string, address: string): SessionWitness {
    const now = this.#now();
    this.#mix(address.charCodeAt(address.length - 6) + now);
    const route = this.#setup.routes[frontend] ?? 'primary';
    const server = this.#witness(address);
    if (route === 'primary') this.#judgePrimarySplice(server);
    this.#judgeSplice(server, route);
    const openedAt = now;
    const isPrimary = route === 'primary';
    server.sessions += 1;
    if (isPrimary) server.primarySessions += 1;
    if (!server.isMember) this.#straySessions += 1;
    const bornUnder = server.demotions;
    return {
      forwarded: () => {
        if (isPrimary) this.#judgeForwarding(server);
      },
      over: ours => {
        this.#mix(openedAt);
        server.sessions -= 1;
        if (isPrimary) server.primarySessions -= 1;
        if (!server.isMember) this.#straySessions -= 1;
        if (ours) this.#judgeClosing(server, route, bornUnder);
      },
    };
  }

  /** The newest change has been carried out by everybody. */
  settled(): void {
    const left = this.#leaving;
    this.#leaving = null;
    if (left !== null && left.sessions > 0) {
      this.violation(3, `${left.address} is the primary no more, and sessions to it go on`);
    }
  }

  /** After every step: what must hold at any time. */
  afterStep(): void {
    if (this.#straySessions > 0)
      this.violation(4, 'a session is open to a server that is no member any more');
    let writers = 0;
    for (const server of this.#members) {
      if (server.sessions === 0) continue;
      if (server.primarySessions > 0) {
        writers += 1;
        if (server.saysOtherwise) {
          this.violation(
            3,
            `${server.address} has said that it isn't writable, and keeps sessions of writers`,
          );
        }
      }
      if (server.admin === 'maintenance') {
        this.violation(4, `${server.address} is in maintenance, and keeps sessions`);
      }
      if (server.health === 'down') this.violation(3, `${server.address} is down, and keeps sessions`);
    }
    if (writers > 1) this.violation(2, 'sessions of writers are open to two servers');
  }

  // The rules

  #judgePrimarySplice(server: Witness): void {
    const { address } = server;
    if (!server.saysWritable)
      this.violation(1, `a writer is joined to ${address}, whose newest word is ${server.code}`);
    for (const other of this.#witnesses.values()) {
      if (other === server) continue;
      if (other.primarySessions > 0) {
        this.violation(2, `a writer is joined to ${address} while others are joined to ${other.address}`);
      }
      if (other === this.#leaving && other.sessions > 0) {
        this.violation(
          3,
          `a writer is joined to ${address}, and sessions to ${other.address} are still open`,
        );
      }
    }
    if (this.#followed !== server)
      this.violation(2, `a writer is joined to ${address}, which is not the primary`);
  }

  #judgeSplice(server: Witness, route: string): void {
    const { address } = server;
    if (!server.isMember) this.violation(4, `a client is joined to ${address}, which is no member`);
    if (server.admin !== 'ready')
      this.violation(1, `a client is joined to ${address}, which is in ${server.admin}`);
    if (server.health !== 'up')
      this.violation(1, `a client is joined to ${address}, which is ${server.health}`);
    if (server.facts === null || !server.isFresh(this.#now(), this.#setup)) {
      this.violation(1, `a client is joined to ${address} on an answer that proves nothing now`);
    }
    if (route !== 'primary' && server.saysWritable && server !== this.#followed) {
      this.violation(2, `a reader is joined to ${address}, a primary that was not elected`);
    }
  }

  #judgeForwarding(server: Witness): void {
    const { policy } = this.#setup;
    const own = server.lastFacts;
    if (policy !== 'newest' || own === null || own.timeline === null) return;
    const newer = this.#members.filter(
      ({ facts }) =>
        facts !== null && facts.systemId === own.systemId && (facts.timeline ?? 0) > own.timeline!,
    );
    const [only] = newer;
    if (only === undefined || newer.length > 1 || only === server || !this.#claims(only)) return;
    if (this.#objectionTo(only) !== null) return;
    this.violation(
      9,
      `a write goes to ${server.address}, though ${only.address} is known to have succeeded it`,
    );
  }

  #judgeClosing(server: Witness, route: string, bornUnder: number): void {
    if (this.isClosing || !server.isMember || server.health === 'down' || server.admin === 'maintenance')
      return;
    const demoted = server.demotions > bornUnder;
    const isFollowed = this.#followed === server;
    if (demoted || (route === 'primary' && !isFollowed) || (route === 'replica' && isFollowed)) return;
    this.violation(
      7,
      `a session to ${server.address} is closed for nothing: its newest word is ${server.code}`,
    );
  }

  /** Nobody is followed any more. */
  #judgeLoss(before: Witness): void {
    if (this.#isGone(before)) return;
    const claimants = this.#members.filter(member => this.#claims(member));
    if (this.#setup.policy === 'block' && claimants.length > 1) return;
    this.violation(
      this.#ruleOfSight(before),
      `${before.address} is given up, though it is ${this.#sightOf(before)}`,
    );
  }

  #judgeElection(before: Witness | null, next: Witness): void {
    const { address } = next;
    if (!this.#claims(next)) {
      this.violation(5, `${address} is elected, though its newest word is ${next.health} ${next.code}`);
      return;
    }
    const objection = this.#objectionTo(next);
    if (objection !== null) this.violation(6, `${address} is elected, though ${objection}`);
    if (!this.#everFollowed) {
      const unheard = this.#members.filter(member => !member.isHeard && member.admin !== 'maintenance');
      const unsure = this.#members.filter(member => member.saysWritable && member.health === 'unknown');
      if (unsure.length > 0)
        this.violation(6, `${address} is elected while ${unsure[0]?.address} is about to claim it`);
      if (unheard.length > 0)
        this.violation(6, `${address} is elected before ${unheard[0]?.address} was heard`);
    }
    this.#judgeAmongSeveral(next);
    if (before === null || this.#isGone(before)) return;
    const newer = this.#isNewer(next);
    const isWell = this.#claims(before);
    const allowed = isWell
      ? this.#setup.policy === 'newest' && this.#beats(next, before)
      : newer || this.#isNamed(next);
    if (allowed) return;
    this.violation(
      this.#ruleOfSight(before),
      `${address} takes over from ${before.address}, which is ${this.#sightOf(before)}`,
    );
  }

  #judgeAmongSeveral(next: Witness): void {
    const { policy } = this.#setup;
    const claimants = this.#members.filter(member => this.#claims(member));
    if (policy === 'block' && claimants.length > 1)
      this.violation(6, `${next.address} is elected among several (block)`);
    const rivals = claimants.filter(other => other !== next && this.#objectionTo(other) === null);
    for (const rival of rivals) {
      const beaten =
        policy === 'newest'
          ? this.#beats(next, rival)
          : policy === 'ordered' && this.#members.indexOf(next) < this.#members.indexOf(rival);
      if (!beaten)
        this.violation(6, `${next.address} is elected without a better right than ${rival.address}`);
    }
  }

  #beats(one: Witness, other: Witness): boolean {
    const [a, b] = [one.facts?.timeline ?? 0, other.facts?.timeline ?? 0];
    if (one.facts?.systemId === other.facts?.systemId && a !== b) return a > b;
    const followers = (of: Witness): number =>
      this.#members.filter(({ facts }) => facts?.upstream === of.address).length;
    return followers(one) > 0 && followers(other) === 0;
  }

  /** Lost by its own word, by proof of its death, or by somebody's decision: not merely out of sight. */
  #isGone(server: Witness): boolean {
    if (
      !server.isMember ||
      server.admin === 'maintenance' ||
      server.health === 'down' ||
      server.saysOtherwise
    )
      return true;
    return this.#claims(server) && (this.#isOutdated(server) || this.#isContradicted(server));
  }

  #sightOf(server: Witness): string {
    if (this.#claims(server)) return 'seen well';
    return server.kind === 'pass' ? 'not seen lately' : `not proven lost (${server.code})`;
  }

  #ruleOfSight(server: Witness): Rule {
    if (this.#claims(server)) return 8;
    return server.kind === 'inconclusive' ? 7 : 5;
  }

  #claims(server: Witness): boolean {
    return server.claims(this.#now(), this.#setup);
  }

  #objectionTo(server: Witness): string | null {
    if (this.#opinion === 'awaited') return 'the orchestrator has not been heard';
    if (this.#isOutdated(server)) return 'it is of an older history, or another cluster';
    if (this.#isContradicted(server)) return 'the orchestrator contradicts it';
    if (server === this.#followed) return null;
    if (this.#isSetBack(server)) return 'a standby has had more of its timeline than it has now';
    return this.#isUnsettled(server) ? 'it has only just returned' : null;
  }

  #isOutdated({ facts }: Witness): boolean {
    const lineage = this.#lineage;
    if (lineage === null || facts === null || facts.systemId === null) return false;
    return facts.systemId !== lineage.systemId || (facts.timeline ?? lineage.timeline) < lineage.timeline;
  }

  #isNewer({ facts }: Witness): boolean {
    const lineage = this.#lineage;
    return (
      lineage !== null && facts?.systemId === lineage.systemId && (facts.timeline ?? 0) > lineage.timeline
    );
  }

  #isContradicted(server: Witness): boolean {
    const opinion = this.#opinion;
    if (opinion === null || opinion === 'awaited' || opinion.passive) return false;
    const isMeant = ({ address }: { address: { host: string; port: number } }): boolean =>
      `${address.host}:${address.port}` === server.address;
    if (opinion.against.some(isMeant)) return true;
    return opinion.primary === null ? server !== this.#followed : !isMeant(opinion.primary);
  }

  #isNamed(server: Witness): boolean {
    const opinion = this.#opinion;
    if (opinion === null || opinion === 'awaited' || opinion.passive || opinion.primary === null)
      return false;
    return !this.#isContradicted(server);
  }

  #isSetBack(server: Witness): boolean {
    const { facts, lsn, at } = server;
    if (facts === null || lsn === null) return false;
    return this.#members.some(other => {
      const theirs = other.lastFacts;
      if (other === server || theirs === null || theirs.role !== 'replica' || other.lastFactsAt > at)
        return false;
      const comparable = theirs.systemId === facts.systemId && theirs.timeline === facts.timeline;
      return comparable && (lsnOf(theirs) ?? 0) > lsn;
    });
  }

  #isUnsettled(server: Witness): boolean {
    const { settleMs } = this.#setup;
    if (settleMs === 0 || this.#lineage === null || this.#isNewer(server) || this.#isNamed(server))
      return false;
    return server.writableSince === null || this.#now() - server.writableSince < settleMs;
  }

  #learn(server: Witness): void {
    const { facts } = server;
    const lineage = this.#lineage;
    if (facts === null || facts.systemId === null || facts.timeline === null) return;
    this.#line = lineOf(facts.version ?? '');
    this.#lineServer = server;
    if (lineage?.systemId === facts.systemId && lineage.timeline >= facts.timeline) return;
    this.#lineage = { systemId: facts.systemId, timeline: facts.timeline };
  }

  #witness(address: string): Witness {
    let witness = this.#witnesses.get(address);
    if (witness === undefined) this.#witnesses.set(address, (witness = new Witness(address)));
    return witness;
  }

  #mix(value: number): void {
    this.hash = Math.imul(this.hash ^ ((value * 1000 + this.#now() * 1000) | 0), 0x01000193) >>> 0;
  }
}
