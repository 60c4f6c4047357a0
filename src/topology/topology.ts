// The one source of truth: holds the newest frozen view of every backend and publishes each replacement.
// Decides nothing itself (elect.ts does) and knows no socket. Fed by the monitors; read by proxy, metrics, incidents, API.

import { isDeepStrictEqual } from 'node:util';
import { type CircuitBreakerConfig, type SendProxy, type SurgeConfig } from '../config/schema.ts';
import { isSameAddress } from '../core/address.ts';
import { type Clock, type MonotonicMs } from '../core/clock.ts';
import { invariant } from '../core/errors.ts';
import { Topic } from '../core/topic.ts';
import { type ProbeResult } from '../health/result.ts';
import { type HealthState } from '../health/state.ts';
import { type Assumption } from './assumptions.ts';
import { type Directive } from './directive.ts';
import { electorFor, type Elector, type ElectionRules, type Verdict } from './elector.ts';
import { imagine, type Outlook } from './imagine.ts';
import {
  isNowhere,
  type AdminState,
  type BackendChange,
  type BackendView,
  type Opinion,
  type ServerView,
} from './model.ts';
import { nextView } from './next-view.ts';
import { Resumption } from './resumption.ts';
import { type SavedState } from './saved.ts';
import { isSame, newcomer, observed, underSpec, type ServerSpec } from './server-view.ts';
import { reachOf, restand, wantsNothing, type Reach, type ReadWants, type Reporter } from './standing.ts';
import { LEARNED_WEIGHT } from './sources/slots.ts';

export type BackendSpec = ElectionRules & {
  readonly name: string;
  readonly servers: readonly ServerSpec[];
  readonly freshnessMs: number;
  readonly slowStartMs: number;
  /** What its frontends ask of replicas. Left out: nothing. */
  readonly reads?: ReadWants;
  /** Of each server whose spec has no limit of its own. Left out or `null`: any number. */
  readonly maxConnectionsPerServer?: number | null;
  readonly circuitBreaker?: CircuitBreakerConfig | null;
  readonly surge?: SurgeConfig | null;
  /** Left out: none is sent. */
  readonly sendProxy?: SendProxy | null;
  /** Where members come and go: the names that they may have. Left out: the members are `servers`, for good. */
  readonly slots?: readonly string[];
  /** Whose first word is awaited before anybody is elected: the orchestrator that is asked, as `the Sentinels`. */
  readonly orchestrator?: string;
};

interface BackendState {
  spec: BackendSpec;
  elector: Elector;
  readonly resumption: Resumption;
  view: BackendView;
  /** How far the present primary is, or the last one was. */
  reach: Reach | null;
  /** Wall time of the last change of the primary. */
  since: number | null;
  /** `null`: there is no orchestrator, or it is silent. */
  opinion: Opinion | null | 'awaited';
}

export class Topology {
  /**
   * Published after every probe result and every change of members or of the orchestrator's opinion, with the views before
   * and after; subscribers run in order, synchronously.
   */
  readonly changes = new Topic<BackendChange>();
  /** The last view of a backend that the configuration no longer has: its sessions end with that. */
  readonly removals = new Topic<BackendView>();
  readonly #clock: Clock;
  #backends: ReadonlyMap<string, BackendState>;

  /**
   * `saved`: what `save` gave before a restart. Its primary is the primary again, and in doubt until it has spoken.
   * `directives`: what runbooks said before it.
   */
  constructor(
    specs: readonly BackendSpec[],
    clock: Clock,
    saved: SavedState = new Map(),
    directives: ReadonlyMap<string, Directive> = new Map(),
  ) {
    this.#clock = clock;
    const create = (spec: BackendSpec): BackendState => {
      const resumption = new Resumption(spec, saved.get(spec.name) ?? null, clock.now());
      return initialState(spec, resumption, directives.get(spec.name) ?? null);
    };
    this.#backends = new Map(specs.map(spec => [spec.name, create(spec)]));
  }

