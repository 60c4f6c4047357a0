// The start of a PostgreSQL connection as a proxy sees it: what a client sends first, and what we may answer.
// Not the probe's own session (frames.ts) and not authentication. Pure: bytes in, values or bytes out.
// Called by the proxy for new clients. Formats: PostgreSQL documentation, chapter 55 "Frontend/Backend Protocol",
// page 55.7 "Message Formats".

import { POSTGRES_STARTUP_MAX_BYTES } from '../../core/limits.ts';
import { type Decode } from '../decode.ts';

const TLS_HANDSHAKE_RECORD = 0x16;
const PROTOCOL_MAJOR = 3;
const REQUEST_MAJOR = 1234; // the "version" of packets that aren't a startup: no real protocol will have it
const CANCEL_MINOR = 5678;
const SSL_MINOR = 5679;
const GSSENC_MINOR = 5680;
const HEADER_BYTES = 8;
const KEY_MIN_BYTES = 4;
const KEY_MAX_BYTES = 256;

interface ProtocolVersion {
  readonly major: number;
  readonly minor: number;
}

export type FirstPacket =
  | { readonly kind: 'ssl-request' }
  | { readonly kind: 'gssenc-request' }
  /** `key` has 4 bytes up to protocol 3.0, and up to 256 from 3.2 on. A copy: the input may be reused. */
  | { readonly kind: 'cancel'; readonly pid: number; readonly key: Uint8Array }
  | {
      readonly kind: 'startup';
      readonly protocol: ProtocolVersion;
      readonly user: string | null;
      /** `null`: the server takes the name of the user. */
      readonly database: string | null;
      readonly applicationName: string | null;
    }
  /** A TLS ClientHello without an SSLRequest before it (PostgreSQL 17, `sslnegotiation=direct`); consumes nothing. */
  | { readonly kind: 'direct-tls' };

/**
 * Reads one packet of those that have no type byte: StartupMessage, SSLRequest, GSSENCRequest, CancelRequest.
 * May be called again with more bytes at the front of the same buffer; `need.bytes` is how many are missing at least.
 * Refuses as soon as the bytes rule a packet out, whatever the pieces they came in:
 * `WIRE_TOO_LARGE` above POSTGRES_STARTUP_MAX_BYTES, `WIRE_MALFORMED` for everything else.
 */
export function decodeFirstPacket(bytes: Uint8Array): Decode<FirstPacket> {
  const [first, second] = bytes;
  if (first === undefined) return { kind: 'need', bytes: 1 };
  if (first === TLS_HANDSHAKE_RECORD) return { kind: 'ok', value: { kind: 'direct-tls' }, consumed: 0 };
  // A length of 16 MiB or more is text of another protocol (an HTTP verb), not a large packet.
  if (first !== 0) return malformed('the first byte is not that of a PostgreSQL client');
  if (second !== undefined && second !== 0) return tooLarge();
  if (bytes.length < 4) return { kind: 'need', bytes: HEADER_BYTES - bytes.length };

  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0);
  if (length > POSTGRES_STARTUP_MAX_BYTES) return tooLarge();
  if (length < HEADER_BYTES) return malformed(`a first packet of ${length} bytes`);
  if (bytes.length < length) return { kind: 'need', bytes: length - bytes.length };

  const major = view.getUint16(4);
  const minor = view.getUint16(6);
  const body = bytes.subarray(HEADER_BYTES, length);
  if (major === REQUEST_MAJOR) return decodeRequest(minor, body);
  if (major !== PROTOCOL_MAJOR) return malformed(`protocol version ${major}.${minor}`);
  return decodeStartup({ major, minor }, body);
}

function decodeRequest(minor: number, body: Uint8Array): Decode<FirstPacket> {
  const consumed = HEADER_BYTES + body.length;
  if (minor === CANCEL_MINOR) {
    const key = body.subarray(4);
    if (key.length < KEY_MIN_BYTES || key.length > KEY_MAX_BYTES) {
      return malformed(`a CancelRequest of ${consumed} bytes`);
    }
    const pid = new DataView(body.buffer, body.byteOffset, body.byteLength).getInt32(0);
    return { kind: 'ok', value: { kind: 'cancel', pid, key: Uint8Array.from(key) }, consumed };
  }
  const kind = minor === SSL_MINOR ? 'ssl-request' : minor === GSSENC_MINOR ? 'gssenc-request' : null;
  if (kind === null) return malformed(`request code ${minor}`);
  if (body.length > 0) return malformed(`an ${kind} of ${consumed} bytes`);
  return { kind: 'ok', value: { kind }, consumed };
}

/** Name and value pairs, each NUL-terminated, and one NUL that must be the last byte. Of a repeated name the last counts, as in the server. */
function decodeStartup(protocol: ProtocolVersion, body: Uint8Array): Decode<FirstPacket> {
  const parameters = new Map<string, string>();
  let offset = 0;
  for (;;) {
    const name = readCString(body, offset);
    if (name === null) return malformed('a startup packet without its terminator');
    offset = name.end;
    if (name.text === '') break;
    const value = readCString(body, offset);
    if (value === null) return malformed('a startup parameter without its value');
    offset = value.end;
    parameters.set(name.text, value.text);
  }
  if (offset !== body.length) return malformed('bytes after the end of a startup packet');
  return {
    kind: 'ok',
    value: {
      kind: 'startup',
      protocol,
      user: parameters.get('user') ?? null,
      database: parameters.get('database') ?? null,
      applicationName: parameters.get('application_name') ?? null,
    },
    consumed: HEADER_BYTES + body.length,
  };
}

function readCString(bytes: Uint8Array, offset: number): { text: string; end: number } | null {
  const nul = bytes.indexOf(0, offset);
  if (nul === -1) return null;
  return { text: new TextDecoder().decode(bytes.subarray(offset, nul)), end: nul + 1 };
}

const malformed = (detail: string): Decode<never> => ({ kind: 'bad', code: 'WIRE_MALFORMED', detail });
const tooLarge = (): Decode<never> => ({
  kind: 'bad',
  code: 'WIRE_TOO_LARGE',
  detail: `a first packet above ${POSTGRES_STARTUP_MAX_BYTES} bytes`,
});

/** The one-byte answer to SSLRequest and GSSENCRequest that says: go on in plain text. */
export const REFUSE_ENCRYPTION: Uint8Array = Uint8Array.of(0x4e);

/** The one to SSLRequest that says: begin with TLS. */
export const ACCEPT_TLS: Uint8Array = Uint8Array.of(0x53);

/** Asks a server for TLS. */
export const SSL_REQUEST: Uint8Array = Uint8Array.of(0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f);

interface ErrorFields {
  readonly severity: 'ERROR' | 'FATAL';
  /** Five characters, such as `57P03`. */
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
}

/** An ErrorResponse (type `E`), as a client library shows it. A NUL inside a text becomes a space: it would end the field. */
export function errorResponse(fields: ErrorFields): Uint8Array {
  const texts: [string, string | undefined][] = [
    ['S', fields.severity],
    ['V', fields.severity],
    ['C', fields.sqlstate],
    ['M', fields.message],
    ['D', fields.detail],
    ['H', fields.hint],
  ];
  let body = '';
  for (const [type, text] of texts) {
    if (text !== undefined) body += `${type}${text.replaceAll('\0', ' ')}\0`;
  }
  const encoded = new TextEncoder().encode(`${body}\0`);
  const frame = new Uint8Array(5 + encoded.length);
  frame[0] = 0x45;
  new DataView(frame.buffer).setUint32(1, 4 + encoded.length);
  frame.set(encoded, 5);
  return frame;
}
