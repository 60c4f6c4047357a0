// Clients that aren't listened to for a while: what they send waits in the kernel, and goes to their server afterwards. Used
// before a switchover, where an application shall come to the door with what it has to do next.
// Not back-pressure, which is the drivers' own. Owns its timers; owned by proxy.ts.

import { type Clock, type Timer } from '../core/clock.ts';
import { type JoinedSession } from './registry.ts';

export class Pauses {
  readonly #clock: Clock;
  readonly #timers = new Set<Timer>();
  readonly #paused = new Set<JoinedSession>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns how many are paused. Whoever ends meanwhile ends as always. */
  begin(sessions: readonly JoinedSession[], forMs: number): number {
    for (const session of sessions) {
      this.#paused.add(session);
      session.listen(false);
    }
    const timer = this.#clock.schedule(forMs, () => {
      this.#timers.delete(timer);
      for (const session of sessions) {
        this.#paused.delete(session);
        session.listen(true);
      }
    });
    this.#timers.add(timer);
    return sessions.length;
  }

  /** It may have been sent something that nobody has read. */
  has(session: JoinedSession): boolean {
    return this.#paused.has(session);
  }

  /** With the sessions themselves. */
  close(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#paused.clear();
  }
}
