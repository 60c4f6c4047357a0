import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressKey, formatAddressKey } from '../../../../src/proxy/limits/address-key.ts';

const shown = (host: string): string => formatAddressKey(addressKey(host));

test('address keys: an IPv4 address is itself, however it is written', () => {
  assert.equal(shown('10.0.0.1'), '10.0.0.1');
  assert.equal(shown('255.255.255.255'), '255.255.255.255');
  assert.equal(shown('::ffff:192.0.2.7'), '192.0.2.7');
});

test('address keys: an IPv6 address stands for its /64 network', () => {
  for (const host of [
    '2001:db8:1:2::1',
    '2001:db8:1:2:3:4:5:6',
    '2001:0db8:0001:0002::',
    '2001:db8:1:2::9%eth0',
  ]) {
    assert.equal(shown(host), '2001:db8:1:2::/64', host);
  }
  assert.equal(shown('::1'), '0:0:0:0::/64');
  assert.equal(shown('1::8'), '1:0:0:0::/64');
  assert.equal(shown('fe80::1%lo'), 'fe80:0:0:0::/64');
  assert.notDeepEqual(addressKey('2001:db8:1:2::1'), addressKey('2001:db8:1:3::1'));
});

test('address keys: no IPv4 address shares the key of an IPv6 network', () => {
  assert.notDeepEqual(addressKey('0.0.0.0'), addressKey('::'));
  assert.notDeepEqual(addressKey('0.0.0.1'), addressKey('0:0:0:1::'));
});
