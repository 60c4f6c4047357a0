// One connection attempt on behalf of a client: on the books of suspects and breakers (and of the registry, by its maker) for as long as it is under way,
// and told of to the observer. What follows from how it ends is the session's to decide. Made by connection.ts; gone
// from memory once client and server are joined.

import { type MonotonicMs } from '../core/clock.ts';
import { type ConnectionHost } from './connection-host.ts';
import { type DialEvents, type TcpSocket } from './driver.ts';
import { type ConnectError } from './events.ts';
import { type SessionAction } from './session-model.ts';
import { type Breaker } from './limits/breakers.ts';
import { type Suspect } from './suspects.ts';

type AttemptHost = Pick<
  ConnectionHost<never>,
  | 'frontend'
  | 'backend'
  | 'driver'
  | 'secure'
  | 'clock'
  | 'registry'
  | 'observer'
  | 'suspects'
  | 'breakers'
  | 'view'
>;

type Dial = Extract<SessionAction, { kind: 'dial' }>;

/** Told once how the attempt ended, unless it was ended or aborted before. */
export interface AttemptOwner {
  dialConnected(dial: number, connectMs: number, at: MonotonicMs): void;
  /** The attempt is off the books. */
  dialFailed(dial: number, error: ConnectError, at: MonotonicMs): void;
}

export class Attempt implements DialEvents {
  readonly #host: AttemptHost;
  readonly #owner: AttemptOwner;
  readonly #number: number;
  readonly #server: string;
  readonly #startedAt: MonotonicMs;
  readonly #suspect: Suspect;
  readonly #breaker: Breaker | null;
  readonly #abort: () => void;
  /** Set when it is connected and not yet joined to the client. */
  #socket: TcpSocket | null = null;

  /** `header`: goes to the server before all else. */
  constructor(
    host: AttemptHost,
    owner: AttemptOwner,
    { dial, target, timeoutMs }: Pick<Dial, 'dial' | 'target' | 'timeoutMs'>,
    header: Uint8Array | null,
    startedAt: MonotonicMs,
  ) {
    const { backend, driver, secure, suspects, breakers } = host;
    const { name, address, host: named = null } = target;
    this.#host = host;
    this.#owner = owner;
    this.#number = dial;
    this.#server = name;
    this.#startedAt = startedAt;
    this.#suspect = suspects.of(backend, name);
    this.#breaker = breakers.of(host.view(), name);
    this.#suspect.dialed(this, startedAt);
    this.#breaker?.dialed(this);
    const plain = { address, timeoutMs, ...(header !== null && { header }) };
    const request = secure === null ? plain : { ...plain, secure: { backend, host: named, how: secure } };
    this.#abort = driver.dial(request, this);
  }

  connected(socket: TcpSocket): void {
    this.#socket = socket;
    const { clock, observer, backend } = this.#host;
    const at = clock.now();
    const connectMs = at - this.#startedAt;
    observer.connected(backend, this.#server, connectMs);
    if (this.#breaker?.connected() === true) observer.circuit(backend, this.#server, false);
    this.#owner.dialConnected(this.#number, connectMs, at);
  }

  failed(error: ConnectError, detail: string): void {
    this.end();
    const { clock, observer, backend } = this.#host;
    const at = clock.now();
    // A lack of descriptors or ports is ours, and says nothing of the server.
    if (error !== 'local') this.#suspect.failed(at);
    observer.connectFailed(backend, this.#server, error, detail);
    if (error !== 'local') this.#tellBreaker(at);
    this.#owner.dialFailed(this.#number, error, at);
  }

  #tellBreaker(at: MonotonicMs): void {
    const { frontend, backend, observer } = this.#host;
    const policy = this.#host.view().circuitBreaker;
    if (policy === null || this.#breaker?.failed(frontend, policy, at) !== true) return;
    observer.circuit(backend, this.#server, true);
  }

  /** Takes the attempt off the books; its socket, if there is one, goes to whom it is returned. */
  end(): TcpSocket | null {
    const { frontend, backend, registry } = this.#host;
    registry.dialEnded(frontend, backend, this.#server);
    this.#suspect.ended(this);
    this.#breaker?.ended(this);
    return this.#socket;
  }

  /** Ends it, whatever has become of it: it says nothing more. */
  abort(): void {
    this.end();
    this.#abort();
    this.#socket?.destroy();
  }
}
