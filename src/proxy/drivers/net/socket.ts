// A node:net socket as the proxy's TcpSocket, in plain text or in TLS from some moment on. Owner calls come from Node's
// events; closing's traps are in closing.ts. Made by listener.ts and dialer.ts.

import { type Socket } from 'node:net';
import { type Address } from '../../../core/address.ts';
import { type TLSSocket } from 'node:tls';
import { type Clock } from '../../../core/clock.ts';
import { invariant } from '../../../core/errors.ts';
import { type Side, type SocketOwner, type TcpOptions, type TcpSocket } from '../../driver.ts';
import { endWithin, resetNow } from './closing.ts';

export class NetSocket implements TcpSocket {
  /** What is read and written: the TCP socket itself, or TLS on it. */
  #inner: Socket;
  readonly #raw: Socket;
  /** Of a server's: bytes of the client have gone there since it last spoke. */
  isSpokenTo = false;
  readonly #clock: Clock;
  #owner: SocketOwner | null = null;
  #side: Side = 'client';
  #onData: ((bytes: Uint8Array) => void) | null = null;
  #stop: (() => void) | null = null;
  /** What Node still tells of it is of no interest. */
  #wasReset = false;

  /** `raw`: what carries `inner`, where that is TLS. */
  constructor(inner: Socket, clock: Clock, raw: Socket = inner) {
    this.#inner = inner;
    this.#raw = raw;
    this.#clock = clock;
  }

  get inner(): Socket {
    return this.#inner;
  }

  /** What was sent and received in the handshake of TLS isn't counted. */
  get bytesRead(): number {
    return this.#inner.bytesRead;
  }

  get bytesSent(): number {
    return this.#inner.bytesWritten - this.#inner.writableLength;
  }

  localAddress(): Address | null {
    return addressOf(this.#raw.localAddress, this.#raw.localPort);
  }

  peerAddress(): Address | null {
    return addressOf(this.#raw.remoteAddress, this.#raw.remotePort);
  }

  attach(owner: SocketOwner, side: Side): void {
    this.#owner = owner;
    this.#side = side;
    this.#listen();
    // The server's side is read by the splice; to read it here as well would set it flowing too early.
    if (side === 'server') return;
    this.#onData = bytes => owner.socketData(side, bytes);
    this.#inner.on('data', this.#onData);
  }

  /** node:net can set the first wait only; the kernel driver sets all. */
  keepAlive({ keepaliveIdleSeconds }: TcpOptions): void {
    this.#raw.setKeepAlive(true, keepaliveIdleSeconds * 1000);
  }

  awaitsAnswer(): boolean {
    return this.isSpokenTo;
  }

  write(bytes: Uint8Array): void {
    this.#inner.write(bytes);
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    this.#inner.resume();
  }

  end(): void {
    this.#inner.end();
  }

  endWithin(boundMs: number): void {
    if (this.#onData !== null) this.#inner.off('data', this.#onData);
    this.#onData = null;
    endWithin(this.#inner, boundMs, this.#clock);
  }

  reset(): void {
    this.#wasReset = true;
    resetNow(this.#inner, this.#raw);
  }

  destroy(): void {
    this.#inner.destroy();
  }

  /** Its data goes to its peer from now on, until `stop` is called. */
  joined(stop: () => void): void {
    if (this.#onData !== null) this.#inner.off('data', this.#onData);
    this.#stop = stop;
  }

  part(): void {
    this.#stop?.();
    this.#stop = null;
    if (this.#onData !== null) this.#inner.on('data', this.#onData);
  }

  /** Gives the TCP socket up for a handshake: unread, and `heard` is read from it again. It still tells of its close. */
  handOver(heard: Uint8Array): Socket {
    const inner = this.#inner;
    invariant(inner === this.#raw, 'TLS is begun once');
    if (this.#onData !== null) inner.off('data', this.#onData);
    inner.off('end', this.#onEnd);
    inner.off('error', this.#onError);
    inner.pause();
    if (heard.length > 0) inner.unshift(heard);
    return inner;
  }

  /** The handshake is done: what was the TCP socket's is that of TLS now. */
  become(tls: TLSSocket): void {
    this.#raw.off('close', this.#onClose);
    this.#inner = tls;
    this.#listen();
    if (this.#onData !== null && this.#stop === null) tls.on('data', this.#onData);
  }

  /** Tells the owner of a failure that the socket itself didn't: a handshake that broke off. */
  seemBroken(): void {
    this.#onError();
  }

  /** Tells the owner that the peer says nothing more, since what it says is of no use. */
  seemEnded(): void {
    this.#onEnd();
  }

  readonly #onEnd = (): void => {
    if (!this.#wasReset) this.#owner?.socketEnded(this.#side);
  };

  readonly #onError = (): void => {
    if (!this.#wasReset) this.#owner?.socketFailed(this.#side);
  };

  readonly #onClose = (): void => {
    this.#owner?.socketClosed(this.#side);
  };

  #listen(): void {
    // A reset right behind bytes may come as an end: libuv takes the hang-up for one and doesn't read again.
    this.#inner.on('end', this.#onEnd);
    this.#inner.on('error', this.#onError);
    this.#inner.once('close', this.#onClose);
  }
}

/** As Node tells it: undefined for a socket that is closed. An IPv4 peer of a socket bound to `::` shows as ::ffff:10.0.0.1. */
export function addressOf(host: string | undefined, port: number | undefined): Address | null {
  if (host === undefined || port === undefined) return null;
  const mapped = host.startsWith('::ffff:') && host.includes('.');
  return { host: mapped ? host.slice('::ffff:'.length) : host, port };
}
