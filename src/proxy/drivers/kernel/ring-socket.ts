// A socket that small messages enter and leave through an io_uring: received into buffers that the kernel picks, sent
// from them, one request for many messages and no call for each. A socket that is paused, busy or slow goes back to its
// first way (socket.ts), and returns when it is calm. The descriptor is closed when the last request is completed.
// Made by kernel.ts where there is an io_uring.

import { type Kernel } from './kernel.ts';
import * as linux from './libc.ts';
import { type Requester } from './loop.ts';
import {
  CLOSED,
  ENDED,
  ENDING,
  KernelSocket,
  LEAVING,
  PEER_ENDED,
  PEER_ENDING,
  READABLE,
  SOCKET_EVENTS,
} from './socket.ts';
import {
  CANCEL,
  CQE_BUFFER_SHIFT,
  CQE_F_MORE,
  KIND_UNIT,
  OP_ASYNC_CANCEL,
  OP_RECV_MULTISHOT,
  OP_SEND_QUIET,
  RECEIVE,
  RING_BUFFER_BYTES,
  SEND,
  type QuietSender,
  type Uring,
} from './uring.ts';

/** Further states, above those of socket.ts. */
const ARMED = 512; // a request to receive is out
const SENDING = 1024; // one to send, too
const STOPPING = 2048; // receiving is being cancelled
const WATCHED = 4096; // epoll knows the descriptor
const RELEASED = 8192; // the descriptor is closed

/** Messages that wait for one to be sent, before their source is slowed down. */
const LINE_MAX = 16;
/** Small reads in a row after which a busy socket is calm. */
const CALM_READS = 32;

const PIECE_UNIT = 0x1_0000;

const SEND_FLAGS = linux.MSG_NOSIGNAL | linux.MSG_DONTWAIT | linux.MSG_WAITALL;

export class RingSocket extends KernelSocket implements Requester, QuietSender {
  readonly #uring: Uring;
  /** Buffer and length of what is being sent, and of what waits behind it: buffer * PIECE_UNIT + length. */
  #piece = 0;
  #line: number[] | null = null;
  #calmReads = 0;

  constructor(kernel: Kernel, fd: number, uring: Uring) {
    super(kernel, fd);
    this.#uring = uring;
    kernel.loop.setRequester(fd, this);
  }

  override start(): void {
    this.#arm();
  }

  override pause(): void {
    super.pause();
    this.#stop();
  }

  completed(kind: number, result: number, flags: number): void {
    if (kind === RECEIVE) this.#received(result, flags);
    else if (kind === SEND) this.#sent(result);
    else return;
    if (this.state & CLOSED) this.release();
  }

  /** The send that was handed in is done, and nothing was said against it. */
  settled(): void {
    if ((this.state & SENDING) === 0) return;
    this.#sent(this.#piece % PIECE_UNIT);
    if (this.state & CLOSED) this.release();
  }

  override ready(events: number): void {
    if ((this.state & ARMED) === 0) {
      super.ready(events);
      return;
    }
    // The request is told of input, ends and errors; but epoll says each once, and it may be for after the request.
    if (events & (linux.EPOLLRDHUP | linux.EPOLLHUP | linux.EPOLLERR)) this.state |= PEER_ENDING;
    super.ready(events & linux.EPOLLOUT);
  }

  protected override hasSentAll(): boolean {
    if (this.state & SENDING) this.#uring.press();
    return this.queue === null && (this.state & SENDING) === 0;
  }

  /** While requests receive, epoll's word of input is not for us. */
  protected override wantsInput(): boolean {
    return (this.state & ARMED) === 0 && super.wantsInput();
  }

  protected override send(bytes: Uint8Array, count: number): void {
    if ((this.state & SENDING) === 0) {
      super.send(bytes, count);
      if (this.queue !== null) this.#watch();
    } else if ((this.state & (CLOSED | ENDED)) === 0) {
      this.enqueue(bytes.subarray(0, count));
      this.#uring.press();
    }
  }

  /** What is queued comes after what is being sent. */
  protected override flush(queue: Uint8Array): void {
    if ((this.state & SENDING) === 0) super.flush(queue);
  }

  protected override wasRead(count: number): void {
    this.#calmReads = count < RING_BUFFER_BYTES && this.queue === null ? this.#calmReads + 1 : 0;
    if (this.#calmReads < CALM_READS || this.state & (READABLE | CLOSED | LEAVING)) return;
    this.#calmReads = 0;
    this.state &= ~WATCHED;
    this.kernel.loop.unwatch(this.fd);
    this.#arm();
  }

  protected override abort(): void {
    if ((this.state & (ARMED | SENDING)) === 0) super.abort();
    // Requests keep the socket open; to be connected to nowhere resets it at once (connect(2), AF_UNSPEC).
    else this.kernel.disconnect(this.fd);
  }

  protected override release(): void {
    if (this.state & RELEASED) return;
    if ((this.state & (ARMED | SENDING)) === 0) {
      this.state |= RELEASED;
      this.#dropLine();
      this.kernel.close(this.fd);
      return;
    }
    this.#uring.press();
    if ((this.state & STOPPING) === 0) {
      // Ends what is being received; its completion comes here again.
      this.state |= STOPPING;
      this.kernel.libc.shutdown(this.fd, linux.SHUT_RDWR);
    }
  }

  #arm(): void {
    this.state |= ARMED;
    this.#uring.request(OP_RECV_MULTISHOT, this.fd, 0, 0, 0, 0, this.fd, RECEIVE);
  }

