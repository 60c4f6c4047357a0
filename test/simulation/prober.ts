// A prober of a simulated server: one question over a simulated session, and the crash signal when that is lost.
// Not the schedule: the real monitor has it. What it hands over is what the oracle judges by.

import { type Clock, type Timer } from '../../src/core/clock.ts';
import { type FailureCode } from '../../src/health/result.ts';
import { type ProbeAnswer, type Prober } from '../../src/health/prober.ts';
import { newLanes, type Message, type Path } from './network.ts';
import { type SimServer } from './server.ts';

export interface ProberWorld {
  readonly clock: Clock;
  readonly server: SimServer;
  readonly path: Path;
  readonly timeoutMs: number;
  /** Told before the monitor is. */
  readonly delivered: (answer: ProbeAnswer) => void;
}

const failed = (code: FailureCode, detail: string): ProbeAnswer => ({ code, detail });

/** As a promise to whoever waits with `then`, but called in the very event that settles it: no turn of the loop is needed. */
class Pending {
  #settle: ((answer: ProbeAnswer) => void) | null = null;

  then(settle: (answer: ProbeAnswer) => void): void {
    this.#settle = settle;
  }

  settle(answer: ProbeAnswer): void {
    this.#settle?.(answer);
  }
}

export class SimProber implements Prober {
  readonly #world: ProberWorld;
  readonly #onLost: (detail: string) => void;
  #lanes = newLanes();
  /** The process that the session is with; `null`: there is no session. */
  #session: number | null = null;
  #stopListening: (() => void) | null = null;
  #run: { readonly pending: Pending; readonly timer: Timer } | null = null;
  #closed = false;

  constructor(world: ProberWorld, onLost: (detail: string) => void) {
    this.#world = world;
    this.#onLost = onLost;
  }

  probe(): Promise<ProbeAnswer> {
    const pending = new Pending();
    const { clock, timeoutMs } = this.#world;
    const code = this.#session === null ? 'L4TOUT' : 'L7TOUT';
    const timer = clock.schedule(timeoutMs, () =>
      this.#settle(run, failed(code, 'no answer in time'), false),
    );
    const run = { pending, timer };
    this.#run = run;
    this.#send('to', () => this.#asked(run));
    // The monitor calls `then` and nothing else.
    return pending as unknown as Promise<ProbeAnswer>;
  }

  close(): void {
    this.#closed = true;
    this.#run?.timer.cancel();
    this.#run = null;
    this.#hangUp();
  }

  /** The question has reached the machine. */
  #asked(run: object): void {
    const { server } = this.#world;
    if (server.state === 'off' || this.#run !== run) return;
    if (server.state === 'stopped') {
      this.#send('from', () => this.#settle(run, failed('L4CON', 'connection refused'), false));
      return;
    }
    if (this.#session !== null && this.#session !== server.incarnation) {
      this.#send('from', () => this.#settle(run, failed('L4LOST', 'connection reset'), false));
      return;
    }
    server.receive(() => {
      const answer = server.answer();
      const { incarnation } = server;
      this.#send('from', () => this.#settle(run, answer, answer.code === 'L7OK', incarnation));
    });
  }

  #settle(run: object, answer: ProbeAnswer, isSession: boolean, incarnation = 0): void {
    const current = this.#run;
    if (current !== run || current === null) return;
    this.#run = null;
    current.timer.cancel();
    if (!isSession) this.#hangUp();
    else if (this.#session === null) this.#hold(incarnation);
    this.#world.delivered(answer);
    current.pending.settle(answer);
  }

  #hold(incarnation: number): void {
    const { server } = this.#world;
    this.#session = incarnation;
    if (server.incarnation !== incarnation) return;
    this.#stopListening = server.onDeath(silently => {
      if (!silently) this.#send('from', () => this.#lost(incarnation));
    });
  }

  #lost(incarnation: number): void {
    if (this.#session !== incarnation || this.#closed) return;
    const run = this.#run;
    const answer = failed('L4LOST', 'the session was reset');
    if (run !== null) {
      this.#settle(run, answer, false);
      return;
    }
    this.#hangUp();
    this.#world.delivered(answer);
    this.#onLost(answer.detail);
  }

  #hangUp(): void {
    this.#session = null;
    this.#stopListening?.();
    this.#stopListening = null;
    this.#lanes = newLanes();
  }

  #send(direction: 'to' | 'from', arrive: () => void): void {
    const lanes = this.#lanes;
    const message: Message = { arrive, isDropped: false };
    this.#world.path.send(direction, lanes, message);
  }
}
