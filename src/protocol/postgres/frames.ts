// What a PostgreSQL server sends on a probe session, checked byte for byte before pg-protocol's parser sees it.
// That parser trusts its peer: it loops on an unterminated ErrorResponse, reads past a frame's end and has no limit.
// Not for client sessions (those pass through untouched). Used through a Framer by health/probers/postgres.
// Formats: PostgreSQL documentation, page 55.7 "Message Formats", protocol 3.0.

import { Parser } from 'pg-protocol/dist/parser.js';
import {
  AuthenticationMD5Password,
  DatabaseError,
  DataRowMessage,
  NoticeMessage,
  ParameterStatusMessage,
  type BackendMessage,
} from 'pg-protocol/dist/messages.js';
import { describeError } from '../../core/errors.ts';
import { PROBE_FRAME_MAX_BYTES, truncate } from '../../core/limits.ts';
import { type Decode } from '../decode.ts';

const HEADER_BYTES = 5;

export type AuthRequest =
  | { readonly method: 'ok' | 'cleartext' }
  | { readonly method: 'md5'; readonly salt: Uint8Array }
  | { readonly method: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly method: 'sasl-continue' | 'sasl-final'; readonly data: string }
  /** GSS, SSPI, Kerberos and whatever comes: known to the protocol, not to the probe. */
  | { readonly method: 'unsupported'; readonly type: number };

export type ServerMessage =
  | { readonly kind: 'auth'; readonly request: AuthRequest }
  | { readonly kind: 'parameter'; readonly name: string; readonly value: string }
  | { readonly kind: 'error' | 'notice'; readonly error: ServerError }
  | { readonly kind: 'row'; readonly values: readonly (string | null)[] }
  /** Somebody has told something on a channel that this session listens to; what, is in the answer to the next question. */
  | { readonly kind: 'notification' }
  /** `inTransaction`: one was begun and not ended, whether it failed or not. */
  | { readonly kind: 'ready'; readonly inTransaction: boolean }
  /** Allowed, and of no interest to a probe: BackendKeyData, RowDescription, CommandComplete, EmptyQueryResponse. */
  | { readonly kind: 'other' };

/** The server's own words, truncated. */
export interface ServerError {
  /** `FATAL`, `ERROR`, …: in the server's language. */
  readonly severity: string;
  /** Empty where the server gave none. */
  readonly sqlstate: string;
  readonly message: string;
}

const authTypes = { ok: 0, cleartext: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 } as const;

/**
 * Reads one message. Bad bytes are `WIRE_MALFORMED`, and a message above PROBE_FRAME_MAX_BYTES is `WIRE_TOO_LARGE`
 * as soon as its header is there. Types that no answer to a probe has are refused.
 */
export function decodeServerMessage(bytes: Uint8Array): Decode<ServerMessage> {
  const letter = String.fromCharCode(bytes[0] ?? 0);
  if (bytes.length > 0 && !(letter in bodyChecks)) {
    return malformed(`a message of type 0x${(bytes[0] ?? 0).toString(16).padStart(2, '0')}`);
  }
  if (bytes.length < HEADER_BYTES) return { kind: 'need', bytes: HEADER_BYTES - bytes.length };
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(1);
  if (length > PROBE_FRAME_MAX_BYTES) {
    return { kind: 'bad', code: 'WIRE_TOO_LARGE', detail: `a message of ${length} bytes, type ${letter}` };
  }
  if (length < 4) return malformed(`a message of length ${length}`);
  if (bytes.length < 1 + length) return { kind: 'need', bytes: 1 + length - bytes.length };

  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, 1 + length);
  const body = frame.subarray(HEADER_BYTES);
  const problem = bodyChecks[letter as keyof typeof bodyChecks](body);
  if (problem !== null) return malformed(`${problem} in a message of type ${letter}`);
  const value = letter === 'R' ? readAuth(body, frame) : parse(frame);
  if (typeof value === 'string') return malformed(value);
  return { kind: 'ok', value, consumed: 1 + length };
}

const malformed = (detail: string): Decode<never> => ({ kind: 'bad', code: 'WIRE_MALFORMED', detail });

type BodyCheck = (body: Buffer) => string | null;

const cStrings =
  (count: number): BodyCheck =>
  body => {
    let offset = 0;
    for (let i = 0; i < count; i += 1) {
      const nul = body.indexOf(0, offset);
      if (nul === -1) return 'an unterminated text';
      offset = nul + 1;
    }
    return offset === body.length ? null : 'bytes after the last text';
  };

const exactly =
  (bytes: number): BodyCheck =>
  body =>
    body.length === bytes ? null : `${body.length} instead of ${bytes} bytes`;

/** Pairs of a type byte and a text, ended by a zero byte that is the last one. */
const errorFields: BodyCheck = body => {
  let offset = 0;
  while (body[offset] !== 0) {
    const nul = body.indexOf(0, offset + 1);
    if (offset >= body.length || nul === -1) return 'an unterminated field';
    offset = nul + 1;
  }
  return offset === body.length - 1 ? null : 'bytes after the last field';
};

/** A process id, a channel, a payload. */
const notification: BodyCheck = body => (body.length < 4 ? 'no process id' : cStrings(2)(body.subarray(4)));

