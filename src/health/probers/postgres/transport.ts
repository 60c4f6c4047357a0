// Opens the way to a server: TCP, and TLS the PostgreSQL way (SSLRequest first, then the handshake on the same socket).
// Not the login, and no timeout: the prober has one for the whole probe. Used by the session beside it.
// Formats: PostgreSQL documentation, page 55.2.10 "SSL Session Encryption".

import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { serialize } from 'pg-protocol';
import { type Address } from '../../../core/address.ts';
import { type TlsConfig } from '../../../config/schema.ts';
import { describeError } from '../../../core/errors.ts';
import { failure, type Failure, socketFailure } from '../failures.ts';
import { tlsOptions } from '../tls.ts';
import { type Phase } from './failures.ts';

const KEEPALIVE_AFTER_MS = 5000;
const YES = 0x53;
const NO = 0x4e;
const ERROR_RESPONSE = 0x45;

export interface TransportHandlers {
  phase(phase: Phase): void;
  /** The socket is ready for the login, and needs listeners at once; `early` is what the server said already. */
  ready(socket: Socket, early: Uint8Array): void;
  /** Called once, instead of `ready`; the socket is destroyed. */
  failed(reason: Failure): void;
}

/** Returns the raw socket, for the caller to destroy if it gives up before `ready` or `failed`. */
export function openTransport(address: Address, tls: TlsConfig, handlers: TransportHandlers): Socket {
  let phase: Phase = isIP(address.host) === 0 ? 'resolving' : 'connecting';
  const enter = (next: Phase): void => {
    phase = next;
    handlers.phase(next);
  };
  handlers.phase(phase);
  const socket = connect({
    host: address.host,
    port: address.port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_AFTER_MS,
  });
  const listeners: Listeners = {};
  const fail = (reason: Failure): void => {
    detach(socket, listeners);
    socket.destroy();
    handlers.failed(reason);
  };
  const handOver = (early: Uint8Array): void => {
    detach(socket, listeners);
    handlers.ready(socket, early);
  };

  listeners.lookup = error => {
    if (!error) enter('connecting');
  };
  listeners.error = error => fail(socketFailure(phase, error));
  listeners.close = () => fail(failure('L4LOST', `the server closed the connection (${phase})`));
  listeners.connect = () => {
    enter('negotiating');
    if (tls.mode === 'disable') handOver(new Uint8Array(0));
    else socket.write(serialize.requestSsl());
  };
  listeners.data = chunk => {
    const answer = chunk[0];
    if (answer === ERROR_RESPONSE) {
      handOver(chunk);
    } else if ((answer !== YES && answer !== NO) || chunk.length > 1) {
      // Bytes that come with the answer were sent before the handshake: forged, or another protocol (CVE-2021-23222).
      fail(failure('L7RSP', 'the answer to SSLRequest is not one of PostgreSQL'));
    } else if (answer === YES) {
      enter('handshaking');
      detach(socket, listeners);
      handshake(socket, address, tls, handlers);
    } else if (tls.mode === 'prefer') {
      handOver(new Uint8Array(0));
    } else {
      fail(failure('L6RSP', `the server offers no TLS, and tls.mode is ${tls.mode}`));
    }
  };
  attach(socket, listeners);
  return socket;
}

function handshake(socket: Socket, address: Address, tls: TlsConfig, handlers: TransportHandlers): void {
  let options: ConnectionOptions;
  try {
    options = tlsOptions(address, tls);
  } catch (thrown) {
    socket.destroy();
    handlers.failed(failure('L6RSP', `tls.ca_file: ${describeError(thrown).message}`));
    return;
  }
  const secure = connectTls({ ...options, socket });
  const listeners: Listeners = {};
  const fail = (reason: Failure): void => {
    detach(secure, listeners);
    secure.destroy();
    socket.destroy();
    handlers.failed(reason);
  };
  listeners.secureConnect = () => {
    detach(secure, listeners);
    handlers.ready(secure, new Uint8Array(0));
  };
  listeners.error = error => fail(socketFailure('handshaking', error));
  listeners.close = () => fail(failure('L4LOST', 'the server closed the connection (handshaking)'));
  attach(secure, listeners);
}

/** Ours only: a TLS socket has listeners of its own that must stay. */
interface Listeners {
  lookup?: (error: Error | null) => void;
  connect?: () => void;
  secureConnect?: () => void;
  data?: (chunk: Buffer) => void;
  error?: (error: Error) => void;
  close?: () => void;
}

function attach(socket: Socket, listeners: Listeners): void {
  for (const [event, listener] of Object.entries(listeners)) socket.on(event, listener as () => void);
}

function detach(socket: Socket, listeners: Listeners): void {
  for (const [event, listener] of Object.entries(listeners)) socket.off(event, listener as () => void);
  // A destroyed socket may still report an error, and one without a listener would end the process.
  socket.on('error', () => undefined);
}
