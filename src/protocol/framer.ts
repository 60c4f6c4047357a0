// Collects chunks until a decoder has a whole message, so that decoders need no memory of their own.
// Not a decoder and not a stream. Used by probe sessions; how much it may hold is bounded by its decoder,
// which must refuse a message above its limit as soon as the length is known.

import { type Decode } from './decode.ts';

export class Framer<T> {
  readonly #decode: (bytes: Uint8Array) => Decode<T>;
  #chunks: Uint8Array[] = [];
  #held = 0;
  #wanted = 1;

  constructor(decode: (bytes: Uint8Array) => Decode<T>) {
    this.#decode = decode;
  }

  /** Adds bytes; follow with `next` until it answers `need`. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#held += chunk.length;
  }

  /** The next message. After `bad` the peer has lost its place: push nothing more. */
  next(): Decode<T> {
    // Joining only when enough is there keeps a message that comes byte by byte from being copied at every byte.
    if (this.#held < this.#wanted) return { kind: 'need', bytes: this.#wanted - this.#held };
    const bytes = this.#joined();
    const decoded = this.#decode(bytes);
    if (decoded.kind === 'ok') {
      this.#chunks = [bytes.subarray(decoded.consumed)];
      this.#held -= decoded.consumed;
      this.#wanted = 1;
    } else if (decoded.kind === 'need') {
      this.#wanted = this.#held + decoded.bytes;
    }
    return decoded;
  }

  /** Bytes of messages that aren't whole, or weren't asked for. */
  get held(): number {
    return this.#held;
  }

  /** The same, taken out: for who goes on without messages. */
  rest(): Uint8Array {
    const bytes = this.#joined();
    this.#chunks = [];
    this.#held = 0;
    this.#wanted = 1;
    return bytes;
  }

  #joined(): Uint8Array {
    const [only] = this.#chunks;
    if (only !== undefined && this.#chunks.length === 1) return only;
    const bytes = Buffer.concat(this.#chunks);
    this.#chunks = [bytes];
    return bytes;
  }
}
