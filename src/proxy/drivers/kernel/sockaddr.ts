// Socket addresses as the kernel lays them out: sockaddr_in and sockaddr_in6 of ip(7) and ipv6(7), little-endian machines.
// Names are not resolved here. Used by the listener and the dialer.

import { isIPv4, isIPv6 } from 'node:net';
import { type Address } from '../../../core/address.ts';
import { AF_INET, AF_INET6 } from './libc.ts';

/** Enough for either family. */
export const SOCKADDR_MAX_BYTES = 28;
const INET_BYTES = 16;

/** A zone (`fe80::1%eth0`) is looked up with `interfaceIndex`. Null for a host that is no IP address. */
export function encodeSockaddr(
  { host, port }: Address,
  interfaceIndex: (name: string) => number,
): Uint8Array | null {
  if (isIPv4(host)) {
    const bytes = new Uint8Array(INET_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, AF_INET, true);
    view.setUint16(2, port);
    host.split('.').forEach((part, index) => view.setUint8(4 + index, Number(part)));
    return bytes;
  }
  if (!isIPv6(host)) return null;
  const [plain = '', zone] = host.split('%');
  const bytes = new Uint8Array(SOCKADDR_MAX_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET6, true);
  view.setUint16(2, port);
  groupsOf(plain).forEach((group, index) => view.setUint16(8 + 2 * index, group));
  view.setUint32(24, zone === undefined ? 0 : interfaceIndex(zone), true);
  return bytes;
}

/** The eight 16-bit groups of an IPv6 address in any of its notations (RFC 4291, 2.2). */
function groupsOf(host: string): readonly number[] {
  const [head = '', tail] = host.split('::');
  const left = readGroups(head);
  if (tail === undefined) return left;
  const right = readGroups(tail);
  return [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
}

function readGroups(text: string): readonly number[] {
  if (text === '') return [];
  return text.split(':').flatMap(group => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}

/** An IPv4 client of a socket bound to `::` is given as IPv4. */
export function decodeSockaddr(bytes: Uint8Array): Address {
  const port = ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
  const family = (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8);
  if (family === AF_INET) return { host: dotted(bytes, 4), port };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(8 + 2 * index));
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff) {
    return { host: dotted(bytes, 20), port };
  }
  return { host: compressed(groups), port };
}

function dotted(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups as `::`. */
function compressed(groups: readonly number[]): string {
  const runs = groups.map((_, start) => {
    const end = groups.findIndex((group, index) => index >= start && group !== 0);
    return (end === -1 ? groups.length : end) - start;
  });
  const longest = Math.max(...runs);
  const text = (part: readonly number[]): string => part.map(group => group.toString(16)).join(':');
  if (longest < 2) return text(groups);
  const start = runs.indexOf(longest);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + longest))}`;
}
