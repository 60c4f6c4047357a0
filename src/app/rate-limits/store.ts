// Shares rate limits with other processes through Redis. No client ever waits for this: workers decide by the tables in
// shared memory, and at each interval the main thread tells Redis what was taken and raises the tables to what others took.
// Without Redis each process limits by itself (decision 13). Owned by app.

import { type Config, type RateLimitStoreConfig } from '../../config/schema.ts';
import { type Clock, type MonotonicMs, type Timer } from '../../core/clock.ts';
import { SHARED_TAKINGS_MAX } from '../../core/limits.ts';
import { type Logger } from '../../core/logger.ts';
import { Asking } from '../../health/asking.ts';
import { failure } from '../../health/probers/failures.ts';
import { Session } from '../../health/probers/redis/session.ts';
import { type Command } from '../../protocol/redis/command.ts';
import { type Reply } from '../../protocol/redis/reply.ts';
import { type AddressTable } from '../../proxy/limits/address-table.ts';
import { commandOf, hear, takingsOf } from './shared-buckets.ts';

/** While nothing is taken Redis is asked this often whether it is there. */
const IDLE_ASK_MS = 1000;
/** Between two attempts to reach one that is gone. */
const RETRY_MS = 500;

export interface StoreDeps {
  readonly config: RateLimitStoreConfig;
  readonly frontends: () => Config['frontends'];
  readonly tables: () => ReadonlyMap<string, AddressTable>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly tell: {
    up(isUp: boolean): void;
    failed(): void;
  };
}

export class RateLimitStore {
  readonly #deps: StoreDeps;
  readonly #asking: Asking;
  #session: Session | null = null;
  #isUp: boolean | null = null;
  #answeredAt: MonotonicMs = -Infinity;

  constructor(deps: StoreDeps) {
    this.#deps = deps;
    this.#asking = new Asking(deps.clock, async () => {
      const problem = await this.#sync();
      const pauseMs = problem === null ? deps.config.intervalMs : Math.max(RETRY_MS, deps.config.intervalMs);
      return { pauseMs, tell: () => this.#tell(problem) };
    });
  }

  start(): void {
    this.#asking.start();
  }

  stop(): void {
    this.#asking.stop();
    this.#session?.end(failure('L4LOST', 'Pointsman ends'));
  }

  /** `null`, or what is wrong with Redis. */
  async #sync(): Promise<string | null> {
    const { config, clock, frontends, tables } = this.#deps;
    const session = this.#session;
    if (session === null || session.phase === 'ended') {
      const refused = await this.#within(opened => this.#connect(opened));
      if (refused !== null) return refused;
    }
    const limits = new Map(Object.entries(frontends()).map(([name, { rateLimit }]) => [name, rateLimit]));
    // What was taken while Redis was away is nobody's business any more: it is gathered after it is known to be there.
    const takings = takingsOf(limits, tables(), SHARED_TAKINGS_MAX);
    const now = clock.now();
    if (takings.length === 0 && now - this.#answeredAt < IDLE_ASK_MS) return null;
    const command: Command = takings.length === 0 ? ['PING'] : commandOf(takings, config.prefix, now);
    let answer: Reply | undefined;
    const problem = await this.#within(async () => {
      const asked = await this.#session?.ask(command);
      if (asked?.kind !== 'replies') return asked?.failure.detail ?? 'there is no connection';
      [answer] = asked.replies;
      return answer?.kind === 'error' ? answer.text : null;
    });
    if (problem !== null) return problem;
    this.#answeredAt = clock.now();
    if (takings.length === 0 || hear(takings, answer, now)) return null;
    return 'an answer of another form than that of the script';
  }

  async #connect(isWanted: () => boolean): Promise<string | null> {
    const { config, clock } = this.#deps;
    // What the session lost is seen at the next question.
    this.#session = new Session({ ...config.redis, clock }, { lost: () => undefined });
    const refused = await this.#session.opened();
    if (refused !== null) return refused.detail;
    if (!isWanted()) return 'too late';
    // A new acquaintance: what was taken before is dropped.
    const limits = new Map(
      Object.entries(this.#deps.frontends()).map(([name, { rateLimit }]) => [name, rateLimit]),
    );
    takingsOf(limits, this.#deps.tables(), Infinity);
    return null;
  }

  /** What comes later than `timeout` counts no more, and the session with it. */
  #within(work: (isWanted: () => boolean) => Promise<string | null>): Promise<string | null> {
    const { clock, config } = this.#deps;
    const { timeoutMs } = config.redis;
    return new Promise(resolve => {
      let isOver = false;
      const settle = (problem: string | null): void => {
        if (isOver) return;
        isOver = true;
        timer.cancel();
        if (problem !== null) {
          this.#session?.end(failure('L7TOUT', problem));
          this.#session = null;
        }
        resolve(problem);
      };
      const timer: Timer = clock.schedule(timeoutMs, () => settle(`no answer within ${timeoutMs} ms`));
      void work(() => !isOver).then(settle);
    });
  }

  #tell(problem: string | null): void {
    const { log, tell } = this.#deps;
    const isUp = problem === null;
    tell.up(isUp);
    if (!isUp) tell.failed();
    if (isUp === this.#isUp) return;
    if (!isUp) log.warn({ problem }, 'the store of rate limits is away: this process limits by itself');
    else log.info({}, 'the store of rate limits is there: limits are shared');
    this.#isUp = isUp;
  }
}
