// One client connection: turns what its sockets do into session events and carries out the session's actions.
// Every decision is session.ts's, every system call the driver's; what is shared with other clients is the host's.
// Made by frontend.ts for each accepted client. There may be thousands idle: what it holds is kept small.

import { type Address } from '../core/address.ts';
import { type MonotonicMs, type Timer } from '../core/clock.ts';
import { invariant } from '../core/errors.ts';
import { Ageing } from './ageing.ts';
import { headerFor } from './announcing.ts';
import { Attempt, type AttemptOwner } from './attempt.ts';
import { CANCEL_TIMEOUT_MS, HALF_CLOSED_MAX_MS } from './bounds.ts';
import { deliverWhenKnown } from './cancel-delivery.ts';
import { closeSockets } from './closing.ts';
import { type ConnectionHost } from './connection-host.ts';
import { type Side, type SocketOwner, type TcpSocket } from './driver.ts';
import { closeReasons, type CloseReason, type ConnectError, type RejectReason } from './events.ts';
import { checkJoin, joinSockets, joinTap, type ArrivalWatcher } from './joining.ts';
import { protocolTraits } from './protocols.ts';
import { type JoinedSession, type SessionNumbers } from './registry.ts';
import { NOWHERE } from './roster.ts';
import {
  type CloseMode,
  type Outcome,
  type SessionAction,
  type SessionEvent,
  type SessionState,
} from './session-model.ts';
import { newSession, step } from './session.ts';

type Host = ConnectionHost<Connection>;

/** No events wait, but one is being handled. */
const none: readonly SessionEvent[] = [];

export class Connection implements SocketOwner, AttemptOwner, ArrivalWatcher, JoinedSession {
  /** Who has connected, until a proxy that is trusted says for whom. */
  client: Address;
  /** Its place among its frontend's connections; and among those that dial, later among the sessions of its server. */
  seat = NOWHERE;
  place = NOWHERE;
  number = 0;
  /** Its address counts it (limits/client-limits.ts). */
  counted = false;
  readonly #socket: TcpSocket;
  #host: Host;
  readonly #acceptedAt: MonotonicMs;
  #state: SessionState = newSession;
  /** Events that came while another was handled; null while none is. */
  #queue: readonly SessionEvent[] | null = null;
  #deadline: Timer | null = null;
  #attempt: Attempt | null = null;
  #server: TcpSocket | null = null;
  #serverName = '';
  #forgetKey: (() => void) | null = null;
  #abortCancel: (() => void) | null = null;
  #waitedMs = 0;
  #connectMs = 0;
  /** Sockets and deliveries that are still ours to end. */
  #open = 1;
  #progress = 0;
  /** Of the client's bytes, those that the traffic counts already: one that is joined again brings the same once more. */
  #countedUp = 0;
  #ageing: Ageing | null = null;
  #keptAlive = false;
  #activeAt: MonotonicMs;

  constructor(socket: TcpSocket, client: Address, host: Host) {
    this.client = client;
    this.#socket = socket;
    this.#host = host;
    this.#acceptedAt = host.clock.now();
    this.#activeAt = this.#acceptedAt;
  }

