// One frontend: its port, its clients, its hold. Everything that clients share and no single one can decide:
// admission, whose turn it is, which server is next. Not the life of one client (session.ts). Owned by proxy.ts.

import { isDeepStrictEqual } from 'node:util';
import { type Address } from '../core/address.ts';
import { type FrontendConfig } from '../config/schema.ts';
import { type MonotonicMs, type Timer } from '../core/clock.ts';
import { eligibilityOf } from '../topology/eligibility.ts';
import { type BackendView } from '../topology/model.ts';
import { unusedServers } from '../topology/unused.ts';
import { REFUSALS_MAX } from '../core/limits.ts';
import { createAdmission, createTrust, type Admission } from './admission.ts';
import { type PickContext } from './balance/pickers.ts';
import { AGE_LOOKS, ROOM_POLL_MS, SWEEP_MAX_MS } from './bounds.ts';
import { cancelTargets } from './cancel.ts';
import { type ConnectionHost } from './connection-host.ts';
import { Connection } from './connection.ts';
import { Door } from './door.ts';
import { nothingInherited, type IncomingClient, type ListeningSocket } from './driver.ts';
import { type FrontendGauge, type HoldOutcome, type RejectReason } from './events.ts';
import { type ChangeListener } from './failover.ts';
import { HoldQueue } from './hold.ts';
import { type AddressTable } from './limits/address-table.ts';
import { ClientLimits } from './limits/client-limits.ts';
import { TurnedAway } from './limits/turned-away.ts';
import { Turnstile } from './limits/turnstile.ts';
import { refusal } from './refusal.ts';
import { Roster } from './roster.ts';
import {
  decide,
  hasServer,
  policyOf,
  type Doubt,
  type Room,
  type RouteDecision,
  type RoutePolicy,
} from './router.ts';
import { tlsTerms } from './session-tls.ts';
import { type FrontendTally } from './tallies.ts';
import { type FrontendDeps } from './frontend-deps.ts';

type Ending = Extract<RejectReason, 'shutdown' | 'frontend-removed'>;

export class Frontend implements ChangeListener {
  readonly #deps: FrontendDeps;
  readonly #isDoubted: Doubt;
  readonly #hasRoom: Room;
  // What a reload changes.
  #config: FrontendConfig;
  #tally: FrontendTally;
  #policy: RoutePolicy;
  #admit: ReturnType<typeof createAdmission>;
  #trust: ReturnType<typeof createTrust>;
  #host: ConnectionHost<Connection>;
  readonly #hold: HoldQueue<Connection>;
  #turnstile: Turnstile;
  #limits: ClientLimits | null;
  /** Where clients that were counted leave, though a reload has ended the limits. */
  #counting: ClientLimits | null;
  readonly #turnedAway: TurnedAway;
  readonly #wake = (): void => this.#scheduleRelease(true);
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
  #door: Door | null = null;
  #releaseTimer: Timer | null = null;
  #sweepTimer: Timer | null = null;
  #turn = 0;
  /** Why nobody is let in any more; `null`: everybody is. */
  #ending: Ending | null = null;
  #vacantSince: MonotonicMs | null;
  #emptied: (() => void)[] = [];

