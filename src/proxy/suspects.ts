// Servers that clients could not connect to, whatever the probes said last: on routes with a choice they come last until a
// probe that began later says they are well. Not health and not eligibility: no session is closed for a suspicion.
// Pure: time comes in. One for the whole proxy of a thread; told by connection.ts, asked by frontend.ts.

import { type MonotonicMs } from '../core/clock.ts';
import { type BackendView, type ServerView } from '../topology/model.ts';
import { SLOW_DIAL_MS } from './bounds.ts';

/** What is known of the connection attempts to one server. */
export class Suspect {
  #failedAt: MonotonicMs = -Infinity;
  /** One attempt that is under way, and since when: as long as it hangs, others would too. */
  #watched: object | null = null;
  #since: MonotonicMs = 0;

  /** `dial`: stands for the attempt, and is given again when it ends. */
  dialed(dial: object, at: MonotonicMs): void {
    if (this.#watched !== null) return;
    this.#watched = dial;
    this.#since = at;
  }

  ended(dial: object): void {
    if (this.#watched === dial) this.#watched = null;
  }

  failed(at: MonotonicMs): void {
    this.#failedAt = at;
  }

  /** A result proves something of the time after its probe began: an answer that was under way at the failure may be older. */
  isDoubted({ result }: ServerView, now: MonotonicMs): boolean {
    if (this.#watched !== null && now - this.#since > SLOW_DIAL_MS) return true;
    return result === null || result.at - result.durationMs <= this.#failedAt;
  }
}

export class Suspects {
  readonly #backends = new Map<string, Map<string, Suspect>>();

  of(backend: string, server: string): Suspect {
    let servers = this.#backends.get(backend);
    if (servers === undefined) this.#backends.set(backend, (servers = new Map()));
    let suspect = servers.get(server);
    if (suspect === undefined) servers.set(server, (suspect = new Suspect()));
    return suspect;
  }

  isDoubted(server: ServerView, view: BackendView, now: MonotonicMs): boolean {
    const suspect = this.#backends.get(view.name)?.get(server.name);
    return suspect !== undefined && suspect.isDoubted(server, now);
  }
}
