// What counts as one client address for limits: an IPv4 address, or the /64 network of an IPv6 address (one host has all
// of it, RFC 6177). As 64 bits, so that no two share a key. Pure; text as drivers write it.

export interface AddressKey {
  readonly high: number;
  readonly low: number;
}

/** Beside every /64 network: ffff:ffff::/32 is nobody's (RFC 4291). */
const IPV4_HIGH = -1;

export function addressKey(host: string): AddressKey {
  if (host.includes('.')) return { high: IPV4_HIGH, low: ipv4(host.slice(host.lastIndexOf(':') + 1)) };
  const [a = 0, b = 0, c = 0, d = 0] = groups(host.split('%')[0] ?? '');
  return { high: (a << 16) | b, low: (c << 16) | d };
}

/** As people write it, for keys in a store that several processes share. */
export function formatAddressKey({ high, low }: AddressKey): string {
  if (high === IPV4_HIGH) return [low >>> 24, (low >>> 16) & 255, (low >>> 8) & 255, low & 255].join('.');
  const words = [high >>> 16, high & 0xffff, low >>> 16, low & 0xffff];
  return `${words.map(word => word.toString(16)).join(':')}::/64`;
}

function ipv4(text: string): number {
  let value = 0;
  for (const part of text.split('.')) value = (value << 8) | (Number(part) & 255);
  return value;
}

/** The eight groups of an IPv6 address, `::` filled in. */
function groups(text: string): readonly number[] {
  const [head = '', tail] = text.split('::');
  const read = (part: string): number[] =>
    part === '' ? [] : part.split(':').map(group => Number.parseInt(group, 16) & 0xffff);
  const first = read(head);
  if (tail === undefined) return first;
  const last = read(tail);
  return [...first, ...Array<number>(Math.max(0, 8 - first.length - last.length)).fill(0), ...last];
}
