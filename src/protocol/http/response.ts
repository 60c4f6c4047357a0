// Reads one HTTP/1 answer to a GET from bytes as they come: status and body, everything bounded (core/limits.ts).
// Not a client and without a socket; headers other than those that frame the answer are dropped.
// Used by probe connections. Format: RFC 9112; which body an answer has: its section 6.3.

import { HTTP_BODY_MAX_BYTES, HTTP_HEAD_MAX_BYTES } from '../../core/limits.ts';
import { type ErrorCode } from '../../core/errors.ts';
import { readHead, type BodyFraming } from './head.ts';

export interface HttpResponse {
  readonly status: number;
  readonly body: Buffer;
  /** The connection may be asked again. */
  readonly keepAlive: boolean;
}

export type Reading =
  | { readonly kind: 'need' }
  | { readonly kind: 'ok'; readonly response: HttpResponse }
  | { readonly kind: 'bad'; readonly code: ErrorCode; readonly detail: string };

type State =
  | { readonly kind: 'head' }
  /** `after`: what follows these bytes of the body. */
  | { readonly kind: 'body'; left: number; readonly after: 'end' | 'chunk-end' }
  | { readonly kind: 'chunk-size' | 'chunk-end' | 'trailers' | 'until-close' };

const need: Reading = { kind: 'need' };
const malformed = (detail: string): Reading => ({ kind: 'bad', code: 'WIRE_MALFORMED', detail });
const tooLarge = (detail: string): Reading => ({ kind: 'bad', code: 'WIRE_TOO_LARGE', detail });

const LF = 0x0a;
const PREFIX = Buffer.from('HTTP/1.');

/** For one answer; after `ok` or `bad` make another. */
export class ResponseReader {
  #state: State = { kind: 'head' };
  /** Bytes of lines that aren't whole yet. */
  #rest: Buffer = Buffer.alloc(0);
  #headBytes = 0;
  #status = 0;
  #keepAlive = false;
  #body = Buffer.alloc(0);
  #bodyBytes = 0;

  push(chunk: Uint8Array): Reading {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    for (;;) {
      const reading = this.#step();
      if (reading !== null) return reading;
    }
  }

  /** The server sends no more: the end of a body without a length, and of nothing else. */
  end(): Reading {
    return this.#state.kind === 'until-close' ? this.#done() : need;
  }

