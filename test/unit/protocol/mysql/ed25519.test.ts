import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { test } from 'node:test';
import { publicKeyOf, signScramble } from '../../../../src/protocol/mysql/ed25519.ts';

test('ed25519: public keys are those that MariaDB computes (ed25519_password)', () => {
  // From MariaDB 10.11: select ed25519_password('…'), by its plugin auth_ed25519.
  assert.equal(publicKeyOf('secret').toString('base64'), 'ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY=');
});

test('ed25519: what is signed is verified by another implementation with that key', () => {
  for (const password of ['', 'secret', 'ü'.repeat(100)]) {
    for (const scramble of [Buffer.alloc(32), Buffer.from('0123456789abcdef0123456789abcdef')]) {
      const key = createPublicKey({
        key: { kty: 'OKP', crv: 'Ed25519', x: publicKeyOf(password).toString('base64url') },
        format: 'jwk',
      });
      const signature = signScramble(password, scramble);
      assert.equal(signature.length, 64);
      assert.ok(verify(null, scramble, key, signature));
      assert.ok(!verify(null, Buffer.from('another one'), key, signature));
    }
  }
});
