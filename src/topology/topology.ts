// The one source of truth: holds the newest frozen view of every backend and publishes each replacement.
// Decides nothing itself (elect.ts does) and knows no socket. Fed by the monitors; read by proxy, metrics, incidents, API.

import { isSameAddress, type Address } from '../core/address.ts';
import { type Clock, type MonotonicMs } from '../core/clock.ts';
import { invariant } from '../core/errors.ts';
import { Topic } from '../core/topic.ts';
import { factsOf, hasPassed, type ProbeResult } from '../health/result.ts';
import { initialHealth, type HealthState } from '../health/state.ts';
import { type Assumption } from './assumptions.ts';
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
import { LEARNED_WEIGHT } from './sources/slots.ts';

export type BackendSpec = ElectionRules & {
  readonly name: string;
  readonly servers: readonly ServerSpec[];
  readonly freshnessMs: number;
  readonly slowStartMs: number;
  /** Where members come and go: the names that they may have. Left out: the members are `servers`, for good. */
  readonly slots?: readonly string[];
  /** Whose first word is awaited before anybody is elected: the orchestrator that is asked, as `the Sentinels`. */
  readonly orchestrator?: string;
};

export interface ServerSpec {
  readonly name: string;
  readonly address: Address;
  /** The name that stands for the host of the address, or is that host while it has no address. */
  readonly host?: string;
  readonly weight: number;
}

interface BackendState {
  readonly spec: BackendSpec;
  readonly elector: Elector;
  readonly resumption: Resumption;
  view: BackendView;
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
  readonly #clock: Clock;
  readonly #backends: ReadonlyMap<string, BackendState>;

  /** `saved`: what `save` gave before a restart. Its primary is the primary again, and in doubt until it has spoken. */
  constructor(specs: readonly BackendSpec[], clock: Clock, saved: SavedState = new Map()) {
    this.#clock = clock;
    this.#backends = new Map(
      specs.map(spec => [
        spec.name,
        initialState(spec, new Resumption(spec, saved.get(spec.name) ?? null, clock.now())),
      ]),
    );
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
    this.#renew(state, servers, at);
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
  setMembers(backend: string, members: readonly ServerSpec[]): void {
    const state = this.#state(backend);
    const { servers } = state.view;
    const known = new Map(servers.map(view => [view.name, view]));
    const staying = members.filter(member => isSame(known.get(member.name), member));
    if (staying.length === members.length && members.length === known.size) return;
    const at = this.#clock.now();
    const atAddress = ({ address }: ServerSpec): ServerView | undefined =>
      servers.find(view => isSameAddress(view.address, address));
    const viewOf = (member: ServerSpec): ServerView => {
      const view = known.get(member.name);
      if (view !== undefined && isSame(view, member)) return view;
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

  #renew(state: BackendState, servers: readonly ServerView[], at: MonotonicMs): void {
    const before = state.view;
    const election = electAmong(state, servers, at);
    const opinion = state.opinion === 'awaited' ? null : state.opinion;
    state.view = nextView(before, { servers, opinion }, election);
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
  const verdict = elector.elect({ servers, current, opinion, now: at, freshnessMs: spec.freshnessMs });
  if (current !== null || verdict.primary !== null) resumption.endWaiting();
  return verdict;
}

function isSame(view: ServerView | undefined, { address, host }: ServerSpec): boolean {
  return view !== undefined && isSameAddress(view.address, address) && view.host === (host ?? null);
}

function newcomer({ name, address, host, weight }: ServerSpec, admin: AdminState = 'ready'): ServerView {
  return Object.freeze({
    name,
    address,
    host: host ?? null,
    health: initialHealth,
    result: null,
    lastAnswer: null,
    upSince: null,
    writableSince: null,
    weight,
    admin,
  });
}

function initialState(spec: BackendSpec, resumption: Resumption): BackendState {
  const elector = electorFor(spec, resumption.past);
  const opinion = spec.orchestrator === undefined ? null : 'awaited';
  const members: readonly ServerSpec[] =
    spec.slots === undefined
      ? spec.servers
      : resumption.members.map(({ name, address }) => ({ name, address, weight: LEARNED_WEIGHT }));
  const primary = opinion === null ? resumption.primaryAmong(members) : null;
  if (primary !== null) resumption.endWaiting();
  const view: BackendView = Object.freeze({
    name: spec.name,
    protocol: spec.protocol,
    servers: Object.freeze(members.map(each => newcomer(each, resumption.takeDecision(each)))),
    primary,
    epoch: resumption.epoch,
    splitBrain: false,
    faults: Object.freeze([]),
    orchestrator: spec.orchestrator ?? null,
    opinion: null,
    notes: Object.freeze([]),
    disagreement: null,
    reasons: Object.freeze([
      primary === null
        ? elector.firstWord
        : `${primary} was the primary before the restart, and has not spoken yet`,
    ]),
    freshnessMs: spec.freshnessMs,
    slowStartMs: spec.slowStartMs,
  });
  return { spec, elector, resumption, view, since: resumption.since, opinion };
}

function observed(view: ServerView, health: HealthState, result: ProbeResult, at: MonotonicMs): ServerView {
  return Object.freeze({
    ...view,
    health,
    result,
    lastAnswer: hasPassed(result) ? result : view.lastAnswer,
    upSince: health.kind === 'up' ? (view.upSince ?? cameUp(view.health, at)) : null,
    writableSince: writableSince(view, health, result, at),
  });
}

function writableSince(
  view: ServerView,
  health: HealthState,
  result: ProbeResult,
  at: MonotonicMs,
): MonotonicMs | null {
  if (health.kind !== 'up') return null;
  const facts = factsOf(result);
  if (facts === null) return view.writableSince;
  return facts.role === 'primary' && facts.writable ? (view.writableSince ?? at) : null;
}

/** One that never failed since it was first asked has been up for longer than anybody here knows. */
function cameUp(before: HealthState, at: MonotonicMs): MonotonicMs {
  return before.kind === 'unknown' && before.fails === 0 ? -Infinity : at;
}
