// One frontend: its port, its clients, its hold. Everything that clients share and no single one can decide:
// admission, whose turn it is, which server is next. Not the life of one client (session.ts). Owned by proxy.ts.

import { type Address } from '../core/address.ts';
import { type FrontendConfig } from '../config/schema.ts';
import { type Clock, type MonotonicMs, type Timer } from '../core/clock.ts';
import { type Random } from '../core/random.ts';
import { type BackendView } from '../topology/model.ts';
import { createAdmission } from './admission.ts';
import { type PickContext } from './balance/pickers.ts';
import { SWEEP_MAX_MS } from './bounds.ts';
import { cancelTargets } from './cancel.ts';
import { type ConnectionHost } from './connection-host.ts';
import { Connection } from './connection.ts';
import { type Driver, type IncomingClient, type Listener } from './driver.ts';
import { type FrontendGauge, type HoldOutcome, type ProxyObserver, type RejectReason } from './events.ts';
import { type ChangeListener } from './failover.ts';
import { HoldQueue } from './hold.ts';
import { refusal } from './refusal.ts';
import { type SessionRegistry } from './registry.ts';
import { Roster } from './roster.ts';
import { decide, hasServer, type Doubt, type RouteDecision, type RoutePolicy } from './router.ts';
import { type Suspects } from './suspects.ts';
import { type FrontendTally } from './tallies.ts';

export interface FrontendDeps {
  readonly name: string;
  readonly config: FrontendConfig;
  readonly view: () => BackendView;
  readonly driver: Driver;
  readonly registry: SessionRegistry;
  readonly tally: FrontendTally;
  /** Shared by all frontends: what one finds out serves the others. */
  readonly suspects: Suspects;
  /** Held clients that may be under way at once. */
  readonly releaseBurst: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: ProxyObserver;
}

