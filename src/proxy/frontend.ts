// One frontend: its port, its clients, its hold. Everything that clients share and no single one can decide:
// admission, whose turn it is, which server is next. Not the life of one client (session.ts). Owned by proxy.ts.

import { type Address } from '../core/address.ts';
import { type FrontendConfig } from '../config/schema.ts';
import { type Clock, type MonotonicMs, type Timer } from '../core/clock.ts';
import { type Random } from '../core/random.ts';
import { type BackendView } from '../topology/model.ts';
import { createAdmission } from './admission.ts';
import { SWEEP_MAX_MS } from './bounds.ts';
import { cancelTargets } from './cancel.ts';
import { NetConnection, type ConnectionHost } from './drivers/net/connection.ts';
import { listen, type IncomingClient, type Listener } from './drivers/net/listener.ts';
import { type FrontendGauge, type HoldOutcome, type ProxyObserver, type RejectReason } from './events.ts';
import { type ChangeListener } from './failover.ts';
import { HoldQueue } from './hold.ts';
import { refusal } from './refusal.ts';
import { type SessionRegistry } from './registry.ts';
import { decide, hasServer, type RouteDecision, type RoutePolicy } from './router.ts';

export interface FrontendDeps {
  readonly name: string;
  readonly config: FrontendConfig;
  readonly view: () => BackendView;
  readonly registry: SessionRegistry;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: ProxyObserver;
}

export class Frontend implements ChangeListener {
  readonly #deps: FrontendDeps;
  readonly #policy: RoutePolicy;
  readonly #admit: ReturnType<typeof createAdmission>;
  readonly #host: ConnectionHost;
  readonly #hold: HoldQueue<NetConnection>;
  /** Every connection with an open socket, and of them: admitted ones at work, those beyond the limit, those that dial. */
  readonly #connections = new Set<NetConnection>();
  readonly #admitted = new Set<NetConnection>();
  readonly #refused = new Set<NetConnection>();
  readonly #dialing = new Set<NetConnection>();
  #listener: Listener | null = null;
  #releaseTimer: Timer | null = null;
  #sweepTimer: Timer | null = null;
  #turn = 0;
  #draining = false;
  #vacantSince: MonotonicMs | null;
  #endedUp = 0;
  #endedDown = 0;
  #emptied: (() => void)[] = [];

  constructor(deps: FrontendDeps) {
    const { config, clock } = deps;
    this.#deps = deps;
    this.#policy = { route: config.route, balance: config.balance, maxLagMs: config.maxLagMs };
    this.#admit = createAdmission(config);
    this.#hold = new HoldQueue(config.holdMax);
    this.#vacantSince = hasServer(this.#policy, deps.view(), clock.now()) ? null : clock.now();
    this.#host = this.#createHost();
  }

