// Simulated clients: each connects to a frontend, logs in, writes and reads, goes away politely or not, and comes back.
// They are impatient and many, and know nothing of servers. Their network is short and never fails.

import { type Random } from '../../src/core/random.ts';
import { type SimDriver } from './driver.ts';
import { type Remote, type SimSocket } from './socket.ts';
import { type SimTime } from './time.ts';
import { said } from './words.ts';

const WAY_MS = 0.2;

export interface Tally {
  served: number;
  acknowledged: number;
  /** Writes that a server refused, being read-only: SQLSTATE 25006. */
  readOnly: number;
  broken: number;
}

export interface ClientWorld {
  readonly time: SimTime;
  readonly random: Random;
  /** `null`: Pointsman isn't there, and connections are refused. */
  readonly driver: () => SimDriver | null;
  readonly tally: Tally;
}

export class SimClient {
  readonly frontend: string;
  /** When it last had an answer that it wanted. */
  servedAt = -1;
  readonly #world: ClientWorld;
  readonly #thinkMs: number;
  #visit: Visit | null = null;
  #stopped = false;

  constructor(frontend: string, thinkMs: number, world: ClientWorld) {
    this.frontend = frontend;
    this.#thinkMs = thinkMs;
    this.#world = world;
  }

  comeIn(delayMs: number): void {
    this.#world.time.schedule(delayMs, () => {
      if (this.#stopped) return;
      const visit = new Visit(this.#world, this.#thinkMs, this.frontend === 'rw', {
        served: () => {
          this.servedAt = this.#world.time.now;
        },
        over: pauseMs => {
          if (this.#visit === visit) this.comeIn(pauseMs);
        },
      });
      this.#visit = visit;
      visit.connect(this.frontend);
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#visit?.abandon();
  }
}

interface Visitor {
  served(): void;
  over(pauseMs: number): void;
}

/** One connection of a client. */
class Visit implements Remote {
  readonly #world: ClientWorld;
  readonly #thinkMs: number;
  readonly #writes: boolean;
  readonly #visitor: Visitor;
  #socket: SimSocket | null = null;
  #opsLeft: number;
  #over = false;

  constructor(world: ClientWorld, thinkMs: number, writes: boolean, visitor: Visitor) {
    this.#world = world;
    this.#thinkMs = thinkMs;
    this.#writes = writes;
    this.#visitor = visitor;
    this.#opsLeft = 1 + Math.floor(world.random() * 20);
  }

  connect(frontend: string): void {
    this.#socket = this.#world.driver()?.accept(frontend, this) ?? null;
    if (this.#socket === null) this.#leave(100);
    else if (this.#chance(0.02)) this.#later(WAY_MS, () => this.#vanish());
    else this.#send(said.startup);
  }

  data(bytes: Uint8Array): void {
    this.#later(WAY_MS, () => {
      if (!this.#over) this.#hear(bytes);
    });
  }

  end(): void {
    this.#later(WAY_MS, () => {
      if (this.#over) return;
      this.#later(WAY_MS, () => this.#socket?.arrivedEnd());
      this.#leave(20 + this.#world.random() * 100);
    });
  }

  reset(): void {
    this.#later(WAY_MS, () => {
      if (this.#over) return;
      this.#world.tally.broken += 1;
      this.#leave(5);
    });
  }

  abandon(): void {
    if (this.#over) return;
    this.#over = true;
    this.#later(WAY_MS, () => this.#socket?.arrivedReset());
  }

  #hear(bytes: Uint8Array): void {
    const { tally } = this.#world;
    if (bytes === said.done || bytes === said.row) {
      tally.served += 1;
      if (bytes === said.done) tally.acknowledged += 1;
      this.#visitor.served();
    } else if (bytes === said.readOnly) {
      tally.readOnly += 1;
      this.#opsLeft = 0;
    } else if (bytes !== said.welcome) {
      // A refusal: what Pointsman or the server says comes with an end.
      return;
    }
    this.#later(this.#thinkMs * (0.5 + this.#world.random()), () => this.#act());
  }

  #act(): void {
    if (this.#over) return;
    if (this.#opsLeft === 0) {
      this.#vanish();
      return;
    }
    this.#opsLeft -= 1;
    this.#send(this.#writes && this.#chance(0.8) ? said.write : said.read);
  }

  /** Most say goodbye; some are killed. */
  #vanish(): void {
    if (this.#over) return;
    if (this.#chance(0.8)) this.#later(WAY_MS, () => this.#socket?.arrivedEnd());
    else this.#later(WAY_MS, () => this.#socket?.arrivedReset());
    this.#leave(10 + this.#world.random() * 50);
  }

  #leave(pauseMs: number): void {
    this.#over = true;
    this.#visitor.over(pauseMs);
  }

  #send(bytes: Uint8Array): void {
    this.#later(WAY_MS, () => this.#socket?.arrived(bytes));
  }

  #chance(share: number): boolean {
    return this.#world.random() < share;
  }

  #later(delayMs: number, task: () => void): void {
    this.#world.time.schedule(delayMs, task);
  }
}