  /** Starts reading. `refuse`: it is over a limit and only waits for its answer. `announces`: it is a proxy, and says for whom it comes. */
  start(refuse: RejectReason | null, announces: boolean): void {
    this.#socket.attach(this, 'client');
    this.handle({ kind: 'accepted', at: this.#acceptedAt, refuse, announces });
  }

  /**
   * The terms of its frontend have changed. A session goes on by the new ones while its backend is still the frontend's,
   * else by those it began with; whoever has no server yet is served by the new ones.
   */
  rehost(host: Host): void {
    const before = this.#host;
    if (this.#state.kind === 'closed') return;
    if (this.#state.kind === 'relaying') {
      if (host.backend !== before.backend) return;
      if (host.rules.route === before.rules.route) this.#host = host;
      else {
        // The registry knows by the route who must be with the primary.
        before.registry.remove(this);
        this.#host = host;
        host.registry.add(this);
      }
      return;
    }
    const at = host.clock.now();
    if (host.rules.protocol !== before.rules.protocol) {
      return this.handle({ kind: 'shutdown', at, reason: 'frontend-removed' });
    }
    this.#host = host;
    if (this.#attempt !== null) this.handle({ kind: 'snapshot-changed', at, view: host.view() });
  }

  get stateKind(): SessionState['kind'] {
    return this.#state.kind;
  }

  /** As a joined session: whom it is joined to. */
  get server(): string {
    return this.#serverName;
  }

  get frontend(): string {
    return this.#host.frontend;
  }

  get backend(): string {
    return this.#host.backend;
  }

  get route(): JoinedSession['route'] {
    return this.#host.rules.route;
  }

  localAddress(): Address | null {
    return this.#server?.localAddress() ?? null;
  }

  numbers(now: MonotonicMs): SessionNumbers {
    this.#notice(now);
    return {
      peer: this.#socket.peerAddress(),
      ageMs: now - this.#acceptedAt,
      idleMs: now - this.#activeAt,
      bytesUp: this.#socket.bytesRead,
      bytesDown: this.#server?.bytesRead ?? 0,
    };
  }

  awaitsAnswer(): boolean {
    return this.#server?.awaitsAnswer() ?? false;
  }

  listen(listens: boolean): void {
    if (this.#state.kind !== 'relaying') return;
    if (listens) this.#socket.resume();
    else this.#socket.pause();
  }

  socketData(_side: Side, bytes: Uint8Array): void {
    this.handle({ kind: 'received', at: this.#host.clock.now(), bytes });
  }

  socketEnded(side: Side): void {
    if (side === 'client') this.#tell('client-ended');
    else this.#tellOfServer('server-ended');
  }

  socketFailed(side: Side): void {
    if (side === 'client') this.#tell('client-reset');
    else this.#tellOfServer('server-reset');
  }

  socketClosed(): void {
    this.#open -= 1;
    if (this.#open === 0) this.#host.gone(this);
  }

  /** Events of one connection are handled one after the other, also those that its own actions bring about. */
  handle(event: SessionEvent): void {
    if (this.#queue !== null) {
      this.#queue = this.#queue.length === 0 ? [event] : [...this.#queue, event];
      return;
    }
    this.#queue = none;
    try {
      this.#take(event);
      while (this.#queue.length > 0) {
        const events = this.#queue;
        this.#queue = none;
        for (const next of events) this.#take(next);
      }
    } finally {
      this.#queue = null;
    }
  }

  #take(event: SessionEvent): void {
    const { state, actions } = step(this.#state, event, this.#host.rules);
    this.#state = state;
    for (const action of actions) this.#perform(action, event.at);
  }

  evict(reason: CloseReason): boolean {
    const at = this.#host.clock.now();
    const fromServer = this.#server?.bytesRead ?? 0;
    this.handle({ kind: 'evicted', at, reason, fromClient: this.#socket.bytesRead, fromServer });
    return this.#server !== null;
  }

  /** Ends everything now, whatever the state, and still reports what became of it. */
  destroy(): void {
    if (this.#state.kind === 'relaying') this.evict('shutdown');
    else if (this.#state.kind !== 'closed')
      this.handle({ kind: 'shutdown', at: this.#host.clock.now(), reason: 'shutdown' });
    if (this.#state.kind === 'refusing' || this.#state.kind === 'cancelling') this.#tell('deadline');
    this.#server?.destroy();
    this.#socket.destroy();
  }

  /**
   * Compares the byte counters with those of the last sweep; ends a session that has been silent for too long. The first
   * sweep also has the server's socket look after its peer; the client's inherits that from the listener.
   */
  sweep(now: MonotonicMs): void {
    const server = this.#server;
    if (this.#state.kind !== 'relaying' || server === null) return;
    if (!this.#keptAlive) server.keepAlive(this.#host.tcp);
    this.#keptAlive = true;
    if (this.#isTooOld(now, server)) {
      this.evict('max-age');
      return;
    }
    if (this.#notice(now)) return;
    const silentMs = now - this.#activeAt;
    const { idleTimeoutMs } = this.#host;
    if (idleTimeoutMs > 0 && silentMs >= idleTimeoutMs) this.evict('idle');
    else if (this.#state.ended === 'server' && silentMs >= HALF_CLOSED_MAX_MS) this.evict('server');
  }

  /** Whether bytes have passed since the last look. */
  #notice(now: MonotonicMs): boolean {
    const client = this.#socket;
    const server = this.#server;
    if (server === null) return false;
    const progress = client.bytesRead + server.bytesRead + client.bytesSent + server.bytesSent;
    if (progress === this.#progress) return false;
    this.#progress = progress;
    this.#activeAt = now;
    return true;
  }

  #isTooOld(now: MonotonicMs, server: TcpSocket): boolean {
    const { maxSessionAgeMs, random } = this.#host;
    if (maxSessionAgeMs === 0) return false;
    if (this.#ageing?.maxMs !== maxSessionAgeMs) {
      this.#ageing = new Ageing(maxSessionAgeMs, this.#acceptedAt, random());
    }
    return this.#ageing.isOver(now, this.#socket.bytesRead, server.bytesRead, server.awaitsAnswer());
  }

  #tell(kind: 'client-ended' | 'client-reset' | 'answered' | 'deadline'): void {
    this.handle({ kind, at: this.#host.clock.now() });
  }

  #tellOfServer(kind: 'server-ended' | 'server-reset'): void {
    const at = this.#host.clock.now();
    const fromServer = this.#server?.bytesRead ?? 0;
    this.handle({ kind, at, fromClient: this.#socket.bytesRead, fromServer });
  }

  /** `at`: of the event that asks for it. The clock isn't read at every step: there are a dozen per client. */
  #perform(action: SessionAction, at: MonotonicMs): void {
    const host = this.#host;
    switch (action.kind) {
      case 'admit':
        if (action.client !== null) this.client = action.client;
        this.handle({ kind: 'admitted', at, admission: host.admit(this) });
        return;
      case 'route': {
        const decision = host.decide(this.client, action.waited, at);
        this.handle({ kind: 'routed', at, decision, epoch: host.view().epoch });
        return;
      }
      case 'hold':
        if (!host.hold(this, action.again, action.pause))
          this.handle({ kind: 'hold-full', at: host.clock.now() });
        return;
      case 'unhold':
        this.#waitedMs += action.waitedMs;
        host.unhold(this, action.outcome, action.waitedMs);
        return;
      case 'dial':
        this.#dial(action, at);
        return;
      case 'abort-dial':
        this.#abortDial();
        return;
      case 'answer':
        this.#socket.write(action.bytes);
        return;
      case 'stop-reading':
        this.#socket.pause();
        return;
      case 'encrypt':
        this.#encrypt(action.heard, action.direct);
        return;
      case 'relay':
        this.#relay(action);
        return;
      case 'unjoin':
        this.#unjoin(action.reason, at);
        return;
      case 'half-close':
        if (action.side === 'client') this.#socket.end();
        else this.#server?.end();
        return;
      case 'cancel':
        this.#cancel(action.pid, action.key, action.bytes);
        return;
      case 'deadline':
        this.#setDeadline(action.at);
        return;
      case 'close':
        this.#close(action.mode, action.outcome, at);
    }
  }

  #encrypt(heard: Uint8Array, direct: boolean): void {
    const { driver, frontend, clock } = this.#host;
    invariant(driver.tls !== undefined, 'a frontend with TLS is served by a driver that speaks it');
    driver.tls.encrypt(
      { socket: this.#socket, frontend, heard, direct },
      {
        encrypted: trusted => this.handle({ kind: 'encrypted', at: clock.now(), trusted }),
        failed: () => this.handle({ kind: 'encrypt-failed', at: clock.now() }),
      },
    );
  }

  #setDeadline(at: MonotonicMs | null): void {
    this.#deadline?.cancel();
    const { clock } = this.#host;
    this.#deadline =
      at === null ? null : clock.schedule(Math.max(0, at - clock.now()), () => this.#tell('deadline'));
  }

  #dial(dial: Extract<SessionAction, { kind: 'dial' }>, startedAt: MonotonicMs): void {
    invariant(this.#attempt === null, 'one dial at a time');
    const { registry, frontend, backend } = this.#host;
    const { name } = dial.target;
    registry.dialStarted(frontend, backend, name);
    if (!this.#host.fits(name)) {
      registry.dialEnded(frontend, backend, name);
      this.handle({ kind: 'server-full', at: startedAt, dial: dial.dial });
      return;
    }
    this.#host.dialing(this, true);
    const header = headerFor(this.#host.view(), this.client, this.#socket, dial.announced);
    this.#attempt = new Attempt(this.#host, this, dial, header, startedAt);
  }

  dialConnected(dial: number, connectMs: number, at: MonotonicMs): void {
    this.#connectMs = connectMs;
    this.handle({ kind: 'connected', at, dial, view: this.#host.view() });
  }

  dialFailed(dial: number, error: ConnectError, at: MonotonicMs): void {
    this.#attempt = null;
    this.#host.dialing(this, false);
    this.handle({ kind: 'connect-failed', at, dial, error });
  }

  #abortDial(): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    this.#attempt = null;
    this.#host.dialing(this, false);
    attempt.abort();
  }

  #relay(join: Extract<SessionAction, { kind: 'relay' }>): void {
    const { rules, registry, tally } = this.#host;
    checkJoin(this.#host, join);
    this.#host.dialing(this, false);
    this.#serverName = join.target.name;
    // A session before it is no dial any more: else another worker, which looks in between, would find a free place.
    registry.add(this);
    const server = this.#attempt?.end() ?? null;
    invariant(server !== null, 'only a connected server is joined to a client');
    this.#attempt = null;
    this.#server = server;
    this.#activeAt = join.at;
    this.#open += 1;
    tally.sessions += 1;
    tally.bytesUp += this.#socket.bytesRead - this.#countedUp;
    this.#countedUp = this.#socket.bytesRead;
    const traits = protocolTraits[rules.protocol];
    const tap = joinTap(traits, join.opening, this.#waitedMs > 0, this);
    server.attach(this, 'server');
    joinSockets(this.#host, join, { client: this.#socket, server, first: join.first, tap, traffic: tally });
    if (traits.arrival === 'nothing') this.loggedIn();
  }

  answered(): void {
    this.#tell('answered');
  }

  loggedIn(): void {
    this.#host.loggedIn(this);
  }

  cancelKeySeen(key: string): void {
    this.#forgetKey = this.#host.registry.learnKey(this, key);
    this.loggedIn();
  }

  #unjoin(reason: CloseReason, at: MonotonicMs): void {
    const { backend, registry, tally, suspects, observer } = this.#host;
    const server = this.#server;
    invariant(server !== null, 'only a joined client is parted from its server');
    registry.remove(this);
    tally.sessions -= 1;
    this.#server = null;
    this.#keptAlive = false;
    server.part();
    this.#socket.part();
    server.reset();
    suspects.of(backend, this.#serverName).failed(at);
    observer.connectFailed(
      backend,
      this.#serverName,
      'unanswered',
      `before an answer: ${closeReasons[reason]}`,
    );
    this.#host = this.#host.newest();
  }

  #cancel(pid: number, key: Uint8Array, bytes: Uint8Array): void {
    const { clock, driver, backend, secure: how } = this.#host;
    const found = this.#host.cancelTargets(pid, key);
    const secure = how === null ? null : { backend, how };
    this.#open += 1;
    const header = headerFor(this.#host.view(), this.client, this.#socket, null);
    const delivery = { bytes, header, timeoutMs: CANCEL_TIMEOUT_MS, driver, secure };
    this.#abortCancel = deliverWhenKnown(found, delivery, () =>
      this.handle({ kind: 'cancel-done', at: clock.now() }),
    );
  }

  #close(mode: CloseMode, outcome: Outcome, at: MonotonicMs): void {
    this.#forgetKey?.();
    if (this.#server !== null) {
      this.#host.registry.remove(this);
      this.#host.tally.sessions -= 1;
    }
    this.#report(outcome, at);
    this.#host.closed(this);
    // Last, since a socket may say at once that it is gone, and so may the connection be.
    closeSockets(this.#socket, this.#server, mode, outcome, this.#host);
    if (this.#abortCancel !== null) {
      this.#abortCancel();
      this.socketClosed();
    }
  }

  #report(outcome: Outcome, at: MonotonicMs): void {
    const { frontend, backend, observer } = this.#host;
    if (outcome.kind === 'rejected') observer.rejected(frontend, outcome.reason, this.client);
    if (outcome.kind !== 'session' || this.#server === null) return;
    observer.sessionEnded({
      frontend,
      backend,
      server: this.#serverName,
      client: this.client,
      reason: outcome.reason,
      bytesUp: this.#socket.bytesRead,
      bytesDown: this.#server.bytesRead,
      totalMs: at - this.#acceptedAt,
      // The wait ends when client and server are joined; the connecting in it has its own number.
      heldMs: Math.max(0, this.#waitedMs - this.#connectMs),
      connectMs: this.#connectMs,
    });
  }
}