  /**
   * The backends by another configuration. What is known of one that stays is kept, its elections go by the new rules; its
   * members are `setMembers`' to change. One that changes its nature (protocol, or who tells its members) is another one.
   */
  reconfigure(specs: readonly BackendSpec[]): void {
    const before = this.#backends;
    const stays = (spec: BackendSpec): boolean => {
      const known = before.get(spec.name)?.spec;
      return known !== undefined && isSameNature(known, spec);
    };
    const staying = new Set(specs.filter(stays).map(({ name }) => name));
    const at = this.#clock.now();
    const create = (spec: BackendSpec): BackendState =>
      initialState(spec, new Resumption(spec, null, at), null);
    this.#backends = new Map(
      specs.map(spec => [spec.name, (stays(spec) ? before.get(spec.name) : null) ?? create(spec)]),
    );
    for (const [name, { view }] of before) if (!staying.has(name)) this.removals.publish(view);
    for (const spec of specs) if (staying.has(spec.name)) this.#follow(this.#state(spec.name), spec, at);
  }

  /** What is to be known after a restart, of every backend. */
  save(): SavedState {
    const backends = [...this.#backends].map(
      ([name, { resumption, view, since, elector }]) =>
        [name, resumption.save(view, since, elector.save(this.#clock.now()))] as const,
    );
    return new Map(backends);
  }

  view(backend: string): BackendView {
    return this.#state(backend).view;
  }

  views(): readonly BackendView[] {
    return [...this.#backends.values()].map(state => state.view);
  }

  /** Every name that a member of the backend may ever have. */
  names(backend: string): readonly string[] {
    const { spec } = this.#state(backend);
    return spec.slots ?? spec.servers.map(({ name }) => name);
  }

  /** Takes in one probe result, elects, and publishes the change. */
  report(backend: string, server: string, health: HealthState, result: ProbeResult): void {
    const state = this.#state(backend);
    const at = this.#clock.now();
    const servers = state.view.servers.map(view =>
      view.name === server ? observed(view, health, result, at) : view,
    );
    this.#renew(state, servers, at, server);
  }

  /**
   * What the orchestrator says from now on (`null`: it is silent), and what is odd about it. Elects, and publishes the change.
   */
  reportOpinion(backend: string, opinion: Opinion | null, notes: readonly string[] = []): void {
    const state = this.#state(backend);
    state.opinion = opinion;
    state.view = Object.freeze({ ...state.view, notes: Object.freeze([...notes]) });
    this.#renew(state, state.view.servers, this.#clock.now());
  }

  /**
   * What a runbook says from now on of who may be the primary, and why new clients wait (`null`: they don't). Elects, and
   * publishes the change.
   */
  direct(backend: string, directive: Directive | null, held: string | null): void {
    const state = this.#state(backend);
    const before = state.view;
    state.view = Object.freeze({ ...before, directive: directive && Object.freeze(directive), held });
    this.#renew(state, before.servers, this.#clock.now(), null, before);
  }

  /** What would be elected if that were so, at once and later. Nothing is changed, remembered or published. */
  imagine(backend: string, assumptions: readonly Assumption[]): readonly Outlook[] {
    const { view, opinion, elector, spec } = this.#state(backend);
    if (opinion === 'awaited') return [{ afterMs: 0, view, refusals: new Map() }];
    const settleMs = 'settleMs' in spec ? spec.settleMs : 0;
    const { freshnessMs } = spec;
    return imagine({ view, opinion, elector, settleMs, freshnessMs }, assumptions, this.#clock.now());
  }

  /** What an operator decided about a server. Elects, and publishes the change. */
  setAdmin(backend: string, server: string, admin: AdminState): void {
    const state = this.#state(backend);
    const servers = state.view.servers.map(view =>
      view.name === server ? Object.freeze({ ...view, admin }) : view,
    );
    this.#renew(state, servers, this.#clock.now());
  }

  /**
   * The members from now on, in order. One that keeps name and address keeps all that is known of it. A name that goes over to
   * another address is without a server for one change between: its sessions end with that. What an operator decided stays
   * with the name of a configured server, and with the address of a learned one.
   */
  setMembers(backend: string, told: readonly ServerSpec[]): void {
    const state = this.#state(backend);
    const members = told.map(member => limited(state.spec, member));
    const { servers } = state.view;
    const known = new Map(servers.map(view => [view.name, view]));
    const staying = members.filter(member => isSame(known.get(member.name), member));
    const isAsItWas = (member: ServerSpec, index: number): boolean => {
      const view = servers[index];
      return isSame(view, member) && view?.name === member.name && underSpec(view, member) === view;
    };
    if (members.length === servers.length && members.every(isAsItWas)) return;
    const at = this.#clock.now();
    const atAddress = ({ address }: ServerSpec): ServerView | undefined =>
      servers.find(view => isSameAddress(view.address, address));
    const viewOf = (member: ServerSpec): ServerView => {
      const view = known.get(member.name);
      if (view !== undefined && isSame(view, member)) return underSpec(view, member);
      const before = state.spec.slots === undefined ? view : atAddress(member);
      return newcomer(member, before?.admin ?? state.resumption.takeDecision(member));
    };
    const moves = ({ name }: ServerSpec): boolean => {
      const view = known.get(name);
      return view !== undefined && !isNowhere(view) && !staying.some(member => member.name === name);
    };
    if (members.some(moves)) {
      this.#renew(state, staying.map(viewOf), at);
    }
    this.#renew(state, members.map(viewOf), at);
  }

  #follow(state: BackendState, spec: BackendSpec, at: MonotonicMs): void {
    if (isDeepStrictEqual(state.spec, spec)) return;
    // Who is newly asked is not waited for: the present primary has its clients.
    if (state.spec.orchestrator !== spec.orchestrator) state.opinion = null;
    const notes = state.spec.orchestrator === spec.orchestrator ? state.view.notes : Object.freeze([]);
    state.spec = spec;
    state.elector = state.elector.under(spec);
    state.resumption.follow(spec);
    state.view = Object.freeze({ ...state.view, ...configured(spec), notes });
    // Those that are configured get theirs with `setMembers`.
    const servers = spec.slots === undefined ? state.view.servers : state.view.servers.map(relimited(spec));
    this.#renew(state, servers, at, { all: true });
  }

  /** `reporter`: who has just answered. `before`: the view that was published last, where it isn't the newest. */
  #renew(
    state: BackendState,
    servers: readonly ServerView[],
    at: MonotonicMs,
    reporter: Reporter = null,
    before: BackendView = state.view,
  ): void {
    const election = electAmong(state, servers, at);
    const opinion = state.opinion === 'awaited' ? null : state.opinion;
    const { primary } = election;
    const told = servers.find(({ name }) => name === primary)?.lastAnswer ?? null;
    state.reach = reachOf(told && told.facts) ?? state.reach;
    const { reach, spec } = state;
    const standing = restand({ servers, primary, reach, wants: spec.reads ?? wantsNothing, at }, reporter);
    state.view = nextView(state.view, { servers: standing, opinion }, election);
    if (state.view.primary !== before.primary) state.since = this.#clock.wall();
    this.changes.publish({ before, after: state.view, at });
  }

  #state(backend: string): BackendState {
    const state = this.#backends.get(backend);
    invariant(state !== undefined, `backend ${backend} is known`);
    return state;
  }
}

function electAmong(
  { spec, elector, resumption, view, opinion }: BackendState,
  servers: readonly ServerView[],
  at: MonotonicMs,
): Verdict {
  if (opinion === 'awaited') {
    return {
      primary: null,
      splitBrain: false,
      faults: [],
      refusals: new Map(),
      reasons: [`waiting for the first word of ${spec.orchestrator}`],
    };
  }
  const present = servers.some(({ name }) => name === view.primary) ? view.primary : null;
  const current = present ?? resumption.primaryAmong(servers);
  const verdict = elector.elect({
    servers,
    current,
    opinion,
    directive: view.directive,
    now: at,
    freshnessMs: spec.freshnessMs,
  });
  if (current !== null || verdict.primary !== null) resumption.endWaiting();
  return verdict;
}

/** What of a view the configuration says, and a reload may change. */
const configured = (spec: BackendSpec) => ({
  name: spec.name,
  protocol: spec.protocol,
  orchestrator: spec.orchestrator ?? null,
  freshnessMs: spec.freshnessMs,
  slowStartMs: spec.slowStartMs,
  circuitBreaker: spec.circuitBreaker ?? null,
  surge: spec.surge ?? null,
  sendProxy: spec.sendProxy ?? null,
});

const limited = (spec: BackendSpec, member: ServerSpec): ServerSpec => ({
  ...member,
  maxConnections: member.maxConnections ?? spec.maxConnectionsPerServer ?? null,
});

const relimited =
  ({ maxConnectionsPerServer = null }: BackendSpec) =>
  (learned: ServerView): ServerView =>
    learned.maxConnections === maxConnectionsPerServer
      ? learned
      : Object.freeze({ ...learned, maxConnections: maxConnectionsPerServer });

function isSameNature(one: BackendSpec, other: BackendSpec): boolean {
  return one.protocol === other.protocol && (one.slots === undefined) === (other.slots === undefined);
}

function initialState(spec: BackendSpec, resumption: Resumption, directive: Directive | null): BackendState {
  const elector = electorFor(spec, resumption.past);
  const opinion = spec.orchestrator === undefined ? null : 'awaited';
  const known: readonly ServerSpec[] =
    spec.slots === undefined
      ? spec.servers
      : resumption.members.map(({ name, address }) => ({ name, address, weight: LEARNED_WEIGHT }));
  const members = known.map(member => limited(spec, member));
  const primary = opinion === null ? resumption.primaryAmong(members) : null;
  if (primary !== null) resumption.endWaiting();
  const view: BackendView = Object.freeze({
    ...configured(spec),
    servers: Object.freeze(members.map(each => newcomer(each, resumption.takeDecision(each)))),
    primary,
    epoch: resumption.epoch,
    splitBrain: false,
    faults: Object.freeze([]),
    opinion: null,
    directive,
    held: null,
    notes: Object.freeze([]),
    disagreement: null,
    reasons: Object.freeze([
      primary === null
        ? elector.firstWord
        : `${primary} was the primary before the restart, and has not spoken yet`,
    ]),
  });
  return { spec, elector, resumption, view, reach: null, since: resumption.since, opinion };
}
