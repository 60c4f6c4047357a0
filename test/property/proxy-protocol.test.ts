// PROXY headers: what is written is read again, in whatever pieces; what is damaged or garbage is refused, never thrown.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PROXY_HEADER_MAX_BYTES } from '../../src/core/limits.ts';
import { decodeProxyHeader } from '../../src/protocol/proxy-protocol/decode.ts';
import { encodeTlv, encodeV1, encodeV2 } from '../../src/protocol/proxy-protocol/encode.ts';
import { V1_MAX_BYTES, V2_SIGNATURE, type Ends } from '../../src/protocol/proxy-protocol/header.ts';

const address = (host: fc.Arbitrary<string>) =>
  fc.record({ host, port: fc.integer({ min: 0, max: 65_535 }) });
const endsOf = (host: fc.Arbitrary<string>): fc.Arbitrary<Ends> =>
  fc.record({ source: address(host), destination: address(host) });
const ends = fc.oneof(endsOf(fc.ipV4()), endsOf(fc.ipV6()));
const tlvs = fc
  .array(fc.tuple(fc.constantFrom(0x01, 0x02, 0x05, 0x20, 0x30, 0xe0), fc.uint8Array({ maxLength: 60 })), {
    maxLength: 6,
  })
  .map(all => new Uint8Array(Buffer.concat(all.map(([type, value]) => encodeTlv(type, value)))));

const header = fc.oneof(
  fc.option(ends).map(encodeV1),
  fc.tuple(fc.option(ends), tlvs, fc.boolean()).map(([of, more, checked]) => encodeV2(of, more, checked)),
);

/** An IPv6 address as it is compared: what both sides make of it. */
const canonical = (host: string): string => {
  const { hostname } = new URL(`http://${host.includes(':') ? `[${host}]` : host}`);
  const mapped = /^\[::ffff:([0-9a-f]+):([0-9a-f]+)\]$/.exec(hostname);
  if (mapped === null) return hostname;
  const [high = 0, low = 0] = mapped.slice(1).map(group => Number.parseInt(group, 16));
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
};
const comparable = (of: Ends | null) =>
  of && [canonical(of.source.host), of.source.port, canonical(of.destination.host), of.destination.port];

test('PROXY header: whatever is written is read again, and not a byte of what follows', () => {
  fc.assert(
    fc.property(fc.option(ends), tlvs, fc.boolean(), fc.uint8Array(), (of, more, checked, rest) => {
      const v1 = encodeV1(of);
      const first = decodeProxyHeader(Buffer.concat([v1, rest]));
      assert.ok(first.kind === 'ok');
      assert.equal(first.consumed, v1.length);
      assert.deepEqual(comparable(first.value.ends), comparable(of));
      const v2 = encodeV2(of, more, checked);
      const second = decodeProxyHeader(Buffer.concat([v2, rest]));
      assert.ok(second.kind === 'ok');
      assert.equal(second.consumed, v2.length);
      assert.deepEqual(comparable(second.value.ends), comparable(of));
      // What is said of a connection of the proxy's own is skipped.
      assert.deepEqual([...second.value.tlvs], of === null ? [] : [...more]);
    }),
  );
});

test('PROXY header: any beginning of one asks for more, and for no more than there is', () => {
  fc.assert(
    fc.property(header, fc.nat(), (bytes, at) => {
      const cut = at % bytes.length;
      const answer = decodeProxyHeader(bytes.subarray(0, cut));
      assert.ok(answer.kind === 'need', `${answer.kind} after ${cut} of ${bytes.length}`);
      assert.ok(answer.bytes >= 1 && answer.bytes <= bytes.length - cut);
    }),
  );
});

test('PROXY header: garbage never throws, and never waits for more than the bound', () => {
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.concat([V2_SIGNATURE, bytes])),
    fc.string({ maxLength: 200 }).map(text => Buffer.from(`PROXY ${text}`)),
    fc.string({ maxLength: 200 }).map(text => Buffer.from(`PROXY TCP4 ${text}\r\n`)),
  );
  fc.assert(
    fc.property(garbage, bytes => {
      const answer = decodeProxyHeader(bytes);
      if (answer.kind === 'need') assert.ok(bytes.length + answer.bytes <= PROXY_HEADER_MAX_BYTES);
      if (answer.kind === 'ok') assert.ok(answer.consumed <= bytes.length);
    }),
    { numRuns: 2000 },
  );
});

test('PROXY header: one with a checksum that lost a bit of its addresses, values or checksum is refused', () => {
  const authority = encodeTlv(0x02, Buffer.from('db.example.com'));
  fc.assert(
    fc.property(ends, fc.nat(), (of, at) => {
      const bytes = encodeV2(of, authority, true);
      // Not one of a type or a length, with which the checksum itself may be lost from sight.
      const addressBytes = bytes.length - 16 - authority.length - 7;
      const value = 16 + addressBytes + 3;
      const places = [...Array(addressBytes).keys()].map(offset => 16 + offset);
      places.push(value, value + 13, bytes.length - 4, bytes.length - 1);
      const place = places[(at >> 3) % places.length] ?? 0;
      bytes[place]! ^= 1 << (at & 7);
      assert.equal(decodeProxyHeader(bytes).kind, 'bad');
    }),
  );
});

