// A restart from within: hands everything to a successor, one at a time, and says what came of it. How it is handed over
// stands in handover.ts, what follows (the drain) in cli/run.ts. Owned by app.ts.

import { type Clock } from '../core/clock.ts';
import { type Logger } from '../core/logger.ts';
import { Topic } from '../core/topic.ts';
import { findSuccessor, type Estate, type Succession } from './handover.ts';

export interface RestarterDeps extends Estate {
  readonly clock: Clock;
  readonly log: Logger;
  /** Why there can be no successor now; `null`: there can. */
  impediment(): string | null;
}

export class Restarter {
  readonly #deps: RestarterDeps;
  #isUnderWay = false;
  #isEnding = false;
  /** The process id of the successor, when it has taken over. Whoever listens lets go of the sockets at once. */
  readonly succeeded = new Topic<number>();

  constructor(deps: RestarterDeps) {
    this.#deps = deps;
  }

  /** Never rejects. `who`: asked for it. */
  async restart(who: string): Promise<Succession> {
    const { clock, log, impediment } = this.#deps;
    const refusal = this.#isEnding
      ? 'this process is ending'
      : this.#isUnderWay
        ? 'a restart is under way'
        : impediment();
    if (refusal !== null) {
      log.warn({ who, why: refusal }, `restart refused: ${refusal}`);
      return { ok: false, why: refusal };
    }
    this.#isUnderWay = true;
    log.info({ who }, 'restart: a successor is started');
    const startedAt = clock.now();
    const result = await findSuccessor(this.#deps, clock, pid => {
      this.#isEnding = true;
      const tookMs = Math.round(clock.now() - startedAt);
      log.info(
        { successor: pid, tookMs },
        `restart: process ${pid} has taken over; sessions go on here until they end`,
      );
      this.succeeded.publish(pid);
    });
    this.#isUnderWay = false;
    if (!result.ok)
      log.error({ who, why: result.why }, `restart failed, this process goes on: ${result.why}`);
    return result;
  }

  /** No restart any more. */
  end(): void {
    this.#isEnding = true;
  }
}
