// A node:net socket as the proxy's TcpSocket. Owner calls come from Node's events; closing's traps are in closing.ts.
// Made by listener.ts and dialer.ts.

import { type Socket } from 'node:net';
import { type Address } from '../../../core/address.ts';
import { type Clock } from '../../../core/clock.ts';
import { type Side, type SocketOwner, type TcpOptions, type TcpSocket } from '../../driver.ts';
import { endWithin, resetNow } from './closing.ts';

export class NetSocket implements TcpSocket {
  readonly inner: Socket;
  /** Of a server's: bytes of the client have gone there since it last spoke. */
  isSpokenTo = false;
  readonly #clock: Clock;
  #onData: ((bytes: Uint8Array) => void) | null = null;
  #stop: (() => void) | null = null;
  /** What Node still tells of it is of no interest. */
  #wasReset = false;

  constructor(inner: Socket, clock: Clock) {
    this.inner = inner;
    this.#clock = clock;
  }

  get bytesRead(): number {
    return this.inner.bytesRead;
  }

  get bytesSent(): number {
    return this.inner.bytesWritten - this.inner.writableLength;
  }

  localAddress(): Address | null {
    return addressOf(this.inner.localAddress, this.inner.localPort);
  }

  peerAddress(): Address | null {
    return addressOf(this.inner.remoteAddress, this.inner.remotePort);
  }

  attach(owner: SocketOwner, side: Side): void {
    const { inner } = this;
    // A reset right behind bytes may come as an end: libuv takes the hang-up for one and doesn't read again.
    inner.on('end', () => {
      if (!this.#wasReset) owner.socketEnded(side);
    });
    inner.on('error', () => {
      if (!this.#wasReset) owner.socketFailed(side);
    });
    inner.once('close', () => owner.socketClosed(side));
    // The server's side is read by the splice; to read it here as well would set it flowing too early.
    if (side === 'server') return;
    this.#onData = bytes => owner.socketData(side, bytes);
    inner.on('data', this.#onData);
  }

  /** node:net can set the first wait only; the kernel driver sets all. */
  keepAlive({ keepaliveIdleSeconds }: TcpOptions): void {
    this.inner.setKeepAlive(true, keepaliveIdleSeconds * 1000);
  }

  awaitsAnswer(): boolean {
    return this.isSpokenTo;
  }

  write(bytes: Uint8Array): void {
    this.inner.write(bytes);
  }

  pause(): void {
    this.inner.pause();
  }

  end(): void {
    this.inner.end();
  }

  endWithin(boundMs: number): void {
    if (this.#onData !== null) this.inner.off('data', this.#onData);
    this.#onData = null;
    endWithin(this.inner, boundMs, this.#clock);
  }

  reset(): void {
    this.#wasReset = true;
    resetNow(this.inner);
  }

  destroy(): void {
    this.inner.destroy();
  }

  /** Its data goes to its peer from now on, until `stop` is called. */
  joined(stop: () => void): void {
    if (this.#onData !== null) this.inner.off('data', this.#onData);
    this.#stop = stop;
  }

  part(): void {
    this.#stop?.();
    this.#stop = null;
    if (this.#onData !== null) this.inner.on('data', this.#onData);
  }
}

/** As Node tells it: undefined for a socket that is closed. An IPv4 peer of a socket bound to `::` shows as ::ffff:10.0.0.1. */
export function addressOf(host: string | undefined, port: number | undefined): Address | null {
  if (host === undefined || port === undefined) return null;
  const mapped = host.startsWith('::ffff:') && host.includes('.');
  return { host: mapped ? host.slice('::ffff:'.length) : host, port };
}
