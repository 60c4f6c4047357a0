// Reads one PROXY header of either version from the beginning of a connection. Strict: what the specification doesn't allow
// is refused as soon as the bytes rule it out, whatever pieces they come in. Pure.
// Called by the session for clients that come through a trusted proxy.

import { isIPv4, isIPv6 } from 'node:net';
import { PROXY_HEADER_MAX_BYTES } from '../../core/limits.ts';
import { type Decode } from '../decode.ts';
import { crc32c } from './crc32c.ts';
import {
  noTlvs,
  TLV_CRC32C,
  TLV_HEAD_BYTES,
  TLV_NOOP,
  V1_BEGIN,
  V1_MAX_BYTES,
  V2_ADDRESS_BYTES,
  V2_COMMANDS,
  V2_FAMILIES,
  V2_FIXED_BYTES,
  V2_SIGNATURE,
  V2_STREAM,
  V2_VERSION,
  type Announcement,
  type Ends,
} from './header.ts';

const CR = 13;
const LF = 10;
const CRC_BYTES = 4;

const unnamed: Announcement = { ends: null, tlvs: noTlvs };

/** May be called again with more bytes at the front; `need.bytes` is how many are missing at least. Never throws. */
export function decodeProxyHeader(bytes: Uint8Array): Decode<Announcement> {
  const [first] = bytes;
  if (first === undefined) return { kind: 'need', bytes: 1 };
  if (first === V2_SIGNATURE[0]) return decodeV2(bytes);
  return decodeV1(bytes);
}

function decodeV1(bytes: Uint8Array): Decode<Announcement> {
  for (let at = 0; at < V1_BEGIN.length && at < bytes.length; at += 1) {
    if (bytes[at] !== V1_BEGIN.charCodeAt(at)) return bad('no PROXY header');
  }
  const line = bytes.subarray(0, V1_MAX_BYTES);
  const cr = line.indexOf(CR);
  if (line.subarray(0, cr === -1 ? line.length : cr).some(byte => byte < 0x20 || byte > 0x7e)) {
    return bad('a sign in it that no PROXY line has');
  }
  if (cr === -1 || cr + 1 === line.length) {
    // Without its end in 107 bytes it never has one.
    if (line.length === V1_MAX_BYTES) return bad(`a PROXY line of more than ${V1_MAX_BYTES} bytes`);
    return { kind: 'need', bytes: cr === -1 ? 2 : 1 };
  }
  if (line[cr + 1] !== LF) return bad('a carriage return amid the PROXY line');
  const words = String.fromCharCode(...line.subarray(V1_BEGIN.length, cr)).split(' ');
  const consumed = cr + 2;
  const [family, source = '', destination = '', sourcePort = '', destinationPort = '', ...rest] = words;
  // Whatever follows UNKNOWN is to be ignored.
  if (family === 'UNKNOWN') return { kind: 'ok', value: unnamed, consumed };
  const isOfFamily = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isPlainIPv6 : null;
  if (isOfFamily === null) return bad('a PROXY line of an unknown family');
  const whole = rest.length === 0 && isOfFamily(source) && isOfFamily(destination);
  if (!whole || !isPort(sourcePort) || !isPort(destinationPort))
    return bad('a PROXY line without its addresses');
  const ends: Ends = {
    source: { host: plainHost(source), port: Number(sourcePort) },
    destination: { host: plainHost(destination), port: Number(destinationPort) },
  };
  return { kind: 'ok', value: { ends, tlvs: noTlvs }, consumed };
}

/** A scope means something to the machine that wrote it only. */
const isPlainIPv6 = (text: string): boolean => isIPv6(text) && !text.includes('%');

/** An IPv4 client of a proxy that listens on IPv6 is the IPv4 client, for lists and limits too. */
function plainHost(host: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host)?.[1] ?? host.toLowerCase();
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 0xffff;
}

