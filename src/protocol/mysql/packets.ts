// What a MySQL or MariaDB server says during a login: packets, its greeting, its errors; and the few packets of ours that
// the driver doesn't write. Pure, bounded. Not the answers to a query (answer.ts). Used by probe sessions.
// Formats: MySQL Source Documentation, "Protocol Basics" and "Connection Phase"; MariaDB documentation, "Connecting".

import { MYSQL_PACKET_MAX_BYTES } from '../../core/limits.ts';
import { type Decode } from '../decode.ts';

const HEADER_BYTES = 4;
const SCRAMBLE_BYTES = 20;
const SQL_STATE_MARK = 0x23;

/** Capability flags (MySQL Source Documentation, "Capabilities Flags"). */
export const capabilities = {
  CONNECT_WITH_DB: 0x8,
  PROTOCOL_41: 0x200,
  SSL: 0x800,
  SECURE_CONNECTION: 0x8000,
  PLUGIN_AUTH: 0x80000,
  CONNECT_ATTRS: 0x100000,
} as const;

const NOBODYS_FLAGS =
  capabilities.CONNECT_WITH_DB |
  capabilities.PROTOCOL_41 |
  capabilities.SECURE_CONNECTION |
  capabilities.PLUGIN_AUTH |
  capabilities.CONNECT_ATTRS;

/** What the driver is told that a server can do: nothing of which its readers would need more than we have checked. */
const KEPT_CAPABILITIES =
  0x1 | // long passwords; unset it would mean MariaDB's own extensions
  0x4 | // long column flags
  0x8 | // a database with the login
  0x200 | // protocol 4.1
  0x2000 | // transaction flags
  0x8000 | // 4.1 passwords
  0x20000 | // several results, as stored procedures give
  0x80000 | // authentication plugins
  0x200000; // their data may be longer than 255 bytes

export const markers = { OK: 0x00, MORE_DATA: 0x01, LOCAL_INFILE: 0xfb, EOF: 0xfe, ERR: 0xff } as const;

export interface Packet {
  readonly sequence: number;
  /** At least one byte. */
  readonly payload: Uint8Array;
}

/** One packet. Empty ones, and those above the limit, are none that a probe may receive. */
export function decodePacket(bytes: Uint8Array): Decode<Packet> {
  if (bytes.length < HEADER_BYTES) return { kind: 'need', bytes: HEADER_BYTES - bytes.length };
  const [low = 0, middle = 0, high = 0, sequence = 0] = bytes;
  const length = low | (middle << 8) | (high << 16);
  if (length === 0) return { kind: 'bad', code: 'WIRE_MALFORMED', detail: 'an empty packet' };
  if (length > MYSQL_PACKET_MAX_BYTES) {
    return { kind: 'bad', code: 'WIRE_TOO_LARGE', detail: `a packet of ${length} bytes` };
  }
  const end = HEADER_BYTES + length;
  if (bytes.length < end) return { kind: 'need', bytes: end - bytes.length };
  return { kind: 'ok', value: { sequence, payload: bytes.subarray(HEADER_BYTES, end) }, consumed: end };
}

export function encodePacket(sequence: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + payload.length);
  bytes.writeUIntLE(payload.length, 0, 3);
  bytes.writeUInt8(sequence & 0xff, 3);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

export interface Greeting {
  /** As the server writes it, without the `5.5.5-` that MariaDB puts before it for old clients. */
  readonly version: string;
  readonly connectionId: number;
  readonly capabilities: number;
  /** 20 bytes. */
  readonly scramble: Uint8Array;
  readonly authPlugin: string;
}

/** A string: why it is no greeting that a login can follow. Servers since MySQL 5.5 and MariaDB 5.5. */
export function decodeGreeting(payload: Uint8Array): Greeting | string {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  if (bytes[0] !== 10) return `protocol version ${bytes[0] ?? 'none'} instead of 10`;
  const versionEnd = bytes.indexOf(0, 1);
  if (versionEnd < 0) return 'a version without an end';
  const at = versionEnd + 1;
  // connection id 4, scramble 8, filler 1, capabilities 2, charset 1, status 2, capabilities 2, length 1, reserved 10
  if (bytes.length < at + 31 + 13) return 'a greeting that is cut short, or of a server before 5.5';
  const flags = (bytes.readUInt16LE(at + 13) | (bytes.readUInt16LE(at + 18) << 16)) >>> 0;
  const needed = capabilities.PROTOCOL_41 | capabilities.SECURE_CONNECTION | capabilities.PLUGIN_AUTH;
  if ((flags & needed) !== needed) return 'a server without authentication plugins (before 5.5)';
  const scrambleEnd = at + 31 + Math.max(13, bytes.readUInt8(at + 20) - 8);
  const pluginEnd = bytes.indexOf(0, scrambleEnd);
  return {
    version: bytes.toString('latin1', 1, versionEnd).replace(/^5\.5\.5-/, ''),
    connectionId: bytes.readUInt32LE(at),
    capabilities: flags,
    scramble: Buffer.concat([
      bytes.subarray(at + 4, at + 12),
      bytes.subarray(at + 31, at + 31 + SCRAMBLE_BYTES - 8),
    ]),
    authPlugin: bytes.toString('latin1', scrambleEnd, pluginEnd < 0 ? bytes.length : pluginEnd),
  };
}