const rowDescription: BodyCheck = body => {
  if (body.length < 2) return 'no field count';
  const count = body.readInt16BE(0);
  let offset = 2;
  for (let i = 0; i < count; i += 1) {
    const nul = body.indexOf(0, offset);
    if (nul === -1 || nul + 19 > body.length) return 'a truncated field';
    offset = nul + 19;
  }
  return count >= 0 && offset === body.length ? null : 'a wrong field count';
};

const dataRow: BodyCheck = body => {
  if (body.length < 2) return 'no field count';
  const count = body.readInt16BE(0);
  let offset = 2;
  for (let i = 0; i < count; i += 1) {
    if (offset + 4 > body.length) return 'a truncated field';
    const size = body.readInt32BE(offset);
    if (size < -1) return 'a negative field size';
    offset += 4 + Math.max(size, 0);
  }
  return count >= 0 && offset === body.length ? null : 'a wrong field size or count';
};

const authentication: BodyCheck = body => {
  if (body.length < 4) return 'no request type';
  const rest = body.subarray(4);
  switch (body.readInt32BE(0)) {
    case authTypes.ok:
    case authTypes.cleartext:
      return exactly(0)(rest);
    case authTypes.md5:
      return exactly(4)(rest);
    case authTypes.sasl:
      // A list of texts that ends with an empty one.
      return rest.length === 1 || (rest.at(-1) === 0 && rest.at(-2) === 0)
        ? mechanismList(rest)
        : 'an unterminated list';
    default:
      return null;
  }
};

const mechanismList: BodyCheck = rest => {
  let offset = 0;
  while (offset < rest.length - 1) {
    const nul = rest.indexOf(0, offset);
    if (nul === offset) return 'bytes after the list';
    offset = nul + 1;
  }
  return rest[offset] === 0 ? null : 'an unterminated list';
};

/** Every message type that an answer to a probe may have, and what its body must look like. */
const bodyChecks = {
  R: authentication,
  A: notification,
  S: cStrings(2),
  K: exactly(8),
  E: errorFields,
  N: errorFields,
  T: rowDescription,
  D: dataRow,
  C: cStrings(1),
  I: exactly(0),
  Z: exactly(1),
} satisfies Record<string, BodyCheck>;

function readAuth(body: Buffer, frame: Buffer): ServerMessage | string {
  const type = body.readInt32BE(0);
  const known: readonly number[] = Object.values(authTypes);
  // pg-protocol throws on the others, but a server that asks for Kerberos is a PostgreSQL server all the same.
  if (!known.includes(type)) return { kind: 'auth', request: { method: 'unsupported', type } };
  return parse(frame);
}

/** One checked frame through pg-protocol. A text is what it threw. */
function parse(frame: Buffer): ServerMessage | string {
  const messages: BackendMessage[] = [];
  try {
    new Parser().parse(frame, message => messages.push(message));
  } catch (thrown) {
    return truncate(describeError(thrown).message);
  }
  const [message] = messages;
  return message === undefined ? 'an incomplete message' : toServerMessage(message);
}

function toServerMessage(message: BackendMessage): ServerMessage {
  if (message instanceof DataRowMessage) return { kind: 'row', values: message.fields as (string | null)[] };
  if (message instanceof ParameterStatusMessage) {
    return { kind: 'parameter', name: message.parameterName, value: message.parameterValue };
  }
  if (message instanceof DatabaseError) return { kind: 'error', error: toServerError(message) };
  if (message instanceof NoticeMessage) return { kind: 'notice', error: toServerError(message) };
  if (message instanceof AuthenticationMD5Password) {
    return { kind: 'auth', request: { method: 'md5', salt: Uint8Array.from(message.salt) } };
  }
  switch (message.name) {
    case 'readyForQuery':
      return { kind: 'ready', inTransaction: (message as unknown as ReadyStatus).status !== 'I' };
    case 'notification':
      return { kind: 'notification' };
    case 'authenticationOk':
      return { kind: 'auth', request: { method: 'ok' } };
    case 'authenticationCleartextPassword':
      return { kind: 'auth', request: { method: 'cleartext' } };
    case 'authenticationSASL':
      return {
        kind: 'auth',
        request: { method: 'sasl', mechanisms: (message as unknown as SaslList).mechanisms },
      };
    case 'authenticationSASLContinue':
      return {
        kind: 'auth',
        request: { method: 'sasl-continue', data: (message as unknown as SaslData).data },
      };
    case 'authenticationSASLFinal':
      return { kind: 'auth', request: { method: 'sasl-final', data: (message as unknown as SaslData).data } };
    default:
      return { kind: 'other' };
  }
}

/** What pg-protocol adds to these messages without a type of its own. */
interface ReadyStatus {
  readonly status: string;
}
interface SaslList {
  readonly mechanisms: readonly string[];
}
interface SaslData {
  readonly data: string;
}

function toServerError(error: DatabaseError | NoticeMessage): ServerError {
  return {
    severity: truncate(error.severity ?? '', 20),
    sqlstate: truncate(error.code ?? '', 5),
    message: truncate(error.message ?? ''),
  };
}
