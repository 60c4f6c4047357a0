// Writes PROXY headers: of a connection that is carried for a client, and of one that is our own (LOCAL). Pure.
// Addresses of different families are written as IPv6, IPv4 ones as mapped (::ffff:…). Called by the proxy, and by probers.

import { isIPv4 } from 'node:net';
import { type Address } from '../../core/address.ts';
import { crc32c } from './crc32c.ts';
import {
  noTlvs,
  TLV_CRC32C,
  TLV_HEAD_BYTES,
  V1_BEGIN,
  V2_COMMANDS,
  V2_FAMILIES,
  V2_FIXED_BYTES,
  V2_SIGNATURE,
  V2_STREAM,
  V2_VERSION,
  type Ends,
} from './header.ts';

/** `ends` null: the connection is our own. Of version 1 that is UNKNOWN, which says less, but it has no other word. */
export function encodeV1(ends: Ends | null): Uint8Array {
  if (ends === null) return Buffer.from(`${V1_BEGIN}UNKNOWN\r\n`, 'latin1');
  const { source, destination } = ends;
  const both4 = isIPv4(source.host) && isIPv4(destination.host);
  const host = ({ host: text }: Address): string => (both4 ? text : mapped(text));
  const words = [host(source), host(destination), source.port, destination.port].join(' ');
  return Buffer.from(`${V1_BEGIN}${both4 ? 'TCP4' : 'TCP6'} ${words}\r\n`, 'latin1');
}

/** `tlvs`: whole ones, as they follow each other. `checksum`: adds a CRC-32C of it all. */
export function encodeV2(ends: Ends | null, tlvs: Uint8Array, checksum: boolean): Uint8Array {
  const both4 = ends !== null && isIPv4(ends.source.host) && isIPv4(ends.destination.host);
  const addresses = ends === null ? new Uint8Array(0) : writeEnds(ends, both4);
  const crc = checksum ? Uint8Array.of(TLV_CRC32C, 0, 4, 0, 0, 0, 0) : new Uint8Array(0);
  const header = Buffer.concat([V2_SIGNATURE, new Uint8Array(4), addresses, tlvs, crc]);
  const family = ends === null ? V2_FAMILIES.unspecified : both4 ? V2_FAMILIES.inet : V2_FAMILIES.inet6;
  header[12] = (V2_VERSION << 4) | (ends === null ? V2_COMMANDS.local : V2_COMMANDS.proxy);
  header[13] = ends === null ? 0 : (family << 4) | V2_STREAM;
  header.writeUInt16BE(header.length - V2_FIXED_BYTES, 14);
  if (checksum) header.writeUInt32BE(crc32c(header), header.length - 4);
  return header;
}

export function encodeTlv(type: number, value: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(type, value.length >> 8, value.length & 0xff), value]).subarray(
    0,
    TLV_HEAD_BYTES + value.length,
  );
}

/** The header of a connection of our own to servers that expect one: a probe. */
export function encodeOwn(version: 'v1' | 'v2'): Uint8Array {
  return version === 'v1' ? encodeV1(null) : encodeV2(null, noTlvs, false);
}

function writeEnds({ source, destination }: Ends, both4: boolean): Uint8Array {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(source.port, 0);
  ports.writeUInt16BE(destination.port, 2);
  const bytes = ({ host }: Address): Uint8Array =>
    both4 ? Uint8Array.from(host.split('.'), Number) : ipv6Bytes(mapped(host));
  return Buffer.concat([bytes(source), bytes(destination), ports]);
}

const mapped = (host: string): string => (isIPv4(host) ? `::ffff:${host}` : host.replace(/%.*$/, ''));

/** The sixteen bytes of an IPv6 address in any of its notations (RFC 4291, 2.2). */
function ipv6Bytes(host: string): Uint8Array {
  const bytes = Buffer.alloc(16);
  // Dots at the end become two groups of their own.
  const dots = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(host);
  const hex = (high = '0', low = '0'): string => (Number(high) * 256 + Number(low)).toString(16);
  const plain = dots === null ? host : `${dots[1]}${hex(dots[2], dots[3])}:${hex(dots[4], dots[5])}`;
  const [head = '', tail] = plain.split('::');
  const groups = (text: string): readonly string[] => (text === '' ? [] : text.split(':'));
  const last = groups(tail ?? '');
  groups(head).forEach((group, index) => bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * index));
  last.forEach((group, index) =>
    bytes.writeUInt16BE(Number.parseInt(group, 16), 16 - 2 * (last.length - index)),
  );
  return bytes;
}