  /** Rejects with BIND_FAILED. */
  async listen(): Promise<void> {
    const { name, config, clock, observer } = this.#deps;
    this.#listener = await listen(name, config.bind, clock, {
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
    for (const connection of [...this.#dialing]) connection.handle({ kind: 'snapshot-changed', at, view });
  }

  release(): void {
    this.#releaseTimer?.cancel();
    this.#releaseTimer = null;
    const { clock, view } = this.#deps;
    const at = clock.now();
    if (this.#hold.size === 0 || !hasServer(this.#policy, view(), at)) return;
    for (const connection of this.#hold.take(at)) connection.handle({ kind: 'released', at });
    this.#scheduleRelease();
  }

  gauge(): FrontendGauge {
    const { name, config, clock, view } = this.#deps;
    let sessions = 0;
    let bytesUp = this.#endedUp;
    let bytesDown = this.#endedDown;
    let connections = 0;
    for (const connection of this.#connections) {
      if (connection.stateKind === 'closed') continue;
      connections += 1;
      if (connection.stateKind !== 'relaying') continue;
      sessions += 1;
      bytesUp += connection.bytes.up;
      bytesDown += connection.bytes.down;
    }
    return {
      name,
      bind: this.#listener?.address ?? config.bind,
      backend: config.backend,
      route: config.route,
      connections,
      sessions,
      held: this.#hold.size,
      available: !this.#draining && hasServer(this.#policy, view(), clock.now()),
      bytesUp,
      bytesDown,
    };
  }

  /** Stops accepting and refuses whoever has no server yet; sessions go on. */
  stopAccepting(): void {
    this.#draining = true;
    this.#listener?.close();
    const at = this.#deps.clock.now();
    for (const connection of [...this.#connections]) connection.handle({ kind: 'shutdown', at });
  }

  /** Resolves when the last socket of the last client is gone. */
  emptied(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise(resolve => this.#emptied.push(resolve));
  }

  /** Ends everything now. */
  close(): void {
    this.stopAccepting();
    for (const connection of [...this.#connections]) connection.destroy();
    this.#releaseTimer?.cancel();
    this.#sweepTimer?.cancel();
  }

  #createHost(): ConnectionHost {
    const { name, config, clock, registry, observer, view } = this.#deps;
    const { backend, holdMs, connectTimeoutMs, idleTimeoutMs } = config;
    return {
      frontend: name,
      backend,
      rules: { route: config.route, maxLagMs: config.maxLagMs, holdMs, connectTimeoutMs },
      idleTimeoutMs,
      clock,
      registry,
      observer,
      view,
      decide: (client, waited) => this.#decide(client, waited),
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
      cancelTargets: (pid, key) =>
        cancelTargets(view(), registry, { frontend: name, route: config.route }, pid, key),
      closed: connection => this.#closed(connection),
      gone: connection => this.#gone(connection),
    };
  }

  #accept(incoming: IncomingClient): void {
    const { name, observer } = this.#deps;
    observer.accepted(name);
    const crowd = { admitted: this.#admitted.size, refused: this.#refused.size };
    const admission = this.#admit(incoming.address.host, crowd);
    if (admission.kind === 'drop') {
      incoming.drop();
      observer.rejected(name, admission.reason, incoming.address);
      return;
    }
    const connection = new NetConnection(incoming.socket, incoming.address, this.#host);
    this.#connections.add(connection);
    (admission.kind === 'admit' ? this.#admitted : this.#refused).add(connection);
    connection.start(admission.kind === 'admit' ? null : admission.reason);
  }

  #decide(client: Address, waited: boolean): RouteDecision {
    // While others wait their turn a newcomer goes behind them, also when there is a server already.
    if (!waited && this.#hold.size > 0) return { kind: 'hold' };
    const { random, registry, clock, view, config } = this.#deps;
    this.#turn += 1;
    return decide(this.#policy, view(), clock.now(), {
      turn: this.#turn,
      load: server => registry.load(config.backend, server),
      draws: [random(), random()],
      client: client.host,
    });
  }

  #wait(connection: NetConnection, again: boolean, pause: boolean): boolean {
    const { name, clock, observer } = this.#deps;
    if (pause) this.#hold.pause(clock.now());
    if (again) this.#hold.giveBack(connection);
    else if (this.#hold.join(connection)) observer.held(name);
    else return false;
    this.#scheduleRelease();
    return true;
  }

  #waited(connection: NetConnection, outcome: HoldOutcome, waitedMs: number): void {
    const { name, config, observer } = this.#deps;
    if (outcome === 'served') this.#hold.connected(connection, this.#deps.clock.now());
    else this.#hold.leave(connection);
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
    const { name, config, clock } = this.#deps;
    return refusal(reason, {
      frontend: name,
      backend: config.backend,
      route: config.route,
      maxConnections: config.maxConnections,
      holdMax: config.holdMax,
      vacantMs: this.#vacantSince === null ? null : clock.now() - this.#vacantSince,
    });
  }

  #closed(connection: NetConnection): void {
    this.#endedUp += connection.bytes.up;
    this.#endedDown += connection.bytes.down;
    this.#admitted.delete(connection);
    this.#hold.leave(connection);
  }

  #gone(connection: NetConnection): void {
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
      for (const connection of [...this.#connections]) connection.sweep(now);
      this.#scheduleSweep();
    });
  }
}