const refused: readonly (readonly [string, string | Uint8Array])[] = [
  ['another protocol', 'GET / HTTP/1.1\r\n'],
  ['a TLS ClientHello', Uint8Array.of(0x16, 3, 1, 0, 200)],
  ['lower case', 'proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n'],
  ['an unknown family', 'PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n'],
  ['a family that is not that of the addresses', 'PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n'],
  ['a name for an address', 'PROXY TCP4 localhost 2.2.2.2 1 2\r\n'],
  ['two spaces', 'PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n'],
  ['a word too much', 'PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n'],
  ['a leading zero in a port', 'PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n'],
  ['a port that is none', 'PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n'],
  ['a negative port', 'PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n'],
  ['a leading zero in an address', 'PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n'],
  ['a scope', 'PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n'],
  ['a line feed alone', 'PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n'],
  ['a carriage return without its line feed', 'PROXY UNKNOWN\rX'],
  ['a line without end', `PROXY UNKNOWN ${'x'.repeat(V1_MAX_BYTES)}`],
  ['version 1 in binary', Buffer.concat([V2_SIGNATURE, Uint8Array.of(0x11)])],
  ['version 3', Buffer.concat([V2_SIGNATURE, Uint8Array.of(0x31)])],
  ['an unknown command', Buffer.concat([V2_SIGNATURE, Uint8Array.of(0x22)])],
  ['an unassigned family', Buffer.concat([V2_SIGNATURE, Uint8Array.of(0x21, 0x41)])],
  ['an unassigned transport', Buffer.concat([V2_SIGNATURE, Uint8Array.of(0x21, 0x13)])],
  ['more than the bound', Buffer.concat([V2_SIGNATURE, Uint8Array.of(0x21, 0x11, 0xff, 0xff)])],
  ['no room for its addresses', Buffer.concat([V2_SIGNATURE, Uint8Array.of(0x21, 0x11, 0, 4, 1, 1, 1, 1)])],
  [
    'a TLV that is cut off',
    Buffer.concat([
      V2_SIGNATURE,
      Uint8Array.of(0x21, 0x11, 0, 15),
      new Uint8Array(12),
      Uint8Array.of(1, 0, 9),
    ]),
  ],
  [
    'a TLV without a length',
    Buffer.concat([V2_SIGNATURE, Uint8Array.of(0x21, 0x11, 0, 13), new Uint8Array(12), Uint8Array.of(1)]),
  ],
];

for (const [what, text] of refused) {
  test(`PROXY header: ${what} is refused`, () => {
    assert.equal(decodeProxyHeader(Buffer.from(text)).kind, 'bad');
  });
}

test('PROXY header: the longest line of version 1 is read', () => {
  const full = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff';
  const answer = decodeProxyHeader(Buffer.from(`PROXY TCP6 ${full} ${full} 65535 65535\r\n`));
  assert.ok(answer.kind === 'ok' && answer.value.ends?.source.port === 65_535);
  const unknown = Buffer.from(`PROXY UNKNOWN ${full} ${full} 65535 65535\r\n`);
  assert.equal(unknown.length, V1_MAX_BYTES);
  assert.deepEqual(decodeProxyHeader(unknown), {
    kind: 'ok',
    value: { ends: null, tlvs: new Uint8Array(0) },
    consumed: V1_MAX_BYTES,
  });
});

test('PROXY header: unix sockets and datagrams name nobody, and their TLVs are kept', () => {
  const authority = encodeTlv(0x02, Buffer.from('db.example.com'));
  for (const [family, addressBytes] of [
    [0x31, 216],
    [0x12, 12],
    [0x00, 0],
  ] as const) {
    const length = addressBytes + authority.length;
    const bytes = Buffer.concat([
      V2_SIGNATURE,
      Uint8Array.of(0x21, family, length >> 8, length & 255),
      new Uint8Array(addressBytes),
      authority,
    ]);
    const answer = decodeProxyHeader(bytes);
    assert.ok(answer.kind === 'ok');
    assert.equal(answer.value.ends, null);
    assert.deepEqual([...answer.value.tlvs], [...authority]);
  }
});

test('PROXY header: an IPv4 client in IPv6 clothes is the IPv4 client', () => {
  const bytes = encodeV2(
    { source: { host: '::ffff:10.0.0.7', port: 1 }, destination: { host: '2001:db8::1', port: 2 } },
    new Uint8Array(0),
    false,
  );
  const answer = decodeProxyHeader(bytes);
  assert.ok(answer.kind === 'ok');
  assert.equal(answer.value.ends?.source.host, '10.0.0.7');
  assert.equal(answer.value.ends?.destination.host, '2001:db8::1');
});
