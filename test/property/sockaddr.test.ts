// Socket addresses as the kernel has them, against Node's own reading of the same texts and against the kernel itself.

import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { isIP, isIPv4, SocketAddress } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeSockaddr, encodeSockaddr } from '../../src/proxy/drivers/kernel/sockaddr.ts';

const noZone = (): number => {
  throw new Error('there is no zone to look up');
};
const port = fc.nat(65_535);

/** The text that Node writes for an address it has parsed. */
const canonical = (host: string): string =>
  new SocketAddress({ address: host, family: isIPv4(host) ? 'ipv4' : 'ipv6' }).address;

function roundTrip(host: string, at: number): { host: string; port: number } {
  const bytes = encodeSockaddr({ host, port: at }, noZone);
  assert.ok(bytes !== null, `${host} is an address`);
  return decodeSockaddr(bytes);
}

test('sockaddr: an IPv4 address comes back as it went', () => {
  fc.assert(
    fc.property(fc.ipV4(), port, (host, at) => {
      assert.deepEqual(roundTrip(host, at), { host, port: at });
      const bytes = encodeSockaddr({ host, port: at }, noZone)!;
      assert.deepEqual([...bytes.subarray(2, 8)], [at >> 8, at & 255, ...host.split('.').map(Number)]);
    }),
  );
});

/** Eight groups with many zeros among them, in each of the notations there are. */
const groups = fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 });
const notation = fc.record({ groups, upper: fc.boolean(), padded: fc.boolean(), dotted: fc.boolean() });

function write({
  groups: values,
  upper,
  padded,
  dotted,
}: {
  readonly groups: readonly number[];
  readonly upper: boolean;
  readonly padded: boolean;
  readonly dotted: boolean;
}): string {
  const texts = values.map(value => value.toString(16).padStart(padded ? 4 : 1, '0'));
  const [g = 0, h = 0] = values.slice(6);
  const tail = dotted ? [`${g >> 8}.${g & 255}.${h >> 8}.${h & 255}`] : texts.slice(6);
  const text = [...texts.slice(0, 6), ...tail].join(':');
  return upper ? text.toUpperCase() : text;
}

test('sockaddr: an IPv6 address in any notation has the bytes of its groups', () => {
  fc.assert(
    fc.property(notation, port, (given, at) => {
      const bytes = encodeSockaddr({ host: write(given), port: at }, noZone)!;
      const view = new DataView(bytes.buffer);
      assert.deepEqual(
        Array.from({ length: 8 }, (_, index) => view.getUint16(8 + 2 * index)),
        given.groups,
      );
      assert.equal(view.getUint16(2), at);
    }),
  );
});

test('sockaddr: a decoded IPv6 address is the same address, in the shortest notation', () => {
  fc.assert(
    fc.property(groups, port, (values, at) => {
      const plain = write({ groups: values, upper: false, padded: false, dotted: false });
      const back = roundTrip(plain, at);
      assert.equal(back.port, at);
      assert.notEqual(isIP(back.host), 0, back.host);
      const mapped = values.slice(0, 5).every(value => value === 0) && values[5] === 0xffff;
      if (mapped) assert.equal(canonical(`::ffff:${back.host}`), canonical(plain));
      else assert.deepEqual(roundTrip(canonical(plain), at), back);
      assert.deepEqual(roundTrip(back.host, at), back);
    }),
    { numRuns: 1_000 },
  );
});

test('sockaddr: known addresses', () => {
  for (const [given, expected] of [
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['fe80::1', 'fe80::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['::FFFF:0A01:0203', '10.1.2.3'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
    ['0:0:0:0:0:0:0:0', '::'],
  ] as const) {
    assert.equal(roundTrip(given, 1).host, expected, given);
  }
});

test('sockaddr: a zone is looked up and stands at the end; what is no address is null', () => {
  const [name = 'lo'] = Object.keys(networkInterfaces());
  const bytes = encodeSockaddr({ host: `fe80::1%${name}`, port: 1 }, zone => (zone === name ? 7 : 0))!;
  assert.equal(new DataView(bytes.buffer).getUint32(24, true), 7);
  for (const host of ['localhost', '', '1.2.3', '1.2.3.4.5', '::1::', 'example.org', '10.0.0.1/8']) {
    assert.equal(encodeSockaddr({ host, port: 1 }, noZone), null, host);
  }
});
