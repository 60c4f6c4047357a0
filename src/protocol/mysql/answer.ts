// Checks the answer to one query packet by packet, so that the driver's readers, which trust their peer, get only what
// can't lead them astray. Not a parser of values. Pure but for its own place in the answer; one per query.
// Formats: MySQL Source Documentation, "Text Resultset" (with EOF packets: we don't announce DEPRECATE_EOF).

import { MYSQL_ANSWER_MAX_BYTES } from '../../core/limits.ts';
import { decodeError, markers, PLAIN_OK } from './packets.ts';

const COLUMNS_MAX = 256;
const MORE_RESULTS = 0x8;
/** An EOF packet has 5 bytes; a longer one with its mark is a row. */
const EOF_MAX_BYTES = 8;
const FIXED_FIELDS_BYTES = 12;

export type Checked =
  | { readonly kind: 'bad'; readonly detail: string }
  /** What to hand on in place of the packet, and whether the answer is complete with it. */
  | { readonly kind: 'ok'; readonly payload: Uint8Array; readonly complete: boolean };

type Place =
  | { readonly kind: 'start' | 'columns-end' | 'rows' | 'complete' }
  | { readonly kind: 'columns'; readonly left: number };

export class AnswerCheck {
  #place: Place = { kind: 'start' };
  #columns = 0;
  #bytes = 0;

  /** The next packet of the answer. After `bad` nothing more may follow. */
  next(payload: Uint8Array): Checked {
    this.#bytes += payload.length;
    if (this.#bytes > MYSQL_ANSWER_MAX_BYTES) {
      return bad(`an answer of more than ${MYSQL_ANSWER_MAX_BYTES} bytes`);
    }
    if (this.#place.kind === 'complete') return bad('a packet after the answer');
    if (payload[0] === markers.ERR) {
      return decodeError(payload) === null ? bad('an error that is cut short') : this.#last(payload);
    }
    switch (this.#place.kind) {
      case 'start':
        return this.#start(payload);
      case 'columns':
        return this.#column(payload, this.#place.left);
      case 'columns-end':
        if (!isEof(payload)) return bad('no end of the columns');
        return this.#go({ kind: 'rows' }, eof(0));
      case 'rows':
        return this.#row(payload);
    }
  }

  #start(payload: Uint8Array): Checked {
    if (payload[0] === markers.OK) return this.#last(PLAIN_OK);
    const count = readLength(payload, 0);
    if (count === null || count.at !== payload.length || count.value < 1 || count.value > COLUMNS_MAX) {
      return bad('no answer to a query');
    }
    this.#columns = count.value;
    return this.#go({ kind: 'columns', left: count.value }, payload);
  }

  #column(payload: Uint8Array, left: number): Checked {
    // catalog, schema, table, its own name, the column's name, its own name
    const at = skipStrings(payload, 6, false);
    if (at === null || payload[at] !== FIXED_FIELDS_BYTES || payload.length !== at + 1 + FIXED_FIELDS_BYTES) {
      return bad('a malformed column');
    }
    return this.#go(left === 1 ? { kind: 'columns-end' } : { kind: 'columns', left: left - 1 }, payload);
  }

  #row(payload: Uint8Array): Checked {
    if (isEof(payload)) {
      const more = ((payload[3] ?? 0) & MORE_RESULTS) !== 0;
      return more ? this.#go({ kind: 'start' }, eof(MORE_RESULTS)) : this.#last(eof(0));
    }
    return skipStrings(payload, this.#columns, true) === payload.length
      ? this.#go(this.#place, payload)
      : bad('a malformed row');
  }

  #go(place: Place, payload: Uint8Array): Checked {
    this.#place = place;
    return { kind: 'ok', payload, complete: false };
  }

  #last(payload: Uint8Array): Checked {
    this.#place = { kind: 'complete' };
    return { kind: 'ok', payload, complete: true };
  }
}

function bad(detail: string): Checked {
  return { kind: 'bad', detail };
}

function isEof(payload: Uint8Array): boolean {
  return payload[0] === markers.EOF && payload.length >= 5 && payload.length <= EOF_MAX_BYTES;
}

function eof(status: number): Uint8Array {
  return Uint8Array.of(markers.EOF, 0, 0, status, 0);
}

/** A length-encoded integer, and where it ends; `null`: none, or above 2^32. */
function readLength(bytes: Uint8Array, at: number): { value: number; at: number } | null {
  const first = bytes[at];
  if (first === undefined || first === markers.LOCAL_INFILE || first === markers.ERR) return null;
  if (first < markers.LOCAL_INFILE) return { value: first, at: at + 1 };
  const size = first === 0xfc ? 2 : first === 0xfd ? 3 : 8;
  if (bytes.length < at + 1 + size) return null;
  let value = 0;
  for (let i = size; i > 0; i -= 1) value = value * 256 + (bytes[at + i] ?? 0);
  return value <= 0xffff_ffff ? { value, at: at + 1 + size } : null;
}

/** Where the last of `count` length-encoded strings ends; `null`: they aren't all there. */
function skipStrings(bytes: Uint8Array, count: number, nullsAllowed: boolean): number | null {
  let at = 0;
  for (let i = 0; i < count; i += 1) {
    if (nullsAllowed && bytes[at] === markers.LOCAL_INFILE) {
      at += 1; // in a row this byte is NULL
      continue;
    }
    const length = readLength(bytes, at);
    if (length === null || length.at + length.value > bytes.length) return null;
    at = length.at + length.value;
  }
  return at;
}
