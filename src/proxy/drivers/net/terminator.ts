// Ends the TLS of one frontend's clients: handshakes on sockets that are accepted already, with the certificates of the
// moment. A tls.Server that doesn't listen: only it says whether a client's certificate is good. It names the connection
// by addresses alone, hence the keys. Made by app/tls, which also renews it; asked by tls.ts beside this.

import { type Socket } from 'node:net';
import {
  createServer,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from 'node:tls';
import { constants } from 'node:crypto';
import { describeError, type ErrorFacts } from '../../../core/errors.ts';
import { FIRST_BYTES_TIMEOUT_MS } from '../../../core/limits.ts';
import { failureOf, type HandshakeFailure } from './handshake-failures.ts';

export interface Shown {
  /** What a client gets that names no other. */
  readonly context: SecureContextOptions;
  /** For a name that a client asks for; `null`: the one above. */
  contextFor(name: string): SecureContext | null;
}

export interface TerminatorOptions {
  readonly verify: 'none' | 'optional' | 'require';
  readonly alpn: readonly string[];
  readonly shown: Shown;
  failed(reason: HandshakeFailure): void;
}

export type Handshake =
  | { readonly ok: true; readonly socket: TLSSocket; readonly trusted: boolean }
  | { readonly ok: false; readonly reason: HandshakeFailure };

/** The session's own deadline comes first; this is for a handshake that somehow outlives it. */
const HANDSHAKE_TIMEOUT_MS = FIRST_BYTES_TIMEOUT_MS + 1_000;

export class Terminator {
  readonly #server: Server;
  readonly #options: TerminatorOptions;
  readonly #pending = new Map<string, (handshake: Handshake) => void>();
  #shown: Shown;

  constructor(options: TerminatorOptions) {
    this.#options = options;
    this.#shown = options.shown;
    const { alpn, verify } = options;
    this.#server = createServer({
      ...this.#contextOptions(options.shown),
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
      requestCert: verify !== 'none',
      // Judged below: a client may be told why.
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      SNICallback: (name, done) => done(null, this.#shown.contextFor(name) ?? undefined),
    });
    this.#server.on('secureConnection', socket => this.#secured(socket));
    this.#server.on('tlsClientError', (thrown, socket) =>
      this.#settle(socket, refused(describeError(thrown))),
    );
  }

  /** For handshakes from now on. */
  renew(shown: Shown): void {
    this.#shown = shown;
    this.#server.setSecureContext(this.#contextOptions(shown));
  }

  /** Nobody reads `raw` by now; what was read of the handshake has been put back into it. Told once. */
  accept(raw: Socket, direct: boolean, done: (handshake: Handshake) => void): void {
    const key = keyOf(raw);
    const settle = (handshake: Handshake): void => {
      raw.off('close', closed);
      if (key !== null) this.#pending.delete(key);
      const outcome = direct && handshake.ok ? this.#direct(handshake) : handshake;
      if (!outcome.ok) this.#options.failed(outcome.reason);
      done(outcome);
    };
    const closed = (): void => settle({ ok: false, reason: 'closed' });
    raw.on('close', closed);
    if (key === null) {
      raw.destroy();
      return;
    }
    this.#pending.set(key, settle);
    this.#server.emit('connection', raw);
  }

  #contextOptions({ context }: Shown): SecureContextOptions {
    // A client that asks for the handshake again and again would have us work for nothing.
    return { ...context, secureOptions: constants.SSL_OP_NO_RENEGOTIATION };
  }

  #secured(socket: TLSSocket): void {
    const { verify } = this.#options;
    const showsNone = verify === 'optional' && socket.getPeerX509Certificate() === undefined;
    const trusted = verify === 'none' || socket.authorized || showsNone;
    if (!trusted) this.#options.failed('client-certificate');
    if (!this.#settle(socket, { ok: true, socket, trusted })) socket.destroy();
  }

  /** TLS without a word before it is PostgreSQL only if the client says so (documentation, 55.2.10). */
  #direct(handshake: Extract<Handshake, { ok: true }>): Handshake {
    if (this.#options.alpn.includes(String(handshake.socket.alpnProtocol))) return handshake;
    handshake.socket.destroy();
    return { ok: false, reason: 'alpn' };
  }

  #settle(socket: TLSSocket, handshake: Handshake): boolean {
    const settle = this.#pending.get(keyOf(socket) ?? '');
    settle?.(handshake);
    return settle !== undefined;
  }
}

const refused = (facts: ErrorFacts): Handshake => ({ ok: false, reason: failureOf(facts) });

/** The two ends, which no other living connection has. */
function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string | null {
  if (remoteAddress === undefined || remotePort === undefined) return null;
  return `${remoteAddress} ${remotePort} ${localAddress ?? ''} ${localPort ?? ''}`;
}
