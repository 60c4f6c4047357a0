// The connection under a probe session: a socket that becomes whole packets, with TLS from the middle on if asked for.
// Knows no login and no query, and has no timeout: the prober has one for the whole probe. Owned by the session beside it.

import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { type Address } from '../../../core/address.ts';
import { Framer } from '../../../protocol/framer.ts';
import { decodePacket, type Packet } from '../../../protocol/mysql/packets.ts';
import { failure, type Failure, socketFailure } from '../failures.ts';
import { isSelfConnected, selfConnection } from '../self-connection.ts';
import { type Phase } from './failures.ts';

const KEEPALIVE_AFTER_MS = 5000;

export interface WireHandlers {
  /** Asked when something ends, to say what it means. */
  phase(): Phase;
  /** The name is resolved, then the connection made. */
  reached(phase: 'connecting' | 'greeting'): void;
  packet(packet: Packet): void;
  /** Called once; nothing follows. The socket is destroyed. */
  lost(reason: Failure): void;
}

export class Wire {
  readonly #handlers: WireHandlers;
  #framer = new Framer(decodePacket);
  readonly #raw: Socket;
  /** The raw one, or the TLS socket on it. */
  #socket: Socket;
  #ended = false;
  #securing = false;

  /** `header`: a PROXY header, which goes before all else. */
  constructor(address: Address, header: Uint8Array | null, handlers: WireHandlers) {
    this.#handlers = handlers;
    this.#raw = connect({
      host: address.host,
      port: address.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEPALIVE_AFTER_MS,
    });
    this.#socket = this.#raw;
    this.#raw.on('lookup', (error: Error | null) => {
      if (!error && !this.#ended) handlers.reached('connecting');
    });
    this.#raw.on('connect', () => {
      if (this.#ended) return;
      if (isSelfConnected(this.#raw)) return this.#lose(selfConnection);
      if (header !== null) this.#raw.write(header);
      handlers.reached('greeting');
    });
    this.#raw.on('data', chunk => {
      if (this.#socket === this.#raw) this.#receive(chunk);
    });
    this.#watch(this.#raw);
  }

  /** What a connection to this address begins with. */
  static firstPhase(address: Address): Phase {
    return isIP(address.host) === 0 ? 'resolving' : 'connecting';
  }

  write(bytes: Uint8Array): void {
    if (!this.#ended) this.#socket.write(bytes);
  }

  /**
   * Writes the request and makes the handshake, whatever the certificate: `done` is told whether it is a good one, and
   * what is written after that is secret. To break the handshake off would count as an error of this host.
   */
  secure(request: Uint8Array, options: ConnectionOptions, done: (problem: Failure | null) => void): void {
    if (this.#ended) return;
    this.#securing = true;
    // What came in the clear after the greeting could be anybody's, and must not pass for what comes encrypted.
    this.#framer = new Framer(decodePacket);
    this.#raw.write(request);
    const secure = connectTls({ ...options, rejectUnauthorized: false, socket: this.#raw });
    this.#socket = secure;
    secure.on('secureConnect', () => {
      this.#securing = false;
      if (this.#ended) return;
      const refused = options.rejectUnauthorized !== false && !secure.authorized;
      // Node.js says it is an error, and gives its code.
      done(
        refused
          ? failure('L6RSP', `TLS: the certificate is refused: ${String(secure.authorizationError)}`)
          : null,
      );
    });
    secure.on('data', chunk => this.#receive(chunk));
    this.#watch(secure);
  }

  /** The last bytes, then FIN. What the server still sends is read, for a reset would be logged; `closed` when it is over. */
  finish(bytes: Uint8Array, closed: () => void): void {
    this.#ended = true;
    this.#socket.once('close', closed);
    this.#socket.end(bytes);
    this.#socket.resume();
  }

  destroy(): void {
    this.#ended = true;
    this.#socket.destroy();
    this.#raw.destroy();
  }

  #watch(socket: Socket): void {
    socket.on('error', error => this.#lose(socketFailure(this.#handlers.phase(), error)));
    socket.on('end', () => this.#lose(this.#closedByServer()));
    socket.on('close', () => this.#lose(this.#closedByServer()));
  }

  #closedByServer(): Failure {
    return failure('L4LOST', `the server closed the connection (${this.#handlers.phase()})`);
  }

  #lose(reason: Failure): void {
    if (this.#ended) return;
    this.destroy();
    this.#handlers.lost(reason);
  }

  #receive(chunk: Uint8Array): void {
    if (this.#ended) return;
    if (this.#securing) return this.#lose(failure('L7RSP', 'bytes amid the TLS handshake'));
    this.#framer.push(chunk);
    while (!this.#ended) {
      const decoded = this.#framer.next();
      if (decoded.kind === 'need') return;
      if (decoded.kind === 'bad') return this.#lose(failure('L7RSP', `not MySQL: ${decoded.detail}`));
      this.#handlers.packet(decoded.value);
    }
  }
}
