// Follows what a server sends at the start of a plain-text session until it names the cancel key (BackendKeyData).
// Not a parser of the session: it keeps under 300 bytes, skips every other message and stops at the first surprise.
// Called by the proxy, which needs the key to send a client's CancelRequest to the right server.
// Formats: PostgreSQL documentation, page 55.7 "Message Formats" (BackendKeyData, SSLRequest, GSSENCRequest).

import { PROBE_FRAME_MAX_BYTES } from '../../core/limits.ts';

const HEADER_BYTES = 5;
const KEY_FRAME_MIN_LENGTH = 12; // length field, process id, 4 bytes of key
const KEY_FRAME_MAX_LENGTH = 264; // the same with 256 bytes of key (protocol 3.2)
/** A client asks for GSS and for TLS at most once each; more one-byte answers are no PostgreSQL server. */
const ANSWERS_MAX = 2;

const type = {
  answerNo: 0x4e,
  answerTls: 0x53,
  answerGss: 0x47,
  key: 0x4b,
  ready: 0x5a,
  error: 0x45,
} as const;
/** What may come before the key: Authentication, ParameterStatus, NoticeResponse, NegotiateProtocolVersion. */
const skipped: ReadonlySet<number> = new Set([0x52, 0x53, 0x4e, 0x76]);

export type BackendKeyState =
  /** Still looking: feed it the next chunk. The fields are its own. */
  | {
      readonly kind: 'reading';
      readonly answers: number;
      readonly negotiating: boolean;
      readonly skip: number;
      readonly partial: Uint8Array;
    }
  | { readonly kind: 'found'; readonly pid: number; readonly key: Uint8Array }
  /** There is no key to be had: encrypted, refused, without one, or not PostgreSQL. */
  | { readonly kind: 'none'; readonly reason: string };

type Reading = Extract<BackendKeyState, { kind: 'reading' }>;

/** `sent` is the first packet the client sent to this server. */
export function startBackendKey(sent: 'startup' | 'ssl-request' | 'gssenc-request'): BackendKeyState {
  return {
    kind: 'reading',
    answers: 0,
    negotiating: sent !== 'startup',
    skip: 0,
    partial: new Uint8Array(0),
  };
}

/** The state after `chunk`, the next bytes from the server. A state other than `reading` stays as it is. */
export function observeBackendKey(state: BackendKeyState, chunk: Uint8Array): BackendKeyState {
  let current = state;
  let offset = 0;
  while (current.kind === 'reading' && offset < chunk.length) {
    if (current.skip > 0) {
      const skipping = Math.min(current.skip, chunk.length - offset);
      current = { ...current, skip: current.skip - skipping };
      offset += skipping;
      continue;
    }
    const whole = wholeToSkip(current, chunk, offset);
    if (whole > 0) {
      offset += whole;
      continue;
    }
    const partial = new Uint8Array(current.partial.length + 1);
    partial.set(current.partial);
    partial[current.partial.length] = chunk[offset] ?? 0;
    offset += 1;
    current = current.negotiating ? negotiate(current, partial) : read(current, partial);
  }
  return current;
}

/** Bytes of a message that can be skipped and lies in `chunk` as a whole, as nearly all do; else 0, and byte by byte. */
function wholeToSkip({ negotiating, partial }: Reading, chunk: Uint8Array, offset: number): number {
  if (negotiating || partial.length > 0 || !skipped.has(chunk[offset] ?? 0)) return 0;
  if (offset + HEADER_BYTES > chunk.length) return 0;
  const length = new DataView(chunk.buffer, chunk.byteOffset + offset + 1, 4).getUint32(0);
  const fits = length >= 4 && length <= PROBE_FRAME_MAX_BYTES && offset + 1 + length <= chunk.length;
  return fits ? 1 + length : 0;
}

/** One byte more while the answer to SSLRequest or GSSENCRequest is due. */
function negotiate(state: Reading, partial: Uint8Array): BackendKeyState {
  const [first, second] = partial;
  if (first === type.answerTls || first === type.answerGss) return none('the session is encrypted');
  if (first !== type.answerNo) return read({ ...state, negotiating: false }, partial);
  if (second === undefined) return { ...state, partial };
  // A NoticeResponse has the letter of a refusal, but its length starts with a zero byte; no message type is zero.
  if (second === 0) return read({ ...state, negotiating: false }, partial);
  const answers = state.answers + 1;
  if (answers > ANSWERS_MAX) return none('not a PostgreSQL server');
  return negotiate({ ...state, answers }, partial.subarray(1));
}

/** One byte more of a message: its header, or the whole of BackendKeyData. */
function read(state: Reading, partial: Uint8Array): BackendKeyState {
  const first = partial[0] ?? 0;
  if (first === type.error) return none('the server refused the session');
  if (first === type.ready) return none('the server gave no key');
  if (first !== type.key && !skipped.has(first)) return none('not a PostgreSQL server');
  if (partial.length < HEADER_BYTES) return { ...state, partial };

  const view = new DataView(partial.buffer, partial.byteOffset, partial.byteLength);
  const length = view.getUint32(1);
  if (first !== type.key) {
    if (length < 4 || length > PROBE_FRAME_MAX_BYTES) return none('not a PostgreSQL server');
    return { ...state, skip: length - 4, partial: new Uint8Array(0) };
  }
  if (length < KEY_FRAME_MIN_LENGTH || length > KEY_FRAME_MAX_LENGTH) return none('not a PostgreSQL server');
  if (partial.length < 1 + length) return { ...state, partial };
  return {
    kind: 'found',
    pid: view.getInt32(HEADER_BYTES),
    key: Uint8Array.from(partial.subarray(HEADER_BYTES + 4)),
  };
}

const none = (reason: string): BackendKeyState => ({ kind: 'none', reason });