function decodeV2(bytes: Uint8Array): Decode<Announcement> {
  for (let at = 0; at < V2_SIGNATURE.length && at < bytes.length; at += 1) {
    if (bytes[at] !== V2_SIGNATURE[at]) return bad('no PROXY header');
  }
  const version = bytes[12];
  if (version === undefined) return { kind: 'need', bytes: V2_FIXED_BYTES - bytes.length };
  const command = version & 0xf;
  if (version >> 4 !== V2_VERSION || command > V2_COMMANDS.proxy) {
    return bad(`a version and command of 0x${version.toString(16)}`);
  }
  const kind = bytes[13];
  if (kind === undefined) return { kind: 'need', bytes: V2_FIXED_BYTES - bytes.length };
  const family = kind >> 4;
  const transport = kind & 0xf;
  if (family > V2_FAMILIES.unix || transport > 2) return bad(`an address family of 0x${kind.toString(16)}`);
  if (bytes.length < V2_FIXED_BYTES) return { kind: 'need', bytes: V2_FIXED_BYTES - bytes.length };
  const length = (bytes[14] ?? 0) * 256 + (bytes[15] ?? 0);
  const consumed = V2_FIXED_BYTES + length;
  if (consumed > PROXY_HEADER_MAX_BYTES) return bad(`a PROXY header of ${consumed} bytes`);
  if (bytes.length < consumed) return { kind: 'need', bytes: consumed - bytes.length };
  // The sender speaks for itself: a health check as a rule. Whatever follows is to be skipped.
  if (command === V2_COMMANDS.local) return { kind: 'ok', value: unnamed, consumed };
  return readV2(bytes.subarray(0, consumed), family, transport);
}

/** `header`: whole, of command PROXY. */
function readV2(header: Uint8Array, family: number, transport: number): Decode<Announcement> {
  const addressBytes = addressBytesOf(family);
  const from = V2_FIXED_BYTES + addressBytes;
  if (header.length < from) return bad('a PROXY header too short for its addresses');
  const tlvs = readTlvs(header, from);
  if (typeof tlvs === 'string') return bad(tlvs);
  const named = transport === V2_STREAM && (family === V2_FAMILIES.inet || family === V2_FAMILIES.inet6);
  const ends = named ? readEnds(header, family) : null;
  return { kind: 'ok', value: { ends, tlvs }, consumed: header.length };
}

function addressBytesOf(family: number): number {
  if (family === V2_FAMILIES.inet) return V2_ADDRESS_BYTES.inet;
  if (family === V2_FAMILIES.inet6) return V2_ADDRESS_BYTES.inet6;
  return family === V2_FAMILIES.unix ? V2_ADDRESS_BYTES.unix : 0;
}

function readEnds(header: Uint8Array, family: number): Ends {
  const size = family === V2_FAMILIES.inet ? 4 : 16;
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const host = (at: number): string =>
    size === 4 ? header.subarray(at, at + 4).join('.') : plainHost(writeIPv6(view, at));
  const ports = V2_FIXED_BYTES + 2 * size;
  return {
    source: { host: host(V2_FIXED_BYTES), port: view.getUint16(ports) },
    destination: { host: host(V2_FIXED_BYTES + size), port: view.getUint16(ports + 2) },
  };
}

/** RFC 5952: no leading zeros, the longest run of two or more zero groups as `::`. An IPv4-mapped one with its dots. */
function writeIPv6(view: DataView, at: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(at + 2 * index));
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${[0, 1, 2, 3].map(index => view.getUint8(at + 12 + index)).join('.')}`;
  }
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start += 1) {
    let end = start;
    while (end < 8 && groups[end] === 0) end += 1;
    if (end - start > best.length) best = { start, length: end - start };
  }
  const text = (part: readonly number[]): string => part.map(group => group.toString(16)).join(':');
  if (best.length < 2) return text(groups);
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}

/** A copy of the TLVs but checksum and padding; a word for what is wrong with them. */
function readTlvs(header: Uint8Array, from: number): Uint8Array | string {
  const kept: Uint8Array[] = [];
  let isChecked = false;
  for (let at = from; at < header.length;) {
    const length = (header[at + 1] ?? 0) * 256 + (header[at + 2] ?? 0);
    const value = at + TLV_HEAD_BYTES;
    const end = value + length;
    if (value > header.length || end > header.length) return 'a TLV that does not end within its header';
    const type = header[at];
    if (type === TLV_CRC32C) {
      if (isChecked || length !== CRC_BYTES) return 'a checksum that is none';
      if (!isIntact(header, value)) return 'a checksum that does not match';
      isChecked = true;
    } else if (type !== TLV_NOOP) {
      kept.push(header.subarray(at, end));
    }
    at = end;
  }
  return kept.length === 0 ? noTlvs : new Uint8Array(Buffer.concat(kept));
}

/** Section 2.2.3: computed over the whole header, the checksum itself being zero. */
function isIntact(header: Uint8Array, at: number): boolean {
  const copy = new Uint8Array(header);
  copy.fill(0, at, at + CRC_BYTES);
  return crc32c(copy) === new DataView(header.buffer, header.byteOffset).getUint32(at);
}

function bad(detail: string): Decode<never> {
  return { kind: 'bad', code: 'WIRE_MALFORMED', detail };
}
