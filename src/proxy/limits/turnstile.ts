// Whether servers have room for one more, and how many of those who wait in the hold may go: max_connections of servers,
// circuit breakers, and the pace after a failover. One per frontend. Not the order of those who wait (hold.ts) and not which
// server is eligible (router.ts). What is off costs a comparison. Asked by frontend.ts.

import { type MonotonicMs } from '../../core/clock.ts';
import { isEligible, type Eligibility } from '../../topology/eligibility.ts';
import { type BackendView, type ServerView } from '../../topology/model.ts';
import { FAIR_WAIT_MS, ROOM_POLL_MS } from '../bounds.ts';
import { type RouteDecision } from '../router.ts';
import { type ServerTally, type Tallies } from '../tallies.ts';
import { type Breakers } from './breakers.ts';
import { type Surge } from './surge.ts';

export interface TurnstileDeps {
  readonly frontend: string;
  readonly policy: Eligibility;
  readonly tallies: Tallies;
  readonly breakers: Breakers;
  /** `null` where nobody is paced: not for the primary, or without a hold. */
  readonly surge: Surge | null;
  readonly workers: number;
}

const queued: RouteDecision = { kind: 'hold' };
const crowded: RouteDecision = { kind: 'hold', crowded: true };

const limits = ({ circuitBreaker, servers }: BackendView): boolean =>
  circuitBreaker !== null || servers.some(({ maxConnections }) => maxConnections !== null);

export class Turnstile {
  readonly #deps: TurnstileDeps;
  /** Of servers that clients of this frontend wait for. */
  #waitedFor: readonly ServerTally[] = [];

  constructor(deps: TurnstileDeps) {
    this.#deps = deps;
  }

  /** Whether clients wait for room at a server, rather than for a server. */
  get isCrowded(): boolean {
    return this.#waitedFor.length > 0;
  }

  /** The word to a newcomer that must wait behind others. */
  get queue(): RouteDecision {
    return this.isCrowded ? crowded : queued;
  }

  /** Whether newcomers go through the hold, though nobody waits. */
  paces(now: MonotonicMs): boolean {
    return this.#deps.surge?.isOn(now) === true;
  }

  /** The candidates that have room; the word to wait if none has. */
  withRoom(decision: RouteDecision, view: BackendView, now: MonotonicMs): RouteDecision {
    if (decision.kind === 'hold' || !limits(view)) return decision;
    const servers = decision.servers.filter(server => this.#room(server, view, now) > 0);
    if (servers.length === decision.servers.length) return decision;
    return servers.length === 0 ? crowded : { kind: 'candidates', servers };
  }

  /** Asked when an attempt is on the books already, so that of two workers that ask at the same moment none is blind. */
  fits(server: string, { name, servers }: BackendView): boolean {
    const maxConnections = servers.find(other => other.name === server)?.maxConnections ?? null;
    return maxConnections === null || this.#deps.tallies.judgedLoad(name, server) <= maxConnections;
  }

  /** How many of those who wait may go now, and how many may be under way at once (null: as many as usual). */
  allowance(view: BackendView, now: MonotonicMs): { readonly most: number; readonly burst: number | null } {
    const { surge } = this.#deps;
    const most = limits(view) ? this.#roomOfAll(view, now) : Infinity;
    if (surge === null) return { most, burst: null };
    return { most: Math.min(most, surge.room(now)), burst: surge.burst(now) };
  }

  /** When to ask again: in the past means now, null that only an event helps, and `waits` has been noted. */
  nextAt(view: BackendView, now: MonotonicMs): MonotonicMs | null {
    const { surge, policy, breakers, workers } = this.#deps;
    const pacedTo = surge === null || surge.room(now) > 0 ? -Infinity : surge.nextAt();
    if (!limits(view) || this.#roomOfAll(view, now) > 0) return pacedTo;
    const eligible = view.servers.filter(server => isEligible(server, policy, view, now));
    this.#noteWait(eligible, view, now);
    const ends = eligible.flatMap(server => breakers.of(view, server.name)?.openUntil ?? []);
    const opens = Math.min(...ends.filter(until => until > now));
    // Sessions that end in another worker are no event here.
    const polled = workers > 1 ? now + ROOM_POLL_MS : Infinity;
    const next = Math.max(pacedTo, Math.min(opens, polled));
    return next === Infinity ? null : next;
  }

  went(clients: number, now: MonotonicMs): void {
    this.#deps.surge?.went(clients, now);
    for (const tally of this.#waitedFor) tally.waitingSince = now;
  }

  /** Nobody waits any more. */
  rests(): void {
    if (this.#waitedFor.length === 0) return;
    for (const tally of this.#waitedFor) tally.waitingSince = 0;
    this.#waitedFor = [];
  }

  #noteWait(servers: readonly ServerView[], { name: backend }: BackendView, now: MonotonicMs): void {
    const { tallies, frontend } = this.#deps;
    this.#waitedFor = servers.map(server => tallies.server(frontend, backend, server.name));
    for (const tally of this.#waitedFor) if (tally.waitingSince === 0) tally.waitingSince = now;
  }

  #roomOfAll(view: BackendView, now: MonotonicMs): number {
    const { policy } = this.#deps;
    let sum = 0;
    for (const server of view.servers) {
      if (isEligible(server, policy, view, now)) sum += this.#room(server, view, now);
    }
    return sum;
  }

  #room(server: ServerView, view: BackendView, now: MonotonicMs): number {
    const { maxConnections, name } = server;
    const { breakers, tallies, frontend } = this.#deps;
    const { circuitBreaker, name: backend } = view;
    const breaker = breakers.of(view, name);
    const trusted =
      breaker === null || circuitBreaker === null ? Infinity : breaker.room(server, circuitBreaker, now);
    if (maxConnections === null) return trusted;
    // Who waits elsewhere (another frontend, another worker) for clearly longer has the next place.
    const ownWait = tallies.server(frontend, backend, name).waitingSince || now;
    const reserved = tallies.waitingSince(backend, name) < ownWait - FAIR_WAIT_MS ? 1 : 0;
    return Math.max(0, Math.min(trusted, maxConnections - tallies.load(backend, name) - reserved));
  }
}
