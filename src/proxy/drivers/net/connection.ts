// One client connection on node:net sockets: turns what they do into session events and carries out the actions.
// Every decision is session.ts's; what is shared with other clients (hold, routing, counts) is the host's.

import { type Socket } from 'node:net';
import { type Address } from '../../../core/address.ts';
import { type Clock, type MonotonicMs, type Timer } from '../../../core/clock.ts';
import { invariant } from '../../../core/errors.ts';
import { observeBackendKey, startBackendKey } from '../../../protocol/postgres/backend-key.ts';
import { type BackendView } from '../../../topology/model.ts';
import { CANCEL_TIMEOUT_MS, HALF_CLOSED_MAX_MS, LINGER_MS } from '../../bounds.ts';
import { type CloseReason, type HoldOutcome, type ProxyObserver, type RejectReason } from '../../events.ts';
import { cancelKey, type JoinedSession, type SessionRegistry } from '../../registry.ts';
import { mayServe, type RouteDecision } from '../../router.ts';
import {
  type CloseMode,
  type Outcome,
  type SessionAction,
  type SessionEvent,
  type SessionRules,
  type SessionState,
  type Target,
} from '../../session-model.ts';
import { newSession, step } from '../../session.ts';
import { deliverCancel } from './cancel.ts';
import { endWithin, resetNow } from './closing.ts';
import { dial } from './dialer.ts';
import { splice, type Splice, type Tap } from './splice.ts';

/** What a connection needs of its frontend. */
export interface ConnectionHost {
  readonly frontend: string;
  readonly backend: string;
  readonly rules: SessionRules;
  readonly idleTimeoutMs: number;
  readonly clock: Clock;
  readonly registry: SessionRegistry;
  readonly observer: ProxyObserver;
  view(): BackendView;
  decide(client: Address, waited: boolean): RouteDecision;
  /** False when there is no room. */
  hold(connection: NetConnection, again: boolean, pause: boolean): boolean;
  unhold(connection: NetConnection, outcome: HoldOutcome, waitedMs: number): void;
  /** A dial begins (true) or is over. */
  dialing(connection: NetConnection, active: boolean): void;
  /** The server has let the client in, as far as that can be seen (not under TLS). */
  loggedIn(connection: NetConnection): void;
  refusal(reason: RejectReason): Uint8Array;
  cancelTargets(pid: number, key: Uint8Array): readonly Target[];
  /** The connection has done its work; its sockets may linger a while. */
  closed(connection: NetConnection): void;
  /** Its last socket is gone. */
  gone(connection: NetConnection): void;
}

interface Attempt {
  readonly server: string;
  readonly abort: () => void;
  /** Set when it is connected and not yet joined to the client. */
  socket: Socket | null;
}

export class NetConnection {
  readonly client: Address;
  readonly #socket: Socket;
  readonly #host: ConnectionHost;
  readonly #acceptedAt: MonotonicMs;
  #state: SessionState = newSession;
  readonly #events: SessionEvent[] = [];
  #running = false;
  #deadline: Timer | null = null;
  #attempt: Attempt | null = null;
  #joined: { session: JoinedSession; server: Socket; splice: Splice } | null = null;
  #forgetKey: (() => void) | null = null;
  #abortCancel: (() => void) | null = null;
  #waitedMs = 0;
  #connectMs = 0;
  /** Sockets and deliveries that are still ours to end. */
  #open = 1;
  #progress = 0;
  #activeAt: MonotonicMs;

  constructor(socket: Socket, client: Address, host: ConnectionHost) {
    this.client = client;
    this.#socket = socket;
    this.#host = host;
    this.#acceptedAt = host.clock.now();
    this.#activeAt = this.#acceptedAt;
  }