  /** Leads to epoll: when the request is cancelled, what it had received before has been taken. */
  #stop(): void {
    if ((this.state & (ARMED | STOPPING | CLOSED)) !== ARMED) return;
    this.state |= STOPPING;
    this.#uring.request(OP_ASYNC_CANCEL, -1, 0, this.fd + RECEIVE * KIND_UNIT, 0, 0, this.fd, CANCEL);
  }

  #watch(): void {
    if (this.state & (WATCHED | CLOSED)) return;
    this.state |= WATCHED;
    this.kernel.loop.watch(this.fd, this, SOCKET_EVENTS);
  }

  #received(result: number, flags: number): void {
    if ((flags & CQE_F_MORE) === 0) this.state &= ~ARMED;
    if (result > 0) this.#arrived(flags >>> CQE_BUFFER_SHIFT, result);
    else if (this.state & CLOSED) return;
    else if (result === 0) this.peerEnded();
    else if (result === -linux.ENOBUFS) this.#uring.whenFree(() => this.#rearm());
    else if (result !== -linux.ECANCELED) this.fail();
    if (result !== -linux.ENOBUFS) this.#rearm();
  }

  /** After the end of a request that should go on: again, or by epoll if that was the reason. */
  #rearm(): void {
    if (this.state & (ARMED | CLOSED | PEER_ENDED)) return;
    if ((this.state & STOPPING) === 0) {
      this.#arm();
      return;
    }
    this.state = (this.state & ~STOPPING) | READABLE;
    this.#watch();
    this.read();
  }

  #arrived(buffer: number, count: number): void {
    const { buffers } = this.#uring;
    const from = buffer * RING_BUFFER_BYTES;
    const peer = this.peer;
    if ((this.state & CLOSED) === 0) this.account(buffers, from, count);
    if (peer instanceof RingSocket && (this.state & (CLOSED | LEAVING)) === 0) {
      if (peer.#sendPiece(buffer, count) || count === RING_BUFFER_BYTES) this.#stop();
    } else {
      this.#uring.giveBack(buffer);
    }
  }

  /** Sends a buffer of the ring and gives it back. True when its source should slow down. */
  #sendPiece(buffer: number, count: number): boolean {
    const piece = buffer * PIECE_UNIT + count;
    if (this.state & (CLOSED | ENDED)) {
      this.#uring.giveBack(buffer);
    } else if (this.queue !== null) {
      this.#enqueuePiece(piece);
      return true;
    } else if (this.state & SENDING) {
      this.#line ??= [];
      this.#uring.press();
      return this.#line.push(piece) > LINE_MAX;
    } else {
      this.#request(piece);
    }
    return false;
  }

  #request(piece: number): void {
    this.state |= SENDING;
    this.#piece = piece;
    const address = this.#uring.bufferAddress(Math.floor(piece / PIECE_UNIT));
    this.#uring.request(OP_SEND_QUIET, this.fd, 0, address, piece % PIECE_UNIT, SEND_FLAGS, this.fd, SEND);
    this.#uring.onQuiet(this);
  }

  #sent(result: number): void {
    this.state &= ~SENDING;
    if (this.state & CLOSED) {
      this.#uring.giveBack(Math.floor(this.#piece / PIECE_UNIT));
      return;
    }
    const count = this.#piece % PIECE_UNIT;
    const taken = Math.max(0, result);
    this.bytesSent += taken;
    if (taken === count) {
      this.#uring.giveBack(Math.floor(this.#piece / PIECE_UNIT));
      this.#next();
    } else if (result >= 0 || result === -linux.EAGAIN) {
      this.#blocked(taken);
    } else {
      this.#uring.giveBack(Math.floor(this.#piece / PIECE_UNIT));
      this.fail();
    }
  }

  #next(): void {
    const piece = this.#line?.shift();
    if (piece !== undefined) {
      this.#request(piece);
      // Something still waits behind this one.
      if ((this.#line?.length ?? 0) > 0 || this.queue !== null || this.state & ENDING) this.#uring.press();
    } else if (this.queue !== null) {
      this.#watch();
      this.flush(this.queue);
    } else if (this.state & ENDING) this.sendEnd();
  }

  /** The other end is slow: all that waits goes into the queue, before what came there meanwhile; epoll says when to go on. */
  #blocked(taken: number): void {
    const later = this.queue;
    this.queue = null;
    this.#enqueuePiece(this.#piece, taken);
    for (const piece of this.#line ?? []) this.#enqueuePiece(piece);
    this.#line = null;
    if (later !== null) this.enqueue(later);
    this.#watch();
    if (this.peer instanceof RingSocket) this.peer.#stop();
  }

  #enqueuePiece(piece: number, from = 0): void {
    const buffer = Math.floor(piece / PIECE_UNIT);
    const at = buffer * RING_BUFFER_BYTES;
    this.enqueue(this.#uring.buffers.subarray(at + from, at + (piece % PIECE_UNIT)));
    this.#uring.giveBack(buffer);
  }

  #dropLine(): void {
    for (const piece of this.#line ?? []) this.#uring.giveBack(Math.floor(piece / PIECE_UNIT));
    this.#line = null;
  }
}