  /** `null`: something was read, and more of it may be there. */
  #step(): Reading | null {
    switch (this.#state.kind) {
      case 'head':
        return this.#readHead();
      case 'body':
        return this.#readBody(this.#state);
      case 'until-close': {
        const bytes = this.#rest;
        this.#rest = Buffer.alloc(0);
        return this.#keep(bytes) ?? need;
      }
      case 'chunk-size':
        return this.#readChunkSize();
      case 'chunk-end': {
        const line = this.#line();
        if (typeof line !== 'string') return line;
        this.#state = { kind: 'chunk-size' };
        return line === '' ? null : malformed('a chunk that is longer than it says');
      }
      case 'trailers': {
        const line = this.#line();
        if (typeof line !== 'string') return line;
        return line === '' ? this.#done() : null;
      }
    }
  }

  #readHead(): Reading | null {
    const start = this.#rest.subarray(0, PREFIX.length);
    if (!PREFIX.subarray(0, start.length).equals(start)) return malformed('no HTTP status line');
    const end = endOfHead(this.#rest);
    if (this.#headBytes + (end ?? this.#rest.length) > HTTP_HEAD_MAX_BYTES) {
      return tooLarge(`a head above ${HTTP_HEAD_MAX_BYTES} bytes`);
    }
    if (end === null) return need;
    const head = readHead(this.#rest.toString('latin1', 0, end));
    if (typeof head === 'string') return malformed(head);
    this.#headBytes += end;
    this.#rest = this.#rest.subarray(end);
    // Interim answers, such as 103 Early Hints, come before the one that counts.
    if (head.status < 200 && head.status !== 101) return null;
    this.#status = head.status;
    this.#keepAlive = head.keepAlive;
    return this.#begin(head.framing);
  }

  #begin(framing: BodyFraming): Reading | null {
    switch (framing.kind) {
      case 'none':
        return this.#done();
      case 'length':
        if (framing.bytes > HTTP_BODY_MAX_BYTES) return this.#bodyTooLarge();
        this.#state = { kind: 'body', left: framing.bytes, after: 'end' };
        return null;
      case 'chunked':
        this.#state = { kind: 'chunk-size' };
        return null;
      case 'until-close':
        this.#state = { kind: 'until-close' };
        return null;
    }
  }

  #readBody(state: Extract<State, { kind: 'body' }>): Reading | null {
    const bytes = this.#rest.subarray(0, state.left);
    this.#rest = this.#rest.subarray(bytes.length);
    state.left -= bytes.length;
    const problem = this.#keep(bytes);
    if (problem !== null) return problem;
    if (state.left > 0) return need;
    if (state.after === 'end') return this.#done();
    this.#state = { kind: 'chunk-end' };
    return null;
  }

  #readChunkSize(): Reading | null {
    const line = this.#line();
    if (typeof line !== 'string') return line;
    const [, digits] = /^([0-9a-f]{1,15})[ \t]*(?:;.*)?$/i.exec(line) ?? [];
    if (digits === undefined) return malformed('a chunk without its size');
    const left = Number.parseInt(digits, 16);
    if (this.#bodyBytes + left > HTTP_BODY_MAX_BYTES) return this.#bodyTooLarge();
    this.#state = left === 0 ? { kind: 'trailers' } : { kind: 'body', left, after: 'chunk-end' };
    return null;
  }

  /** The next line among chunks, without its end; trailers count towards the bound of the head. */
  #line(): string | Reading {
    const end = this.#rest.indexOf(LF);
    const length = end === -1 ? this.#rest.length : end + 1;
    const counted = this.#state.kind === 'trailers' ? this.#headBytes : 0;
    if (counted + length > HTTP_HEAD_MAX_BYTES) return tooLarge(`a line above ${HTTP_HEAD_MAX_BYTES} bytes`);
    if (end === -1) return need;
    if (this.#state.kind === 'trailers') this.#headBytes += length;
    const line = this.#rest.toString('latin1', 0, end).replace(/\r$/, '');
    this.#rest = this.#rest.subarray(length);
    return line;
  }

  /** Copied, so that a small piece doesn't keep the large buffer alive that it came in. */
  #keep(bytes: Buffer): Reading | null {
    const wanted = this.#bodyBytes + bytes.length;
    if (wanted > HTTP_BODY_MAX_BYTES) return this.#bodyTooLarge();
    if (wanted > this.#body.length) {
      const larger = Buffer.alloc(Math.min(HTTP_BODY_MAX_BYTES, Math.max(wanted, 2 * this.#body.length)));
      this.#body.copy(larger, 0, 0, this.#bodyBytes);
      this.#body = larger;
    }
    bytes.copy(this.#body, this.#bodyBytes);
    this.#bodyBytes = wanted;
    return null;
  }

  #bodyTooLarge(): Reading {
    return tooLarge(`a body above ${HTTP_BODY_MAX_BYTES / 1024} KiB after status ${this.#status}`);
  }

  #done(): Reading {
    return {
      kind: 'ok',
      response: {
        status: this.#status,
        body: this.#body.subarray(0, this.#bodyBytes),
        // Bytes after the end belong to nothing that was asked.
        keepAlive: this.#keepAlive && this.#state.kind !== 'until-close' && this.#rest.length === 0,
      },
    };
  }
}

/** Where the first empty line ends; `null` while it isn't there. Lines end with LF, with or without CR (RFC 9112, 2.2). */
function endOfHead(bytes: Buffer): number | null {
  const ends = ['\n\r\n', '\n\n'].map(mark => {
    const at = bytes.indexOf(mark, 0, 'latin1');
    return at === -1 ? Infinity : at + mark.length;
  });
  const end = Math.min(...ends);
  return Number.isFinite(end) ? end : null;
}
