// One connection to an HTTP server, with TLS from its first byte or without: asked again and again, ended politely.
// Not a client library (one question at a time, no retries) and without a timeout of its own. Owned by the link beside it.

import { connect, isIP, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Address } from '../../../core/address.ts';
import { type WholeTlsConfig } from '../../../config/schema.ts';
import { type Clock, type MonotonicMs } from '../../../core/clock.ts';
import { describeError } from '../../../core/errors.ts';
import { ResponseReader, type HttpResponse, type Reading } from '../../../protocol/http/response.ts';
import { connectFailure, connectTimeout, failure, type ConnectPhase, type Failure } from '../failures.ts';
import { isSelfConnected, selfConnection } from '../self-connection.ts';
import { tlsOptions } from '../tls.ts';

const KEEPALIVE_AFTER_MS = 5000;
/** How long an ended connection may take to close; a frozen server never answers. */
const GOODBYE_MAX_MS = 1000;

/** How far a connection has come; what a silence or an error means depends on it. `answering`: a part of the answer came. */
export type Phase = ConnectPhase | 'handshaking' | 'idle' | 'asking' | 'answering' | 'ended';

export interface ConnectionOptions {
  readonly address: Address;
  /** A PROXY header, sent before all else; `null` or left out: none. */
  readonly header?: Uint8Array | null;
  readonly tls: WholeTlsConfig;
  readonly clock: Clock;
}

export type Asked =
  | { readonly kind: 'response'; readonly response: HttpResponse }
  /** `silent`: not a byte of an answer came. */
  | { readonly kind: 'failed'; readonly failure: Failure; readonly silent: boolean };

export class HttpConnection {
  readonly #options: ConnectionOptions;
  readonly #onLoss: (reason: Failure) => void;
  readonly #socket: Socket;
  #openedAt: MonotonicMs | null = null;
  #phase: Phase;
  #question: Uint8Array | null = null;
  #settle: ((asked: Asked) => void) | null = null;
  #reader = new ResponseReader();
  #answers = 0;

