// Networks as they are written, and whether two socket addresses get in each other's way. Pure; used by schema.ts, by the
// rules in lint.ts and by the proxy's admission, which must not load the schema: a worker thread has no use for it.
// Names are compared as names, never resolved: what a name means may differ tomorrow.

import { BlockList, SocketAddress, isIP } from 'node:net';
import { type Address } from '../core/address.ts';

const wildcards: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

const loopbacks = new BlockList();
loopbacks.addSubnet('127.0.0.0', 8, 'ipv4');
loopbacks.addAddress('::1', 'ipv6');

/** The address in its shortest form, an IPv4 address in IPv6 clothes as IPv4, a name in lower case. */
function normalizeHost(host: string): string {
  if (isIP(host) !== 6) return host.toLowerCase().replace(/\.$/, '');
  const { address } = new SocketAddress({ address: host.replace(/%.*$/, ''), family: 'ipv6' });
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1] ?? address;
}

/** Whether a host is an address, and not a name that stands for one. */
export function isIpAddress(host: string): boolean {
  return isIP(host) !== 0;
}

export function isLoopback(host: string): boolean {
  const plain = normalizeHost(host);
  const family = isIP(plain);
  if (family === 0) return plain === 'localhost' || plain.endsWith('.localhost');
  return loopbacks.check(plain, family === 6 ? 'ipv6' : 'ipv4');
}

/** Any address of this machine, as a listener takes it. */
export function isUnspecified(host: string): boolean {
  return wildcards.has(normalizeHost(host));
}

/** The same machine address by another name: `localhost` is 127.0.0.1 and ::1. */
function isSameHost(one: string, other: string): boolean {
  const [a, b] = [normalizeHost(one), normalizeHost(other)];
  const standsForLocalhost = (host: string): boolean => host === '127.0.0.1' || host === '::1';
  return (
    a === b || (a === 'localhost' && standsForLocalhost(b)) || (b === 'localhost' && standsForLocalhost(a))
  );
}

export function isSameAddress(one: Address, other: Address): boolean {
  return one.port === other.port && isSameHost(one.host, other.host);
}

/** Whether both can't be listened on at once. `::` also takes IPv4; port 0 never collides. */
export function bindsOverlap(one: Address, other: Address): boolean {
  if (one.port !== other.port || one.port === 0) return false;
  return isSameHost(one.host, other.host) || covers(one.host, other.host) || covers(other.host, one.host);
}

function covers(wildcard: string, host: string): boolean {
  const plain = normalizeHost(wildcard);
  return plain === '::' || (plain === '0.0.0.0' && isIP(normalizeHost(host)) !== 6);
}

/** Whether a connection to `target` would arrive at the socket that listens on `bind`. */
export function reaches(target: Address, bind: Address): boolean {
  if (target.port !== bind.port || bind.port === 0) return false;
  const local = isLoopback(target.host) || isUnspecified(target.host);
  return isSameHost(target.host, bind.host) || (local && covers(bind.host, target.host));
}

/** Whether an address lies in one of the networks; throws for an entry that is none. */
export function networks(list: readonly string[]): (host: string) => boolean {
  const blocks = new BlockList();
  for (const network of list) addToBlockList(blocks, network);
  // The answer to an IPv4-mapped address (::ffff:10.0.0.1) is that of the IPv4 address.
  return host => blocks.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4');
}

/** Adds `10.0.0.0/8`, `::1` or `127.0.0.1` to a list; throws on anything else. */
export function addToBlockList(list: BlockList, text: string): void {
  const [base = '', prefix, ...rest] = text.split('/');
  const family = base.includes(':') ? 'ipv6' : 'ipv4';
  if (prefix === undefined) list.addAddress(base, family);
  else if (/^\d{1,3}$/.test(prefix) && rest.length === 0) list.addSubnet(base, Number(prefix), family);
  else throw new RangeError('not a network with one prefix length');
}
