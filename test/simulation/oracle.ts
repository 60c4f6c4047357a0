// The judge: one check for each safety rule of the design, by number, from what Pointsman was told and what it did.
// It never asks the topology what it believes. What it is told of: answers handed to the monitors, the orchestrator's word,
// members and admin states (inputs); published changes, splices, bytes sent on, sessions ended (outputs); restarts, and what
// had been written into the state file by then. What histories mean is the protocol's: truths.ts.
// Fed by simulation.ts. The first violation of a run is what counts: later ones may follow from it.

import { type ProbeAnswer } from '../../src/health/prober.ts';
import { type Nominee, type Opinion } from '../../src/topology/model.ts';
import { type Loss } from '../../src/topology/loss.ts';
import { type Rule } from './rules.ts';
import { type SessionWitness } from './socket.ts';
import { type Lineage, type Scene, type Truths, type Violation } from './truths.ts';
import { Witness, type Bounds } from './witness.ts';

export interface OracleSetup extends Bounds {
  readonly policy: 'newest' | 'keep' | 'block' | 'ordered';
  readonly orchestrated: boolean;
  /** The servers are those that the orchestrator lists. */
  readonly learned: boolean;
  readonly routes: Readonly<Record<string, string>>;
}

/** What a state file holds, as the oracle would have written it. */
export interface Knowledge {
  readonly truths: unknown;
  readonly primary: string | null;
  readonly everFollowed: boolean;
  readonly epoch: number;
  readonly decisions: ReadonlyMap<string, Witness['admin']>;
}

export class Oracle {
  readonly violations: Violation[] = [];
  isClosing = false;
  /** A number that any difference between two runs changes. */
  hash = 0x811c9dc5;
  readonly #setup: OracleSetup;
  readonly #truths: Truths;
  readonly #now: () => number;
  readonly #witnesses = new Map<string, Witness>();
  #members: readonly Witness[] = [];
  #names: ReadonlyMap<string, Witness> = new Map();
  #opinion: Opinion | null | 'awaited';
  #followed: Witness | null = null;
  /** The primary of before a restart: to be followed again, as soon as anybody may be. */
  #awaited: Witness | null = null;
  /** Since the restart the primary has not been seen to be well. */
  #isResuming = false;
  #everFollowed = false;
  #epoch = 0;
  #straySessions = 0;
  #reloads = 0;
  /** By open session: how many reloads there had been when it began. */
  readonly #open = new Map<object, { readonly server: Witness; readonly reloads: number }>();
  /** Was followed until the change that is being carried out now. */
  #leaving: Witness | null = null;

  constructor(setup: OracleSetup, truths: Truths, now: () => number) {
    this.#setup = setup;
    this.#truths = truths;
    this.#now = now;
    this.#opinion = setup.orchestrated ? 'awaited' : null;
  }