  /** Starts to connect at once. `onLoss`: it failed, or the server ended it, while nothing was asked. */
  constructor(options: ConnectionOptions, onLoss: (reason: Failure) => void) {
    this.#options = options;
    this.#onLoss = onLoss;
    this.#phase = isIP(options.address.host) === 0 ? 'resolving' : 'connecting';
    this.#socket = this.#connect();
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** How many questions were answered over it. */
  get answers(): number {
    return this.#answers;
  }

  /** Milliseconds since it could be asked; `null` when it never could. */
  get openForMs(): number | null {
    return this.#openedAt === null ? null : this.#options.clock.now() - this.#openedAt;
  }

  /** Sends the question as soon as the connection is there. One at a time, and not on one that has ended. */
  ask(question: Uint8Array): Promise<Asked> {
    return new Promise(resolve => {
      if (this.#phase === 'ended') {
        resolve({ kind: 'failed', failure: failure('L4LOST', 'the connection has ended'), silent: true });
        return;
      }
      this.#settle = resolve;
      this.#question = question;
      this.#send();
    });
  }

  /** Ends it for good; what is under way fails with `reason`. Harmless when it has ended. */
  end(reason: Failure): void {
    if (this.#phase === 'ended') return;
    const { phase } = this;
    this.#phase = 'ended';
    if (phase === 'idle') this.#sayGoodbye();
    else this.#socket.destroy();
    this.#finish({ kind: 'failed', failure: reason, silent: phase !== 'answering' });
  }

  #connect(): Socket {
    const { address, header = null, tls, clock } = this.#options;
    const target = { host: address.host, port: address.port };
    if (tls.mode === 'disable') return this.#listen(connect(target), 'connect');
    try {
      const options = tlsOptions(address, tls);
      if (header === null) return this.#listen(connectTls({ ...options, ...target }), 'secureConnect');
      // Before the handshake, so on a socket of its own; what becomes of that is told as of the secure one.
      const raw = connect(target);
      raw.once('connect', () => raw.write(header));
      return this.#listen(connectTls({ ...options, socket: raw }), 'secureConnect', raw);
    } catch (thrown) {
      const reason = failure('L6RSP', `tls.ca_file: ${describeError(thrown).message}`);
      clock.afterInput(() => this.#fail(reason));
      return new Socket();
    }
  }

  /** `raw`: the one below, that connects. */
  #listen(socket: Socket, opened: 'connect' | 'secureConnect', raw = socket): Socket {
    const { header = null } = this.#options;
    raw.setNoDelay(true);
    raw.setKeepAlive(true, KEEPALIVE_AFTER_MS);
    raw.on('lookup', error => {
      if (!error && this.#phase === 'resolving') this.#phase = 'connecting';
    });
    raw.on('connect', () => {
      if (this.#phase === 'ended') return;
      if (isSelfConnected(raw)) this.#fail(selfConnection);
      else if (opened === 'secureConnect') this.#phase = 'handshaking';
      else if (header !== null) raw.write(header);
    });
    socket.on(opened, () => {
      if (this.#phase === 'ended') return;
      this.#phase = 'idle';
      this.#openedAt = this.#options.clock.now();
      this.#send();
    });
    socket.on('data', chunk => this.#receive(chunk));
    socket.on('error', thrown => this.#fail(this.#failureOf(thrown)));
    socket.on('end', () => this.#ended());
    socket.on('close', () => this.#fail(this.#closed()));
    return socket;
  }

  #send(): void {
    if (this.#phase !== 'idle' || this.#question === null) return;
    this.#phase = 'asking';
    this.#reader = new ResponseReader();
    this.#socket.write(this.#question);
    this.#question = null;
  }

  #receive(chunk: Buffer): void {
    if (this.#phase === 'ended') return;
    // Some servers say 408 before they close an idle connection; nothing that is said unasked is an answer.
    if (this.#phase !== 'asking' && this.#phase !== 'answering') {
      return this.#fail(failure('L4LOST', 'the server spoke unasked'));
    }
    this.#phase = 'answering';
    this.#read(this.#reader.push(chunk));
  }

  #ended(): void {
    if (this.#phase === 'answering') this.#read(this.#reader.end());
    this.#fail(this.#closed());
  }

  #read(reading: Reading): void {
    if (reading.kind === 'need') return;
    if (reading.kind === 'bad') return this.#fail(failure('L7RSP', `not an answer: ${reading.detail}`));
    this.#answers += 1;
    this.#phase = 'idle';
    if (!reading.response.keepAlive) {
      this.#phase = 'ended';
      this.#sayGoodbye();
    }
    this.#finish({ kind: 'response', response: reading.response });
  }

  /** FIN, and what still comes is read: a reset amid it would be an error in the server's log (Patroni writes a traceback). */
  #sayGoodbye(): void {
    const socket = this.#socket;
    const limit = this.#options.clock.schedule(GOODBYE_MAX_MS, () => socket.destroy());
    socket.once('close', () => limit.cancel());
    socket.end();
  }

  #finish(asked: Asked): void {
    const settle = this.#settle;
    this.#settle = null;
    settle?.(asked);
  }

  #fail(reason: Failure): void {
    if (this.#phase === 'ended') return;
    const silent = this.#phase !== 'answering';
    this.#phase = 'ended';
    this.#socket.destroy();
    if (this.#settle === null) this.#onLoss(reason);
    else this.#finish({ kind: 'failed', failure: reason, silent });
  }

  #closed(): Failure {
    return failure('L4LOST', `the server closed the connection (${this.#phase})`);
  }

  #failureOf(thrown: Error): Failure {
    const { code, message } = describeError(thrown);
    // A reset follows the handshake, and whether it is seen before or after we know of that is a matter of microseconds.
    const made = code === 'ECONNRESET' || (this.#phase !== 'resolving' && this.#phase !== 'connecting');
    if (!made) return connectFailure(thrown);
    const lost = [
      'ECONNRESET',
      'EPIPE',
      'ETIMEDOUT',
      'EHOSTUNREACH',
      'ENETUNREACH',
      'ENETDOWN',
      'ECONNABORTED',
    ];
    const secure = this.#options.tls.mode !== 'disable';
    return secure && !lost.includes(code)
      ? failure('L6RSP', `TLS: ${message}`)
      : failure('L4LOST', `${message} (${this.#phase})`);
  }
}

/** What a probe whose time is up says of the connection it waited for. */
export function timeoutFailure(phase: Phase, timeoutMs: number): Failure {
  switch (phase) {
    case 'resolving':
    case 'connecting':
      return connectTimeout(phase, timeoutMs);
    case 'handshaking':
      return failure('L6TOUT', `no end of the TLS handshake within ${timeoutMs} ms`);
    case 'answering':
      return failure('L7TOUT', `no end of the answer within ${timeoutMs} ms`);
    default:
      return failure('L7TOUT', `no answer within ${timeoutMs} ms`);
  }
}
