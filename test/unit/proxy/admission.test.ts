// Who is let in, by address and by number.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REFUSALS_MAX } from '../../../src/core/limits.ts';
import { createAdmission, createTrust } from '../../../src/proxy/admission.ts';

const nobody = { admitted: 0, refused: 0 };

test('admission: the allow list covers IPv4, IPv6 and IPv4 on an IPv6 socket', () => {
  const admit = createAdmission({ allow: ['10.0.0.0/8', '::1'], deny: null, maxConnections: 1 });
  for (const host of ['10.1.2.3', '::ffff:10.1.2.3', '::1'])
    assert.equal(admit(host, nobody, 0).kind, 'admit', host);
  for (const host of ['11.0.0.1', '::ffff:11.0.0.1', '::2']) {
    assert.deepEqual(admit(host, nobody, 0), { kind: 'drop', reason: 'not-allowed' }, host);
  }
});

test('admission: an empty allow list lets nobody in, no list everybody', () => {
  assert.equal(
    createAdmission({ allow: [], deny: null, maxConnections: 1 })('10.0.0.1', nobody, 0).kind,
    'drop',
  );
  assert.equal(
    createAdmission({ allow: null, deny: null, maxConnections: 1 })('10.0.0.1', nobody, 0).kind,
    'admit',
  );
});

test('admission: beyond max_connections clients are told, up to a bound, then dropped', () => {
  const admit = createAdmission({ allow: null, deny: null, maxConnections: 2 });
  assert.equal(admit('::1', { admitted: 1, refused: 0 }, 0).kind, 'admit');
  assert.deepEqual(admit('::1', { admitted: 2, refused: 0 }, 0), {
    kind: 'refuse',
    reason: 'max-connections',
  });
  assert.equal(admit('::1', { admitted: 2, refused: REFUSALS_MAX }, 0).kind, 'drop');
});

test('admission: the deny list wins over the allow list', () => {
  const admit = createAdmission({ allow: ['10.0.0.0/8'], deny: ['10.9.0.0/16', '::1'], maxConnections: 1 });
  assert.equal(admit('10.1.2.3', nobody, 0).kind, 'admit');
  for (const host of ['10.9.0.1', '::ffff:10.9.0.1', '::1']) {
    assert.deepEqual(admit(host, nobody, 0), { kind: 'drop', reason: 'denied' }, host);
  }
  assert.deepEqual(admit('11.0.0.1', nobody, 0), { kind: 'drop', reason: 'not-allowed' });
});

test('admission: who is a proxy is believed, others are served or refused as it is said', () => {
  const from = ['10.0.0.5', '2001:db8::/64'];
  const [strict, open] = (['refuse', 'plain'] as const).map(otherwise => createTrust({ from, otherwise }));
  for (const host of ['10.0.0.5', '::ffff:10.0.0.5', '2001:db8::7']) {
    assert.deepEqual([strict?.(host), open?.(host)], ['proxy', 'proxy'], host);
  }
  assert.deepEqual([strict?.('10.0.0.6'), open?.('10.0.0.6')], ['nobody', 'client']);
  assert.equal(createTrust(null)('10.0.0.5'), 'client');
});