  /** Starts reading. `refuse`: it is over a limit and only waits for its answer. */
  start(refuse: RejectReason | null): void {
    const socket = this.#socket;
    socket.on('data', this.#onFirstBytes);
    socket.on('end', () => this.#tell('client-ended'));
    socket.on('error', () => this.#tell('client-reset'));
    socket.once('close', () => this.#ended());
    this.handle({ kind: 'accepted', at: this.#acceptedAt, refuse });
  }

  get stateKind(): SessionState['kind'] {
    return this.#state.kind;
  }

  /** Bytes of the session, client to server and back; zeros before there is one. */
  get bytes(): { readonly up: number; readonly down: number } {
    if (this.#joined === null) return { up: 0, down: 0 };
    return { up: this.#socket.bytesRead, down: this.#joined.server.bytesRead };
  }

  /** Events of one connection are handled one after the other, also those that its own actions bring about. */
  handle(event: SessionEvent): void {
    this.#events.push(event);
    if (this.#running) return;
    this.#running = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        const { state, actions } = step(this.#state, next, this.#host.rules);
        this.#state = state;
        for (const action of actions) this.#perform(action);
      }
    } finally {
      this.#running = false;
    }
  }

  /** Ends everything now, whatever the state, and still reports what became of it. */
  destroy(): void {
    if (this.#state.kind === 'relaying') this.#evict('shutdown');
    else if (this.#state.kind !== 'closed') this.#tell('shutdown');
    if (this.#state.kind === 'refusing' || this.#state.kind === 'cancelling') this.#tell('deadline');
    this.#joined?.server.destroy();
    this.#socket.destroy();
  }

  /** Compares the byte counters with those of the last sweep; ends a session that has been silent for too long. */
  sweep(now: MonotonicMs): void {
    if (this.#state.kind !== 'relaying' || this.#joined === null) return;
    const { server } = this.#joined;
    const progress = this.#socket.bytesRead + server.bytesRead + delivered(this.#socket) + delivered(server);
    if (progress !== this.#progress) {
      this.#progress = progress;
      this.#activeAt = now;
      return;
    }
    const silentMs = now - this.#activeAt;
    const { idleTimeoutMs } = this.#host;
    if (idleTimeoutMs > 0 && silentMs >= idleTimeoutMs) this.#evict('idle');
    else if (this.#state.ended === 'server' && silentMs >= HALF_CLOSED_MAX_MS) this.#evict('server');
  }

  readonly #onFirstBytes = (bytes: Uint8Array): void => {
    this.handle({ kind: 'received', at: this.#host.clock.now(), bytes });
  };

  #tell(
    kind: 'client-ended' | 'client-reset' | 'server-ended' | 'server-reset' | 'deadline' | 'shutdown',
  ): void {
    this.handle({ kind, at: this.#host.clock.now() });
  }

  #evict(reason: CloseReason): void {
    this.handle({ kind: 'evicted', at: this.#host.clock.now(), reason });
  }

  #perform(action: SessionAction): void {
    const host = this.#host;
    switch (action.kind) {
      case 'route': {
        const decision = host.decide(this.client, action.waited);
        this.handle({ kind: 'routed', at: host.clock.now(), decision, epoch: host.view().epoch });
        return;
      }
      case 'hold':
        if (!host.hold(this, action.again, action.pause))
          this.handle({ kind: 'hold-full', at: host.clock.now() });
        return;
      case 'unhold':
        this.#waitedMs = action.waitedMs;
        host.unhold(this, action.outcome, action.waitedMs);
        return;
      case 'dial':
        this.#dial(action.dial, action.target, action.timeoutMs);
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
      case 'relay':
        this.#relay(action);
        return;
      case 'half-close':
        if (action.side === 'client') this.#socket.end();
        else this.#joined?.server.end();
        return;
      case 'cancel':
        this.#cancel(action.pid, action.key, action.bytes);
        return;
      case 'deadline':
        this.#setDeadline(action.at);
        return;
      case 'close':
        this.#close(action.mode, action.outcome);
    }
  }

  #setDeadline(at: MonotonicMs | null): void {
    this.#deadline?.cancel();
    const { clock } = this.#host;
    this.#deadline =
      at === null ? null : clock.schedule(Math.max(0, at - clock.now()), () => this.#tell('deadline'));
  }

  #dial(number: number, { name, address }: Target, timeoutMs: number): void {
    const { clock, observer, registry, backend } = this.#host;
    invariant(this.#attempt === null, 'one dial at a time');
    registry.dialStarted(backend, name);
    this.#host.dialing(this, true);
    const startedAt = clock.now();
    const attempt: Attempt = { server: name, abort: () => abort(), socket: null };
    const abort = dial(
      { address, timeoutMs, clock },
      {
        connected: socket => {
          attempt.socket = socket;
          this.#connectMs = clock.now() - startedAt;
          observer.connected(backend, name, this.#connectMs);
          this.handle({ kind: 'connected', at: clock.now(), dial: number, view: this.#host.view() });
        },
        failed: (error, detail) => {
          this.#endAttempt();
          observer.connectFailed(backend, name, error, detail);
          this.handle({ kind: 'connect-failed', at: clock.now(), dial: number, error });
        },
      },
    );
    this.#attempt = attempt;
  }

  #abortDial(): void {
    const attempt = this.#endAttempt();
    attempt?.abort();
    attempt?.socket?.destroy();
  }

  /** Takes the attempt off the books; its socket, if there is one, goes to whom it is returned. */
  #endAttempt(): Attempt | null {
    const attempt = this.#attempt;
    if (attempt === null) return null;
    this.#attempt = null;
    this.#host.registry.dialEnded(this.#host.backend, attempt.server);
    this.#host.dialing(this, false);
    return attempt;
  }

  #relay({ at, target, first, opening, epoch }: Extract<SessionAction, { kind: 'relay' }>): void {
    const { frontend, backend, rules, registry } = this.#host;
    const server = this.#endAttempt()?.socket ?? null;
    invariant(server !== null, 'only a connected server is joined to a client');
    const view = this.#host.view();
    invariant(
      mayServe(rules, view, at, target.name),
      'a client is joined only to a server that may serve it',
    );
    if (rules.route === 'primary') {
      invariant(
        view.epoch === epoch && view.primary === target.name,
        'the primary is still the one that was dialed',
      );
      invariant(
        registry.primarySessionsElsewhere(backend, target.name) === 0,
        'sessions to the old primary are closed before the first to the new one',
      );
    }
    const evict = (reason: CloseReason): void => this.#evict(reason);
    const session: JoinedSession = { frontend, backend, server: target.name, route: rules.route, evict };
    registry.add(session);
    this.#open += 1;
    server.on('end', () => this.#tell('server-ended'));
    server.on('error', () => this.#tell('server-reset'));
    server.once('close', () => this.#ended());
    this.#socket.off('data', this.#onFirstBytes);
    const tap = opening === null || opening === 'direct-tls' ? null : this.#keyTap(session, opening);
    this.#activeAt = at;
    this.#joined = { session, server, splice: splice(this.#socket, server, first, tap) };
  }

  /** Learns the session's cancel key as it passes by. */
  #keyTap(session: JoinedSession, opening: Parameters<typeof startBackendKey>[0]): Tap {
    let state = startBackendKey(opening);
    return chunk => {
      state = observeBackendKey(state, chunk);
      if (state.kind === 'found') {
        this.#forgetKey = this.#host.registry.learnKey(session, cancelKey(state.pid, state.key));
        this.#host.loggedIn(this);
      }
      return state.kind === 'reading';
    };
  }

  #cancel(pid: number, key: Uint8Array, bytes: Uint8Array): void {
    const { clock } = this.#host;
    const targets = this.#host.cancelTargets(pid, key);
    this.#open += 1;
    this.#abortCancel = deliverCancel({ targets, bytes, timeoutMs: CANCEL_TIMEOUT_MS, clock }, () =>
      this.handle({ kind: 'cancel-done', at: clock.now() }),
    );
  }

  #close(mode: CloseMode, outcome: Outcome): void {
    const { clock } = this.#host;
    this.#abortCancel?.();
    this.#forgetKey?.();
    const joined = this.#joined;
    if (joined !== null) {
      // Both halves have ended: what is left is bytes on their way to a slow reader, and they were promised to it.
      const finished =
        outcome.kind === 'session' && (outcome.reason === 'client' || outcome.reason === 'server');
      if (mode === 'end') endWithin(joined.server, finished ? HALF_CLOSED_MAX_MS : LINGER_MS, clock);
      else resetNow(joined.server);
      joined.splice.stop();
      if (mode === 'reset') resetNow(this.#socket);
      else endWithin(this.#socket, finished ? HALF_CLOSED_MAX_MS : LINGER_MS, clock);
      this.#host.registry.remove(joined.session);
    } else if (mode === 'reset') {
      this.#socket.destroy();
    } else {
      if (mode === 'answer' && outcome.kind === 'rejected')
        this.#socket.write(this.#host.refusal(outcome.reason));
      this.#socket.off('data', this.#onFirstBytes);
      endWithin(this.#socket, LINGER_MS, clock);
    }
    this.#report(outcome);
    this.#host.closed(this);
    if (this.#abortCancel !== null) this.#ended();
  }

  #report(outcome: Outcome): void {
    const { frontend, backend, clock, observer } = this.#host;
    if (outcome.kind === 'rejected') observer.rejected(frontend, outcome.reason, this.client);
    if (outcome.kind !== 'session' || this.#joined === null) return;
    const { server } = this.#joined.session;
    const { up, down } = this.bytes;
    observer.sessionEnded({
      frontend,
      backend,
      server,
      client: this.client,
      reason: outcome.reason,
      bytesUp: up,
      bytesDown: down,
      totalMs: clock.now() - this.#acceptedAt,
      // The wait ends when client and server are joined; the connecting in it has its own number.
      heldMs: Math.max(0, this.#waitedMs - this.#connectMs),
      connectMs: this.#connectMs,
    });
  }

  #ended(): void {
    this.#open -= 1;
    if (this.#open === 0) this.#host.gone(this);
  }
}

/** Bytes that have left this process for the socket's peer. */
function delivered(socket: Socket): number {
  return socket.bytesWritten - socket.writableLength;
}
