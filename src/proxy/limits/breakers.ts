// Circuit breakers: a server that clients could not be connected to several times in a row is left alone for a while, then
// tried by a single client (half open), and open to all again when that one is connected. Not health: probes go on, and one
// that finds the server up anew ends the rest. Pure but for the tallies, through which workers share what is open.
// Failures in a row are each worker's own count, and so is the one client that tries. Told by attempt.ts.

import { type CircuitBreakerConfig } from '../../config/schema.ts';
import { type MonotonicMs } from '../../core/clock.ts';
import { type BackendView, type ServerView } from '../../topology/model.ts';
import { type Tallies } from '../tallies.ts';

export class Breaker {
  readonly #tallies: Tallies;
  readonly #backend: string;
  readonly #server: string;
  #failures = 0;
  /** The attempt that tries for all. */
  #trial: object | null = null;

  constructor(tallies: Tallies, backend: string, server: string) {
    this.#tallies = tallies;
    this.#backend = backend;
    this.#server = server;
  }

  /** How many attempts may begin now. */
  room({ upSince }: ServerView, { openMs }: CircuitBreakerConfig, now: MonotonicMs): number {
    const until = this.openUntil;
    if (until === 0) return Infinity;
    if (upSince !== null && upSince > until - openMs) {
      this.#close();
      return Infinity;
    }
    return until <= now && this.#trial === null ? 1 : 0;
  }

  /** 0: closed; in the past: half open. */
  get openUntil(): MonotonicMs {
    return this.#tallies.openUntil(this.#backend, this.#server);
  }

  /** `dial` stands for the attempt, and is given again when it ends. */
  dialed(dial: object): void {
    if (this.openUntil !== 0) this.#trial ??= dial;
  }

  ended(dial: object): void {
    if (this.#trial === dial) this.#trial = null;
  }

  /** True if that closes it. */
  connected(): boolean {
    this.#failures = 0;
    if (this.openUntil === 0) return false;
    this.#close();
    return true;
  }

  /** True if that opens it, for the first time or once more. `frontend`: whose client it was. */
  failed(frontend: string, { failures, openMs }: CircuitBreakerConfig, at: MonotonicMs): boolean {
    const until = this.openUntil;
    // Attempts that began before it opened tell nothing new.
    if (until > at) return false;
    this.#failures += 1;
    if (until === 0 && this.#failures < failures) return false;
    this.#failures = 0;
    this.#tallies.server(frontend, this.#backend, this.#server).openUntil = at + openMs;
    return true;
  }

  #close(): void {
    this.#failures = 0;
    this.#tallies.closeCircuit(this.#backend, this.#server);
  }
}

/** One for the whole proxy of a thread. */
export class Breakers {
  readonly #tallies: Tallies;
  readonly #backends = new Map<string, Map<string, Breaker>>();

  constructor(tallies: Tallies) {
    this.#tallies = tallies;
  }

  /** `null` where the backend has none. */
  of({ name: backend, circuitBreaker }: BackendView, server: string): Breaker | null {
    if (circuitBreaker === null) return null;
    let servers = this.#backends.get(backend);
    if (servers === undefined) this.#backends.set(backend, (servers = new Map()));
    let breaker = servers.get(server);
    if (breaker === undefined) servers.set(server, (breaker = new Breaker(this.#tallies, backend, server)));
    return breaker;
  }
}