/** The greeting again, in the one form that the driver gets to read, whoever wrote the first. */
export function encodeGreeting(greeting: Greeting): Buffer {
  const flags = greeting.capabilities & KEPT_CAPABILITIES;
  const fixed = Buffer.alloc(31);
  fixed.writeUInt32LE(greeting.connectionId, 0);
  fixed.set(greeting.scramble.subarray(0, 8), 4);
  fixed.writeUInt16LE(flags & 0xffff, 13);
  fixed.writeUInt8(45, 15); // utf8mb4
  fixed.writeUInt16LE(2, 16); // autocommit
  fixed.writeUInt16LE(flags >>> 16, 18);
  fixed.writeUInt8(SCRAMBLE_BYTES + 1, 20);
  return Buffer.concat([
    Buffer.from(`\x0a${greeting.version.slice(0, 100)}\0`, 'latin1'),
    fixed,
    greeting.scramble.subarray(8),
    Buffer.from(`\0${greeting.authPlugin.slice(0, 64)}\0`, 'latin1'),
  ]);
}

export interface ServerError {
  readonly errno: number;
  /** Errors before the login come without one. */
  readonly sqlState: string | null;
  readonly message: string;
}

/** `null`: not an ERR packet. */
export function decodeError(payload: Uint8Array): ServerError | null {
  if (payload[0] !== markers.ERR || payload.length < 3) return null;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const marked = bytes[3] === SQL_STATE_MARK && bytes.length >= 9;
  return {
    errno: bytes.readUInt16LE(1),
    sqlState: marked ? bytes.toString('latin1', 4, 9) : null,
    message: bytes.toString('utf8', marked ? 9 : 3),
  };
}

/** Name of the plugin that an AuthSwitchRequest asks for; `null`: it is none. */
export function requestedPlugin(payload: Uint8Array): string | null {
  if (payload[0] !== markers.EOF) return null;
  const end = payload.indexOf(0, 1);
  // A lone 0xfe asks for the password hash of MySQL 4.0.
  if (end < 0) return payload.length === 1 ? 'mysql_old_password' : null;
  return Buffer.from(payload.subarray(1, end)).toString('latin1');
}

const LOGIN_HEAD_BYTES = 32;

/** A SSLRequest is the head of the login that follows it. */
export function sslRequestOf(loginPayload: Uint8Array): Uint8Array {
  return loginPayload.subarray(0, LOGIN_HEAD_BYTES);
}

/**
 * A login of nobody: ends a handshake that can't go on, in an order that the server doesn't count as an error.
 * `sslRequest`: the one sent before it, by whose flags the server reads it.
 */
export function loginOfNobody(sslRequest: Uint8Array | null): Uint8Array {
  const head = Buffer.alloc(LOGIN_HEAD_BYTES);
  head.writeUInt32LE(NOBODYS_FLAGS, 0);
  head.writeUInt8(45, 8);
  // No user, no password, no database, the plugin, no attributes.
  return Buffer.concat([sslRequest ?? head, Buffer.from('\0\0\0mysql_native_password\0\0', 'latin1')]);
}

/** Lengths of what plugins take for an answer: one of another length would be a broken handshake, and count as one. */
const answerBytes: Readonly<Record<string, number>> = {
  mysql_native_password: 20,
  caching_sha2_password: 32,
  client_ed25519: 64,
};

/** An answer to a plugin that is in form and wrong, so that the server says no. */
export function refusableAnswer(plugin: string): Uint8Array {
  return new Uint8Array(answerBytes[plugin] ?? 1);
}

/** COM_QUIT. */
export const QUIT = encodePacket(0, Uint8Array.of(1));
/** An OK packet with nothing to tell. */
export const PLAIN_OK = Uint8Array.of(0, 0, 0, 2, 0, 0, 0);
