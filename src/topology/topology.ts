// The one source of truth: holds the newest frozen view of every backend and publishes each replacement.
// Decides nothing itself (elect.ts does) and knows no socket. Fed by the monitors; read by proxy, metrics, incidents, API.

import { type Address } from '../core/address.ts';
import { type Clock, type MonotonicMs } from '../core/clock.ts';
import { invariant } from '../core/errors.ts';
import { Topic } from '../core/topic.ts';
import { factsOf, hasPassed, type ProbeResult } from '../health/result.ts';
import { initialHealth, type HealthState } from '../health/state.ts';
import { electorFor, type Elector, type ElectionRules, type Verdict } from './elector.ts';
import {
  type AdminState,
  type BackendChange,
  type BackendView,
  type Opinion,
  type ServerView,
} from './model.ts';
import { disagreementOf } from './opinion.ts';

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
  readonly weight: number;
}

interface BackendState {
  readonly spec: BackendSpec;
  readonly elector: Elector;
  view: BackendView;
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

  constructor(specs: readonly BackendSpec[], clock: Clock) {
    this.#clock = clock;
    this.#backends = new Map(
      specs.map(spec => {
        const elector = electorFor(spec);
        const opinion = spec.orchestrator === undefined ? null : 'awaited';
        return [spec.name, { spec, elector, view: initialView(spec, elector), opinion }];
      }),
    );
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
   * another address is without a server for one change between: its sessions end with that.
   */
  setMembers(backend: string, members: readonly ServerSpec[]): void {
    const state = this.#state(backend);
    const known = new Map(state.view.servers.map(view => [view.name, view]));
    const staying = members.filter(member => isSame(known.get(member.name), member));
    if (staying.length === members.length && members.length === known.size) return;
    const at = this.#clock.now();
    const viewOf = (member: ServerSpec): ServerView => {
      const view = known.get(member.name);
      return view !== undefined && isSame(view, member) ? view : newcomer(member);
    };
    if (members.some(({ name }) => known.has(name) && !staying.some(member => member.name === name))) {
      this.#renew(state, staying.map(viewOf), at);
    }
    this.#renew(state, members.map(viewOf), at);
  }

  #renew(state: BackendState, servers: readonly ServerView[], at: MonotonicMs): void {
    const before = state.view;
    const election = electAmong(state, servers, at);
    const opinion = state.opinion === 'awaited' ? null : state.opinion;
    invariant(
      election.primary === null || servers.some(view => view.name === election.primary),
      'the primary is a member of its backend',
    );
    state.view = Object.freeze({
      ...before,
      servers: Object.freeze([...servers]),
      primary: election.primary,
      epoch: election.primary === before.primary ? before.epoch : before.epoch + 1,
      splitBrain: election.splitBrain,
      faults: Object.freeze([...election.faults]),
      opinion,
      disagreement: disagreementOf({ servers, opinion }),
      reasons: Object.freeze([...election.reasons]),
    });
    this.changes.publish({ before, after: state.view, at });
  }

  #state(backend: string): BackendState {
    const state = this.#backends.get(backend);
    invariant(state !== undefined, `backend ${backend} is known`);
    return state;
  }
}

function electAmong(
  { spec, elector, view, opinion }: BackendState,
  servers: readonly ServerView[],
  at: MonotonicMs,
): Verdict {
  if (opinion === 'awaited') {
    return {
      primary: null,
      splitBrain: false,
      faults: [],
      reasons: [`waiting for the first word of ${spec.orchestrator}`],
    };
  }
  const current = servers.some(({ name }) => name === view.primary) ? view.primary : null;
  return elector.elect({ servers, current, opinion, now: at, freshnessMs: spec.freshnessMs });
}

function isSame(view: ServerView | undefined, { address }: ServerSpec): boolean {
  return view?.address.host === address.host && view.address.port === address.port;
}

function newcomer({ name, address, weight }: ServerSpec): ServerView {
  return Object.freeze({
    name,
    address,
    health: initialHealth,
    result: null,
    lastAnswer: null,
    upSince: null,
    writableSince: null,
    weight,
    admin: 'ready',
  });
}

function initialView(spec: BackendSpec, elector: Elector): BackendView {
  const servers = spec.servers.map(newcomer);
  return Object.freeze({
    name: spec.name,
    protocol: spec.protocol,
    servers: Object.freeze(servers),
    primary: null,
    epoch: 0,
    splitBrain: false,
    faults: Object.freeze([]),
    orchestrator: spec.orchestrator ?? null,
    opinion: null,
    notes: Object.freeze([]),
    disagreement: null,
    reasons: Object.freeze([elector.firstWord]),
    freshnessMs: spec.freshnessMs,
    slowStartMs: spec.slowStartMs,
  });
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
