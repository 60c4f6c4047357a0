import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  continueScram,
  md5Response,
  startScram,
  verifyScram,
} from '../../../../src/protocol/postgres/scram.ts';

// RFC 7677, section 3.
const rfc = {
  user: 'user',
  password: 'pencil',
  nonce: 'rOprNGfwEbeRWgbNEkqO',
  serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  clientFinal:
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
};

test('SCRAM-SHA-256: the exchange of RFC 7677 is reproduced', async () => {
  const start = startScram(rfc.nonce, rfc.user);
  assert.equal(start.message, 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO');
  const reply = await continueScram(start, rfc.serverFirst, rfc.password);
  assert.ok(reply.ok);
  assert.equal(reply.message, rfc.clientFinal);
  assert.ok(verifyScram(reply.serverSignature, rfc.serverFinal));
});

test('SCRAM-SHA-256: a wrong or malformed server signature does not verify', async () => {
  const reply = await continueScram(startScram(rfc.nonce, rfc.user), rfc.serverFirst, rfc.password);
  assert.ok(reply.ok);
  for (const final of [
    '',
    'v=',
    'v=AAAA',
    'e=other-error',
    rfc.serverFinal.replace('6', '7'),
    ` ${rfc.serverFinal}`,
  ]) {
    assert.equal(verifyScram(reply.serverSignature, final), false, final);
  }
});

test('SCRAM-SHA-256: challenges that are malformed, foreign or endless are refused', async () => {
  const start = startScram('abc');
  const bad = [
    '',
    'r=abc,s=AAAA,i=4096',
    'r=xbcd,s=AAAA,i=4096',
    'r=abcd,s=AAAA,i=0',
    'r=abcd,s=AAAA,i=1000001',
    'r=abcd,s=,i=1',
    'r=abcd,s=AAAA,i=-1',
    'm=x,r=abcd,s=AAAA,i=1',
  ];
  for (const serverFirst of bad) {
    const reply = await continueScram(start, serverFirst, 'secret');
    assert.equal(reply.ok, false, serverFirst);
    assert.ok(!JSON.stringify(reply).includes('secret'));
  }
});

test('SCRAM-SHA-256: a password is prepared as PostgreSQL prepares it', async () => {
  const start = startScram('abc');
  const proofFor = async (password: string): Promise<string> => {
    const reply = await continueScram(start, 'r=abcd,s=AAAA,i=1', password);
    return reply.ok ? reply.message : assert.fail();
  };
  assert.equal(await proofFor('I\u00adX'), await proofFor('IX'), 'a soft hyphen goes (RFC 4013, example 1)');
  assert.equal(
    await proofFor('\u2168'),
    await proofFor('IX'),
    'a Roman nine is two letters (RFC 4013, example 5)',
  );
  assert.equal(await proofFor('a\u00a0b'), await proofFor('a b'), 'a no-break space is a space');
  assert.notEqual(
    await proofFor('\u2168\u0007'),
    await proofFor('IX\u0007'),
    'with a control character: as typed',
  );
});

test('md5: the response is that of PostgreSQL’s formula', () => {
  // The expected value was computed apart: md5(hex md5("secretapp") + 01020304).
  assert.equal(
    md5Response('app', 'secret', Uint8Array.of(1, 2, 3, 4)),
    'md5911f527656472583a006e7727877b33e',
  );
});