  constructor(config: FrontendConfig, deps: FrontendDeps) {
    const { clock } = deps;
    this.#deps = deps;
    this.#config = config;
    this.#tally = deps.tallies.frontend(deps.name);
    this.#policy = policyOf(config);
    this.#isDoubted = (server, view, now) => deps.suspects.isDoubted(server, view, now);
    this.#hasRoom = ({ name }) => {
      const { fallbackMax, backend } = this.#config;
      return fallbackMax === null || deps.registry.loadFrom(deps.name, backend, name) < fallbackMax;
    };
    this.#limits = this.#counting = this.#createLimits();
    this.#admit = createAdmission(config, this.#limits);
    this.#trust = createTrust(config.acceptProxy);
    this.#turnstile = this.#createTurnstile();
    this.#turnedAway = new TurnedAway(clock, (...sum) => deps.observer.rejected(deps.name, ...sum));
    this.#hold = new HoldQueue(() => {
      const { heldByAll, held } = this.#tally;
      return this.#config.holdMax - heldByAll + held;
    }, deps.releaseBurst);
    this.#vacantSince = hasServer(this.#policy, this.#view(), clock.now()) ? null : clock.now();
    this.#host = this.#createHost();
  }

  get backend(): string {
    return this.#config.backend;
  }

  get name(): string {
    return this.#deps.name;
  }

  /** What client addresses have and take; null where nothing limits them. */
  get addresses(): AddressTable | null {
    return this.#deps.tallies.addresses(this.#deps.name, this.#config);
  }

  /** Opens its port. Rejects with BIND_FAILED. */
  async listen(): Promise<void> {
    const { bind, tcp } = this.#config;
    const { driver, name: frontend, inherited = nothingInherited } = this.#deps;
    const found = inherited(frontend, bind);
    this.open(await Door.open(driver, { frontend, bind, tcp, inherited: found }));
  }

  /** Who comes in by the door is its client from now on. */
  open(door: Door): void {
    const { name, observer } = this.#deps;
    this.#door = door;
    this.#ending = null;
    if (this.#sweepTimer === null) this.#scheduleSweep();
    door.leadTo({
      accepted: client => this.#accept(client),
      acceptError: (code, detail) => observer.acceptError(name, code, detail),
    });
  }

  listening(): readonly ListeningSocket[] {
    const { address, descriptors } = this.#door ?? { address: null, descriptors: [] };
    return address === null ? [] : descriptors.map(fd => ({ name: this.#deps.name, fd, address }));
  }

  /** Gives its door up, to another frontend or to be closed. */
  leaveDoor(): Door | null {
    const door = this.#door;
    this.#door = null;
    return door;
  }

  /**
   * Other terms from now on, for newcomers, for whoever has no server yet, and for the sessions to the same backend. What a
   * changed route forbids is closed by the caller (failover.ts), before anybody is released.
   */
  reconfigure(config: FrontendConfig): void {
    const { clock, name, tallies } = this.#deps;
    if (!isDeepStrictEqual(config.tcp, this.#config.tcp)) this.#door?.keepAlive(config.tcp);
    this.#config = config;
    this.#tally = tallies.frontend(name);
    this.#policy = policyOf(config);
    this.#limits = this.#createLimits();
    this.#counting = this.#limits ?? this.#counting;
    this.#admit = createAdmission(config, this.#limits);
    this.#trust = createTrust(config.acceptProxy);
    this.#rest();
    this.#turnstile = this.#createTurnstile();
    this.#vacantSince = hasServer(this.#policy, this.#view(), clock.now())
      ? null
      : (this.#vacantSince ?? clock.now());
    this.#host = this.#createHost();
    for (const connection of this.#connections.members()) connection.rehost(this.#host);
    if (this.#sweepTimer !== null) this.#scheduleSweep();
  }

  snapshotChanged(): void {
    const { clock } = this.#deps;
    const view = this.#view();
    const at = clock.now();
    if (hasServer(this.#policy, view, at)) this.#vacantSince = null;
    else this.#vacantSince ??= at;
    for (const connection of this.#dialing.members())
      connection.handle({ kind: 'snapshot-changed', at, view });
  }

  release(): void {
    this.#releaseTimer?.cancel();
    this.#releaseTimer = null;
    const { clock } = this.#deps;
    const at = clock.now();
    if (this.#hold.size === 0 || !this.#hasServer(at)) {
      this.#rest();
      return this.#awaitRoom();
    }
    const { most, burst } = this.#turnstile.allowance(this.#view(), at);
    const released = this.#hold.take(at, most, burst);
    if (released.length > 0) this.#turnstile.went(released.length, at);
    this.#countHeld();
    for (const connection of released) connection.handle({ kind: 'released', at });
    this.#scheduleRelease();
  }

  gauge(): FrontendGauge {
    const { name, clock } = this.#deps;
    const config = this.#config;
    const tally = this.#tally;
    return {
      name,
      bind: this.#door?.address ?? config.bind,
      backend: config.backend,
      route: config.route,
      connections: tally.connections,
      sessions: tally.sessions,
      held: tally.held,
      available: this.#ending === null && hasServer(this.#policy, this.#view(), clock.now()),
      ...(this.#ending === 'frontend-removed' ? { leaving: true } : {}),
      unused: unusedServers(config, this.#view(), clock.now()),
      bytesUp: tally.bytesUp,
      bytesDown: tally.bytesDown,
    };
  }

  /** Stops accepting and refuses whoever has no server yet; sessions go on. */
  stopAccepting(reason: Ending = 'shutdown'): void {
    this.#ending = reason;
    this.#door?.close();
    const at = this.#deps.clock.now();
    for (const connection of this.#connections.members()) connection.handle({ kind: 'shutdown', at, reason });
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
    this.#turnedAway.flush();
    this.#rest();
  }

  #createLimits(): ClientLimits | null {
    const table = this.addresses;
    return table === null ? null : new ClientLimits(this.#config, table);
  }

  #createTurnstile(): Turnstile {
    const { name, tallies, breakers, surgeOf, workers } = this.#deps;
    const { route, holdMs, backend } = this.#config;
    // Who can't wait isn't paced: there is nothing but to refuse it.
    const surge = route === 'primary' && holdMs > 0 ? surgeOf(backend) : null;
    return new Turnstile({ frontend: name, policy: this.#policy, tallies, breakers, surge, workers });
  }

  #createHost(): ConnectionHost<Connection> {
    const { name, driver, clock, random, registry, observer, suspects, breakers, peers = null } = this.#deps;
    const config = this.#config;
    const { backend, route, holdMs, connectTimeoutMs, idleTimeoutMs, maxSessionAgeMs } = config;
    const view = (): BackendView => this.#deps.view(backend);
    const { protocol } = view();
    const { rule, ...tls } = tlsTerms(config, protocol);
    return {
      frontend: name,
      backend,
      rules: {
        protocol,
        ...eligibilityOf(config),
        holdMs,
        connectTimeoutMs,
        ...rule,
      },
      ...tls,
      idleTimeoutMs,
      maxSessionAgeMs,
      random,
      tcp: config.tcp,
      driver,
      tally: this.#tally,
      suspects,
      breakers,
      clock,
      registry,
      observer,
      view,
      newest: () => this.#host,
      admit: connection => this.#admitAnnounced(connection),
      decide: (client, waited, at) => this.#decide(client, waited, at),
      fits: server => this.#turnstile.fits(server, view()),
      hold: (connection, again, pause) => this.#wait(connection, again, pause),
      unhold: (connection, outcome, waitedMs) => this.#waited(connection, outcome, waitedMs),
      dialing: (connection, active) => {
        if (active) this.#dialing.add(connection);
        else this.#dialing.delete(connection);
      },
      refusal: reason => this.#refusal(protocol, reason),
      loggedIn: connection => {
        if (this.#hold.loggedIn(connection)) this.#scheduleRelease(true);
      },
      cancelTargets: (pid, key) => cancelTargets({ view, registry, route, peers }, pid, key),
      closed: connection => this.#closed(connection),
      gone: connection => this.#gone(connection),
    };
  }

  #view(): BackendView {
    return this.#deps.view(this.#config.backend);
  }

  #accept({ address, socket }: IncomingClient): void {
    const { name, observer } = this.#deps;
    const tally = this.#tally;
    observer.accepted(name, 1);
    // Counted before it is judged: another worker that judges at the same moment must see it.
    tally.admitted += 1;
    const trust = this.#trust(address.host);
    const admission = trust === 'client' ? this.#judge(address) : this.#judgePeer(trust);
    if (admission.kind !== 'admit') tally.admitted -= 1;
    if (admission.kind === 'drop') {
      socket.destroy();
      this.#turnedAway.note(admission.reason, address);
      return;
    }
    const connection = new Connection(socket, address, this.#host);
    tally.connections += 1;
    this.#connections.add(connection);
    if (admission.kind === 'refuse') this.#refused.add(connection);
    else connection.counted = admission.counted;
    connection.start(admission.kind === 'admit' ? null : admission.reason, trust === 'proxy');
  }

  /** Of a client that is counted among the admitted already. */
  #judge({ host }: Address): Admission {
    const crowd = { admitted: this.#tally.admittedByAll - 1, refused: this.#refused.size };
    return this.#admit(host, crowd, this.#deps.clock.now());
  }

  /** A proxy takes room until it says for whom it comes, and whom it announces may be refused with words. */
  #judgePeer(trust: 'proxy' | 'nobody'): Admission {
    if (trust === 'nobody') return { kind: 'drop', reason: 'untrusted-proxy' };
    const { maxConnections } = this.#config;
    if (this.#tally.admittedByAll <= maxConnections + REFUSALS_MAX) return { kind: 'admit', counted: false };
    return { kind: 'drop', reason: 'max-connections' };
  }

  #admitAnnounced(connection: Connection): Admission {
    const admission = this.#judge(connection.client);
    if (admission.kind === 'admit') connection.counted = admission.counted;
    if (admission.kind === 'refuse') {
      this.#refused.add(connection);
      this.#tally.admitted -= 1;
    }
    return admission;
  }

  #decide(client: Address, waited: boolean, at: MonotonicMs): RouteDecision {
    // While others wait their turn a newcomer goes behind them, also when there is a server already.
    if (!waited && (this.#hold.size > 0 || this.#turnstile.paces(at))) return this.#turnstile.queue;
    const view = this.#view();
    const decision = decide(
      this.#policy,
      view,
      at,
      this.#isDoubted,
      () => this.#choice(client, view, at),
      this.#hasRoom,
    );
    return this.#turnstile.withRoom(decision, view, at);
  }

  #choice({ host: client }: Address, { slowStartMs }: BackendView, now: MonotonicMs): PickContext {
    const { random, registry } = this.#deps;
    const { backend } = this.#config;
    this.#turn += 1;
    return {
      turn: this.#turn,
      load: server => registry.load(backend, server),
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
    const { name, observer } = this.#deps;
    if (outcome === 'served') this.#hold.connected(connection, this.#deps.clock.now());
    else this.#hold.leave(connection);
    this.#countHeld();
    observer.holdEnded(name, this.#config.backend, waitedMs, outcome);
    // One less under way: the next may go as soon as what is happening now is done with.
    this.#scheduleRelease(true);
  }

  #scheduleRelease(soon = false): void {
    const nextAt = this.#hold.nextAt();
    const { clock, registry } = this.#deps;
    const now = clock.now();
    if (this.#hold.size === 0) this.#rest();
    if (nextAt === null) return;
    if (!this.#hasServer(now)) return this.#awaitRoom();
    const roomAt = this.#turnstile.nextAt(this.#view(), now);
    if (this.#turnstile.isCrowded) registry.awaiting.add(this.#wake);
    if (roomAt === null || (this.#releaseTimer !== null && !soon)) return;
    this.#releaseTimer?.cancel();
    const task = (): void => this.release();
    const delayMs = Math.max(0, nextAt - now, roomAt - now);
    this.#releaseTimer = soon && roomAt <= now ? clock.afterInput(task) : clock.schedule(delayMs, task);
  }

  /** Nobody waits for room any more. */
  #rest(): void {
    if (!this.#turnstile.isCrowded) return;
    this.#turnstile.rests();
    this.#deps.registry.awaiting.delete(this.#wake);
  }

  /** Whether a client from the hold would be given a server. */
  #hasServer(at: MonotonicMs): boolean {
    return hasServer(this.#policy, this.#view(), at, this.#hasRoom);
  }

  /** Another worker's session may end and make room at the primary, and nobody tells: so it is looked at again and again. */
  #awaitRoom(): void {
    if (!this.#policy.isFallbackCapped || this.#hold.size === 0 || this.#releaseTimer !== null) return;
    this.#releaseTimer = this.#deps.clock.schedule(ROOM_POLL_MS, () => this.release());
  }

  #refusal(protocol: BackendView['protocol'], reason: RejectReason): Uint8Array {
    const { name, clock } = this.#deps;
    const config = this.#config;
    return refusal(protocol, reason, {
      frontend: name,
      backend: config.backend,
      route: config.route,
      maxConnections: config.maxConnections,
      holdMax: config.holdMax,
      vacantMs: this.#vacantSince === null ? null : clock.now() - this.#vacantSince,
    });
  }

  #closed(connection: Connection): void {
    const tally = this.#tally;
    tally.connections -= 1;
    if (!this.#refused.has(connection)) tally.admitted -= 1;
    if (connection.counted) this.#counting?.leave(connection.client.host);
    this.#hold.leave(connection);
    this.#countHeld();
  }

  #countHeld(): void {
    this.#tally.held = this.#hold.size;
  }

  #gone(connection: Connection): void {
    this.#connections.delete(connection);
    this.#refused.delete(connection);
    if (this.#connections.size > 0) return;
    for (const resolve of this.#emptied.splice(0)) resolve();
  }

  /** One timer for all sessions, and not one per session or packet. */
  #scheduleSweep(): void {
    const { clock } = this.#deps;
    const { idleTimeoutMs, maxSessionAgeMs } = this.#config;
    const looks = [idleTimeoutMs / 4, maxSessionAgeMs / AGE_LOOKS].filter(everyMs => everyMs > 0);
    const intervalMs = Math.min(SWEEP_MAX_MS, ...looks);
    this.#sweepTimer?.cancel();
    this.#sweepTimer = clock.schedule(intervalMs, () => {
      const now = clock.now();
      for (const connection of this.#connections.members()) connection.sweep(now);
      this.#scheduleSweep();
    });
  }
}