export class Frontend implements ChangeListener {
  readonly #deps: FrontendDeps;
  readonly #policy: RoutePolicy;
  readonly #isDoubted: Doubt;
  readonly #admit: ReturnType<typeof createAdmission>;
  readonly #host: ConnectionHost<Connection>;
  readonly #hold: HoldQueue<Connection>;
  /** Every connection with an open socket, and of them: those beyond the limit, and those that dial. */
  readonly #connections = new Roster<Connection>({
    get: connection => connection.seat,
    set: (connection, seat) => {
      connection.seat = seat;
    },
  });
  readonly #refused = new Set<Connection>();
  readonly #dialing = new Roster<Connection>({
    get: connection => connection.place,
    set: (connection, place) => {
      connection.place = place;
    },
  });
  #listener: Listener | null = null;
  #releaseTimer: Timer | null = null;
  #sweepTimer: Timer | null = null;
  #turn = 0;
  #draining = false;
  #vacantSince: MonotonicMs | null;
  #emptied: (() => void)[] = [];

  constructor(deps: FrontendDeps) {
    const { config, clock } = deps;
    this.#deps = deps;
    this.#policy = { route: config.route, balance: config.balance, maxLagMs: config.maxLagMs };
    this.#isDoubted = (server, view, now) => deps.suspects.isDoubted(server, view, now);
    this.#admit = createAdmission(config);
    const { tally } = deps;
    this.#hold = new HoldQueue(() => config.holdMax - tally.heldByAll + tally.held, deps.releaseBurst);
    this.#vacantSince = hasServer(this.#policy, deps.view(), clock.now()) ? null : clock.now();
    this.#host = this.#createHost();
  }

  /** Rejects with BIND_FAILED. */
  async listen(): Promise<void> {
    const { name, config, driver, observer } = this.#deps;
    const request = { frontend: name, bind: config.bind, tcp: config.tcp };
    this.#listener = await driver.listen(request, {
      accepted: client => this.#accept(client),
      acceptError: (code, detail) => observer.acceptError(name, code, detail),
    });
    this.#scheduleSweep();
  }

  snapshotChanged(): void {
    const { clock } = this.#deps;
    const view = this.#deps.view();
    const at = clock.now();
    if (hasServer(this.#policy, view, at)) this.#vacantSince = null;
    else this.#vacantSince ??= at;
    for (const connection of this.#dialing.members())
      connection.handle({ kind: 'snapshot-changed', at, view });
  }

  release(): void {
    this.#releaseTimer?.cancel();
    this.#releaseTimer = null;
    const { clock, view } = this.#deps;
    const at = clock.now();
    if (this.#hold.size === 0 || !hasServer(this.#policy, view(), at)) return;
    const released = this.#hold.take(at);
    this.#countHeld();
    for (const connection of released) connection.handle({ kind: 'released', at });
    this.#scheduleRelease();
  }

  gauge(): FrontendGauge {
    const { name, config, clock, view, tally } = this.#deps;
    return {
      name,
      bind: this.#listener?.address ?? config.bind,
      backend: config.backend,
      route: config.route,
      connections: tally.connections,
      sessions: tally.sessions,
      held: tally.held,
      available: !this.#draining && hasServer(this.#policy, view(), clock.now()),
      bytesUp: tally.bytesUp,
      bytesDown: tally.bytesDown,
    };
  }

  /** Stops accepting and refuses whoever has no server yet; sessions go on. */
  stopAccepting(): void {
    this.#draining = true;
    this.#listener?.close();
    const at = this.#deps.clock.now();
    for (const connection of this.#connections.members()) connection.handle({ kind: 'shutdown', at });
  }

  /** Resolves when the last socket of the last client is gone. */
  emptied(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise(resolve => this.#emptied.push(resolve));
  }

  /** Ends everything now. */
  close(): void {
    this.stopAccepting();
    for (const connection of this.#connections.members()) connection.destroy();
    this.#releaseTimer?.cancel();
    this.#sweepTimer?.cancel();
  }

  #createHost(): ConnectionHost<Connection> {
    const { name, config, driver, clock, registry, observer, tally, suspects, view } = this.#deps;
    const { backend, holdMs, connectTimeoutMs, idleTimeoutMs } = config;
    const { protocol } = view();
    return {
      frontend: name,
      backend,
      rules: { protocol, route: config.route, maxLagMs: config.maxLagMs, holdMs, connectTimeoutMs },
      idleTimeoutMs,
      tcp: config.tcp,
      driver,
      tally,
      suspects,
      clock,
      registry,
      observer,
      view,
      decide: (client, waited, at) => this.#decide(client, waited, at),
      hold: (connection, again, pause) => this.#wait(connection, again, pause),
      unhold: (connection, outcome, waitedMs) => this.#waited(connection, outcome, waitedMs),
      dialing: (connection, active) => {
        if (active) this.#dialing.add(connection);
        else this.#dialing.delete(connection);
      },
      refusal: reason => this.#refusal(reason),
      loggedIn: connection => {
        if (this.#hold.loggedIn(connection)) this.#scheduleRelease(true);
      },
      cancelTargets: (pid, key) => cancelTargets(view(), registry, config.route, pid, key),
      closed: connection => this.#closed(connection),
      gone: connection => this.#gone(connection),
    };
  }

  #accept({ address, socket }: IncomingClient): void {
    const { name, observer, tally } = this.#deps;
    observer.accepted(name, 1);
    // Counted before it is judged: another worker that judges at the same moment must see it.
    tally.admitted += 1;
    const admission = this.#admit(address.host, {
      admitted: tally.admittedByAll - 1,
      refused: this.#refused.size,
    });
    if (admission.kind !== 'admit') tally.admitted -= 1;
    if (admission.kind === 'drop') {
      socket.destroy();
      observer.rejected(name, admission.reason, address);
      return;
    }
    const connection = new Connection(socket, address, this.#host);
    tally.connections += 1;
    this.#connections.add(connection);
    if (admission.kind === 'refuse') this.#refused.add(connection);
    connection.start(admission.kind === 'admit' ? null : admission.reason);
  }

  #decide(client: Address, waited: boolean, at: MonotonicMs): RouteDecision {
    // While others wait their turn a newcomer goes behind them, also when there is a server already.
    if (!waited && this.#hold.size > 0) return { kind: 'hold' };
    const view = this.#deps.view();
    return decide(this.#policy, view, at, this.#isDoubted, () => this.#choice(client, view, at));
  }

  #choice({ host: client }: Address, { slowStartMs }: BackendView, now: MonotonicMs): PickContext {
    const { random, registry, config } = this.#deps;
    this.#turn += 1;
    return {
      turn: this.#turn,
      load: server => registry.load(config.backend, server),
      draws: [random(), random()],
      client,
      now,
      slowStartMs,
    };
  }

  #wait(connection: Connection, again: boolean, pause: boolean): boolean {
    const { name, clock, observer } = this.#deps;
    if (pause) this.#hold.pause(clock.now());
    if (again) this.#hold.giveBack(connection);
    else if (this.#hold.join(connection)) observer.held(name);
    else return false;
    this.#countHeld();
    this.#scheduleRelease();
    return true;
  }

  #waited(connection: Connection, outcome: HoldOutcome, waitedMs: number): void {
    const { name, config, observer } = this.#deps;
    if (outcome === 'served') this.#hold.connected(connection, this.#deps.clock.now());
    else this.#hold.leave(connection);
    this.#countHeld();
    observer.holdEnded(name, config.backend, waitedMs, outcome);
    // One less under way: the next may go as soon as what is happening now is done with.
    this.#scheduleRelease(true);
  }

  #scheduleRelease(soon = false): void {
    const nextAt = this.#hold.nextAt();
    const { clock } = this.#deps;
    if (nextAt === null || !hasServer(this.#policy, this.#deps.view(), clock.now())) return;
    if (this.#releaseTimer !== null && !soon) return;
    this.#releaseTimer?.cancel();
    const task = (): void => this.release();
    const delayMs = Math.max(0, nextAt - clock.now());
    this.#releaseTimer = soon ? clock.afterInput(task) : clock.schedule(delayMs, task);
  }

  #refusal(reason: RejectReason): Uint8Array {
    const { name, config, clock, view } = this.#deps;
    return refusal(view().protocol, reason, {
      frontend: name,
      backend: config.backend,
      route: config.route,
      maxConnections: config.maxConnections,
      holdMax: config.holdMax,
      vacantMs: this.#vacantSince === null ? null : clock.now() - this.#vacantSince,
    });
  }

  #closed(connection: Connection): void {
    const { tally } = this.#deps;
    tally.connections -= 1;
    if (!this.#refused.has(connection)) tally.admitted -= 1;
    this.#hold.leave(connection);
    this.#countHeld();
  }

  #countHeld(): void {
    this.#deps.tally.held = this.#hold.size;
  }

  #gone(connection: Connection): void {
    this.#connections.delete(connection);
    this.#refused.delete(connection);
    if (this.#connections.size > 0) return;
    for (const resolve of this.#emptied.splice(0)) resolve();
  }

  /** One timer for all sessions, and not one per session or packet. */
  #scheduleSweep(): void {
    const { clock, config } = this.#deps;
    const intervalMs =
      config.idleTimeoutMs === 0 ? SWEEP_MAX_MS : Math.min(SWEEP_MAX_MS, config.idleTimeoutMs / 4);
    this.#sweepTimer = clock.schedule(intervalMs, () => {
      const now = clock.now();
      for (const connection of this.#connections.members()) connection.sweep(now);
      this.#scheduleSweep();
    });
  }
}
