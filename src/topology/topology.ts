// The one source of truth: holds the newest frozen view of every backend and publishes each replacement.
// Decides nothing itself (elect.ts does) and knows no socket. Fed by the monitors; read by proxy, metrics, incidents, API.

import { type Address } from '../core/address.ts';
import { type Clock } from '../core/clock.ts';
import { invariant } from '../core/errors.ts';
import { Topic } from '../core/topic.ts';
import { hasPassed, type ProbeResult } from '../health/result.ts';
import { initialHealth, type HealthState } from '../health/state.ts';
import { elect, type Election, type Lineage, type MultipleWritersPolicy } from './elect.ts';
import { type BackendChange, type BackendView, type ServerView } from './model.ts';

export type BackendSpec = {
  readonly name: string;
  readonly servers: readonly { readonly name: string; readonly address: Address }[];
  readonly freshnessMs: number;
} & (
  | { readonly protocol: 'postgres'; readonly multipleWriters: MultipleWritersPolicy }
  | { readonly protocol: 'tcp' }
);

interface BackendState {
  readonly spec: BackendSpec;
  view: BackendView;
  lineage: Lineage | null;
}

const NO_ROLES = 'servers that speak plain TCP have no roles: none of them is the primary';
const noElection: Election = { primary: null, splitBrain: false, lineage: null, reasons: [NO_ROLES] };

export class Topology {
  /** Published after every probe result, with the views before and after; subscribers run in order, synchronously. */
  readonly changes = new Topic<BackendChange>();
  readonly #clock: Clock;
  readonly #backends: ReadonlyMap<string, BackendState>;

  constructor(specs: readonly BackendSpec[], clock: Clock) {
    this.#clock = clock;
    this.#backends = new Map(
      specs.map(spec => [spec.name, { spec, view: initialView(spec), lineage: null }]),
    );
  }

  view(backend: string): BackendView {
    return this.#state(backend).view;
  }

  views(): readonly BackendView[] {
    return [...this.#backends.values()].map(state => state.view);
  }

  /** Takes in one probe result, elects, and publishes the change. */
  report(backend: string, server: string, health: HealthState, result: ProbeResult): void {
    const state = this.#state(backend);
    const before = state.view;
    const at = this.#clock.now();
    const servers = before.servers.map(view =>
      view.name === server ? observed(view, health, result) : view,
    );
    const { spec, lineage } = state;
    const election =
      spec.protocol === 'tcp'
        ? noElection
        : elect({
            servers,
            current: before.primary,
            lineage,
            policy: spec.multipleWriters,
            now: at,
            freshnessMs: spec.freshnessMs,
          });
    invariant(
      election.primary === null || servers.some(view => view.name === election.primary),
      'the primary is a member of its backend',
    );
    state.lineage = election.lineage;
    state.view = Object.freeze({
      ...before,
      servers: Object.freeze(servers),
      primary: election.primary,
      epoch: election.primary === before.primary ? before.epoch : before.epoch + 1,
      splitBrain: election.splitBrain,
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

function initialView(spec: BackendSpec): BackendView {
  const servers = spec.servers.map(({ name, address }): ServerView =>
    Object.freeze({ name, address, health: initialHealth, result: null, lastAnswer: null }),
  );
  return Object.freeze({
    name: spec.name,
    protocol: spec.protocol,
    servers: Object.freeze(servers),
    primary: null,
    epoch: 0,
    splitBrain: false,
    reasons: Object.freeze([spec.protocol === 'tcp' ? NO_ROLES : 'no server has been asked yet']),
    freshnessMs: spec.freshnessMs,
  });
}

function observed(view: ServerView, health: HealthState, result: ProbeResult): ServerView {
  return Object.freeze({
    ...view,
    health,
    result,
    lastAnswer: hasPassed(result) ? result : view.lastAnswer,
  });
}
