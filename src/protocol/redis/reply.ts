// Decodes what a Redis server or a Sentinel answers, in RESP2 and RESP3, within bounds: the peer isn't trusted.
// Not a client: it holds no socket and no state. Used by the Redis sessions of the probers, and by tests.
// Format: redis.io, "Redis serialization protocol specification". Streamed strings and aggregates (`$?`, `*?`), which no
// server sends, are refused.

import { REDIS_REPLY_MAX_BYTES, REDIS_REPLY_MAX_ITEMS } from '../../core/limits.ts';
import { type Decode } from '../decode.ts';

export type Reply =
  /** Simple, bulk and verbatim strings, doubles, booleans (`t`, `f`) and big numbers, as they are written. */
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'error'; readonly text: string }
  | { readonly kind: 'integer'; readonly value: number }
  | { readonly kind: 'null' }
  /** Arrays, sets, and maps as their keys and values in turn. */
  | { readonly kind: 'list'; readonly items: readonly Reply[] }
  /** What wasn't asked for: a message of a subscription in RESP3. */
  | { readonly kind: 'push'; readonly items: readonly Reply[] };

const CR = 0x0d;
const LF = 0x0a;
/** Our deepest answer, a list of replicas, has two levels. */
const DEPTH_MAX = 6;

/** One whole reply. A reply that will be too large is refused as soon as that is known. */
export function decodeReply(bytes: Uint8Array): Decode<Reply> {
  const decoded = new Reader(bytes).read();
  if (decoded.kind === 'need' && bytes.length + decoded.bytes > REDIS_REPLY_MAX_BYTES) {
    return tooLarge(`a reply above ${REDIS_REPLY_MAX_BYTES} bytes`);
  }
  return decoded;
}

const tooLarge = (detail: string): Decode<never> => ({ kind: 'bad', code: 'WIRE_TOO_LARGE', detail });
const malformed = (detail: string): Decode<never> => ({ kind: 'bad', code: 'WIRE_MALFORMED', detail });

class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  #items = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  read(depth = 0): Decode<Reply> {
    if (depth > DEPTH_MAX) return tooLarge('a reply of too many levels');
    if (++this.#items > REDIS_REPLY_MAX_ITEMS) return tooLarge('a reply of too many items');
    const line = this.#line();
    if (line.kind !== 'ok') return line;
    const type = line.value.charAt(0);
    const rest = line.value.slice(1);
    switch (type) {
      case '+':
      case ',':
      case '#':
      case '(':
        return this.#ok({ kind: 'text', text: rest });
      case '-':
        return this.#ok({ kind: 'error', text: rest });
      case '_':
        return this.#ok({ kind: 'null' });
      case ':':
        return /^[+-]?\d{1,19}$/.test(rest)
          ? this.#ok({ kind: 'integer', value: Number(rest) })
          : malformed('an integer that is none');
      case '$':
      case '!':
      case '=':
        return this.#bulk(type, rest);
      case '*':
      case '~':
      case '>':
      case '%':
        return this.#aggregate(type, rest, depth);
      case '|': {
        // Attributes belong to the reply that follows and say nothing that we ask for.
        const attributes = this.#aggregate('%', rest, depth);
        return attributes.kind === 'ok' ? this.read(depth + 1) : attributes;
      }
      default:
        return malformed(`a reply that begins with ${JSON.stringify(type)}`);
    }
  }

  #bulk(type: string, length: string): Decode<Reply> {
    if (type === '$' && length === '-1') return this.#ok({ kind: 'null' });
    const size = readLength(length);
    if (size === null) return malformed('a string without a proper length');
    if (this.#at + size + 2 > REDIS_REPLY_MAX_BYTES) return tooLarge(`a string of ${size} bytes`);
    const end = this.#at + size;
    if (this.#bytes.length < end + 2) return { kind: 'need', bytes: end + 2 - this.#bytes.length };
    if (this.#bytes[end] !== CR || this.#bytes[end + 1] !== LF) return malformed('a string without its end');
    const text = this.#bytes.toString('utf8', this.#at, end);
    this.#at = end + 2;
    if (type === '!') return this.#ok({ kind: 'error', text });
    return this.#ok({ kind: 'text', text: type === '=' ? text.slice(4) : text });
  }

  #aggregate(type: string, length: string, depth: number): Decode<Reply> {
    if (type === '*' && length === '-1') return this.#ok({ kind: 'null' });
    const size = readLength(length);
    if (size === null) return malformed('a list without a proper length');
    const count = type === '%' ? 2 * size : size;
    if (this.#items + count > REDIS_REPLY_MAX_ITEMS) return tooLarge(`a list of ${size} items`);
    const items: Reply[] = [];
    while (items.length < count) {
      const item = this.read(depth + 1);
      // Each item that is still to come takes three bytes at least.
      if (item.kind === 'need') return { kind: 'need', bytes: item.bytes + 3 * (count - items.length - 1) };
      if (item.kind === 'bad') return item;
      items.push(item.value);
    }
    return this.#ok({ kind: type === '>' ? 'push' : 'list', items });
  }

  /** The next line without its CRLF. */
  #line(): Decode<string> {
    const end = this.#bytes.indexOf(LF, this.#at);
    if (end === -1) {
      const held = this.#bytes.length - this.#at;
      return { kind: 'need', bytes: held === 0 ? 3 : 1 };
    }
    if (end - this.#at < 2 || this.#bytes[end - 1] !== CR) return malformed('a line without a proper end');
    const value = this.#bytes.toString('utf8', this.#at, end - 1);
    this.#at = end + 1;
    return { kind: 'ok', value, consumed: this.#at };
  }

  #ok(value: Reply): Decode<Reply> {
    return { kind: 'ok', value, consumed: this.#at };
  }
}

/** At most seven digits: more is above every limit. */
function readLength(text: string): number | null {
  return /^\d{1,7}$/.test(text) ? Number(text) : null;
}