  violation(rule: Rule, what: string): void {
    this.violations.push({ rule, atMs: this.#now(), what });
  }

  /** What clients were led to last; `null`: to nothing yet. */
  get lineage(): Lineage | null {
    return this.#truths.lineage;
  }

  /** What a state file that is written now must hold. */
  knowledge(): Knowledge {
    const primary = this.#followed ?? this.#awaited;
    const decisions = new Map<string, Witness['admin']>();
    for (const [address, witness] of this.#witnesses) {
      // Before the members are told, what was decided before is kept.
      const isKept = this.#members.length === 0 || witness === this.#awaited;
      const decision = witness.isMember ? witness.admin : isKept ? witness.restoredAdmin : 'ready';
      if (decision !== 'ready') decisions.set(address, decision);
    }
    return {
      truths: this.#truths.remember(),
      primary: primary?.address ?? null,
      everFollowed: this.#everFollowed,
      epoch: this.#epoch,
      decisions,
    };
  }

  /** Pointsman begins anew, with what its state file held; `null`: nothing. */
  restarted(knowledge: Knowledge | null): void {
    this.isClosing = false;
    this.#opinion = this.#setup.orchestrated ? 'awaited' : null;
    this.#followed = null;
    this.#leaving = null;
    this.#everFollowed = knowledge?.everFollowed ?? false;
    this.#isResuming = this.#everFollowed;
    this.#epoch = knowledge?.epoch ?? 0;
    this.#truths.recall(knowledge?.truths ?? null, this.#now());
    for (const [address, witness] of this.#witnesses) {
      if (witness.sessions > 0) this.violation('leak', `a session to ${address} has outlived its process`);
      witness.restoredAdmin = knowledge?.decisions.get(address) ?? 'ready';
      witness.forget();
      witness.restoredAdmin = knowledge?.decisions.get(address) ?? 'ready';
    }
    const primary = knowledge?.primary ?? null;
    this.#awaited = primary === null ? null : this.#witness(primary);
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

  reloaded(): void {
    this.#reloads += 1;
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

  lossReported(newPrimary: string | null, loss: Loss | null): void {
    const lie = loss && this.#truths.lieIn(loss, this.#scene());
    if (loss !== null && lie !== null)
      this.violation(9, `${newPrimary} lacks ${lie}, and the report says: ${loss.words}`);
  }

  /** `names`: of the members in this view; a name that goes over to another server is without one in between. */
  published(primary: string | null, epoch: number, names: readonly string[]): void {
    const next = primary === null ? null : (this.#names.get(primary) ?? null);
    // Of a primary of before a restart that is lost now, nobody was led to it: sessions are those of readers.
    const shown = this.#followed;
    this.#resume(next, names);
    const before = this.#followed;
    if (primary !== null && next === null) this.violation(2, `${primary} is elected and is no member`);
    if (epoch < this.#epoch) this.violation('epoch', `epoch ${epoch} comes after ${this.#epoch}`);
    if (next !== before) {
      if (next !== null && epoch <= this.#epoch)
        this.violation('epoch', `epoch ${epoch} is that of another primary`);
      this.#mix(next === null ? 7 : next.address.charCodeAt(next.address.length - 6));
      if (next === null) this.#judgeLoss(before!);
      else {
        this.#judgeElection(before, next);
        this.#truths.followedAnother(before);
      }
      this.#followed = next;
      if (next !== null) this.#everFollowed = true;
      if (shown !== null) shown.demotions += 1;
      this.#leaving = shown;
    } else if (next !== null) {
      next.wasStandbySince = false;
      const unfit = this.#claims(next) ? this.#truths.disqualifies(next, this.#scene()) : null;
      if (unfit !== null) this.violation(6, `${next.address} stays the primary, though ${unfit}`);
    }
    this.#epoch = epoch;
    if (next !== null && this.#claims(next)) this.#isResuming = false;
    this.#truths.learn(this.#scene());
  }

  /** The primary of before a restart is the present one again, from the first moment at which there may be one. */
  #resume(next: Witness | null, names: readonly string[]): void {
    if (this.#awaited === null || this.#opinion === 'awaited') return;
    if (names.some(name => this.#names.get(name) === this.#awaited)) this.#followed = this.#awaited;
    // Whom nobody has listed yet may be listed later. Started without it, an operator has taken it out.
    else if (next === null && this.#setup.learned) return;
    this.#awaited = null;
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
    const session = {};
    this.#open.set(session, { server, reloads: this.#reloads });
    return {
      forwarded: () => {
        if (isPrimary) this.#judgeForwarding(server);
      },
      over: ours => {
        this.#mix(openedAt);
        this.#open.delete(session);
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
    if (left === null || left.sessions === 0) return;
    const isOld = [...this.#open.values()].some(
      ({ server, reloads }) => server === left && reloads < this.#reloads,
    );
    const since = isOld ? ', of before a reload' : '';
    this.violation(isOld ? 4 : 3, `${left.address} is the primary no more, and sessions to it go on${since}`);
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
    if (this.#setup.policy !== 'newest') return;
    const successor = this.#truths.successorOf(server, this.#scene());
    if (successor === null || this.#objectionTo(successor) !== null) return;
    this.violation(
      9,
      `a write goes to ${server.address}, though ${successor.address} is known to have succeeded it`,
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
    const isFirst = !this.#everFollowed || (this.#isResuming && before === null);
    if (isFirst && !this.#truths.isConfirmed(next, this.#scene())) {
      const fit = this.#members.filter(({ admin }) => admin !== 'maintenance');
      const unheard = fit.filter(member => !member.isHeard);
      const unsure = fit.filter(member => member.saysWritable && member.health === 'unknown');
      if (unsure.length > 0)
        this.violation(6, `${address} is elected while ${unsure[0]?.address} is about to claim it`);
      if (unheard.length > 0)
        this.violation(6, `${address} is elected before ${unheard[0]?.address} was heard`);
    }
    this.#judgeAmongSeveral(next);
    if (before === null || this.#isGone(before)) return;
    const newer = this.#truths.isPromoted(next, this.#scene());
    const isWell = this.#claims(before);
    const allowed = isWell
      ? this.#setup.policy === 'newest' && this.#truths.beats(next, before, this.#scene())
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
    const scene = this.#scene();
    const rivals = claimants.filter(
      other =>
        other !== next && this.#objectionTo(other) === null && !this.#truths.isQuestionable(other, scene),
    );
    for (const rival of rivals) {
      const beaten =
        policy === 'newest'
          ? this.#truths.beats(next, rival, this.#scene())
          : policy === 'ordered' && this.#members.indexOf(next) < this.#members.indexOf(rival);
      if (!beaten)
        this.violation(6, `${next.address} is elected without a better right than ${rival.address}`);
    }
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
    if (this.#isContradicted(server)) return true;
    return this.#claims(server) && this.#truths.isQuestionable(server, this.#scene());
  }

  #sightOf(server: Witness): string {
    if (this.#claims(server)) return 'seen well';
    if (server.kind === null) return 'the primary of before the restart, and has not been heard';
    return server.kind === 'pass' ? 'not seen lately' : `not proven lost (${server.code})`;
  }

  #ruleOfSight(server: Witness): Rule {
    if (this.#claims(server) || server.kind === null) return 8;
    return server.kind === 'inconclusive' ? 7 : 5;
  }

  #claims(server: Witness): boolean {
    return server.claims(this.#now(), this.#setup);
  }

  #objectionTo(server: Witness): string | null {
    if (this.#opinion === 'awaited') return 'the orchestrator has not been heard';
    if (this.#isContradicted(server)) return 'the orchestrator contradicts it';
    const scene = this.#scene();
    const unfit = this.#truths.disqualifies(server, scene);
    if (unfit !== null || server === this.#followed) return unfit;
    return this.#truths.objectionTo(server, scene);
  }

  #isContradicted(server: Witness): boolean {
    const opinion = this.#opinion;
    if (opinion === null || opinion === 'awaited' || opinion.passive) return false;
    const isMeant = ({ address: { host, port }, name }: Nominee): boolean =>
      `${host}:${port}` === server.address || (name !== null && this.#names.get(name) === server);
    if (opinion.against.some(isMeant)) return true;
    return opinion.primary === null ? server !== this.#followed : !isMeant(opinion.primary);
  }

  #isNamed(server: Witness): boolean {
    const opinion = this.#opinion;
    if (opinion === null || opinion === 'awaited' || opinion.passive || opinion.primary === null)
      return false;
    return !this.#isContradicted(server);
  }

  #scene(): Scene {
    const opinion = this.#opinion === 'awaited' ? null : this.#opinion;
    return {
      now: this.#now(),
      bounds: this.#setup,
      members: this.#members,
      followed: this.#followed,
      opinion,
      claims: server => this.#claims(server),
      isNamed: server => this.#isNamed(server),
    };
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
