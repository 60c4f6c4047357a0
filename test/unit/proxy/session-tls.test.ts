import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SessionEvent, type SessionRules } from '../../../src/proxy/session-model.ts';
import { play, primaryRules } from '../../support/tcp-session-script.ts';

const SSL_REQUEST = Buffer.from('0000000804d2162f', 'hex');
const GSS_REQUEST = Buffer.from('0000000804d21630', 'hex');
const STARTUP = Buffer.concat([Buffer.from('0000001100030000', 'hex'), Buffer.from('user\0me\0\0')]);
const HELLO = Buffer.from('\x16\x03\x01hello', 'latin1');

const accepted = (refuse: 'max-connections' | null = null): SessionEvent => ({
  kind: 'accepted',
  at: 0,
  refuse,
  announces: false,
});
const received = (bytes: Uint8Array): SessionEvent => ({ kind: 'received', at: 1, bytes });
const encrypted = (trusted = true): SessionEvent => ({ kind: 'encrypted', at: 2, trusted });
const postgres = (tls: SessionRules['tls']): SessionRules => ({ ...primaryRules, ...(tls ? { tls } : {}) });
const redis = (tls: SessionRules['tls']): SessionRules => ({ ...postgres(tls), protocol: 'redis' });

/** What is done after the last of the events. */
const last = (rules: SessionRules, ...events: readonly SessionEvent[]): readonly string[] =>
  play(events, rules).trace.at(-1) ?? [];

test('session: an SSLRequest is accepted, and the startup within TLS is routed', () => {
  const asked = [accepted(), received(SSL_REQUEST)];
  assert.deepEqual(last(postgres('require'), ...asked), ['answer S', 'encrypt 0']);
  assert.deepEqual(last(postgres('require'), ...asked, encrypted()), []);
  assert.deepEqual(last(postgres('require'), ...asked, encrypted(), received(STARTUP)), [
    'deadline none',
    'route',
  ]);
});

test('session: GSS is declined before TLS is asked for, and TLS where only the servers have it', () => {
  const both = received(Buffer.concat([GSS_REQUEST, SSL_REQUEST]));
  assert.deepEqual(last(postgres('allow'), accepted(), both), ['answer N', 'answer S', 'encrypt 0']);
  const plain = received(Buffer.concat([SSL_REQUEST, STARTUP]));
  assert.deepEqual(last(postgres('refuse'), accepted(), plain), ['answer N', 'deadline none', 'route']);
});

test('session: bytes behind an SSLRequest, and requests for TLS within TLS, end the connection', () => {
  const smuggled = received(Buffer.concat([SSL_REQUEST, STARTUP]));
  assert.deepEqual(
    last(postgres('require'), accepted(), smuggled).at(-1),
    'close reset rejected bad-first-bytes',
  );
  const again = [accepted(), received(SSL_REQUEST), encrypted(), received(SSL_REQUEST)];
  assert.deepEqual(last(postgres('require'), ...again).at(-1), 'close reset rejected bad-first-bytes');
});

test('session: TLS from the first byte on is told apart from TLS that was asked for', () => {
  assert.deepEqual(last(postgres('require'), accepted(), received(HELLO)), ['encrypt 8 direct']);
});

test('session: a plain client is refused where TLS is required, and served where it is allowed', () => {
  const refused = last(postgres('require'), accepted(), received(STARTUP));
  assert.equal(refused.at(-1), 'close answer rejected tls-required');
  assert.deepEqual(last(postgres('allow'), accepted(), received(STARTUP)), ['deadline none', 'route']);
});

test('session: a client without a good certificate is told so after its startup', () => {
  const untrusted = [accepted(), received(SSL_REQUEST), encrypted(false), received(STARTUP)];
  assert.equal(last(postgres('require'), ...untrusted).at(-1), 'close answer rejected tls-certificate');
});

test('session: who is over a limit is told so within TLS', () => {
  const over = [accepted('max-connections'), received(SSL_REQUEST), encrypted(), received(STARTUP)];
  assert.equal(last(postgres('require'), ...over).at(-1), 'close answer rejected max-connections');
});

test('session: a handshake that fails, or takes too long, ends the connection', () => {
  for (const kind of ['encrypt-failed', 'deadline', 'client-reset'] as const) {
    const actions = last(postgres('require'), accepted(), received(SSL_REQUEST), { kind, at: 3 });
    assert.equal(actions.at(-1), 'close reset rejected tls-handshake');
  }
});

test('session: whole TLS begins at once, or by the first byte where plain clients are allowed', () => {
  assert.equal(last(redis('require'), accepted()).at(-1), 'encrypt 0');
  assert.deepEqual(last(redis('require'), accepted(), encrypted()), ['deadline none', 'route']);
  assert.deepEqual(last(redis('allow'), accepted(), received(HELLO)), ['encrypt 8']);
  assert.deepEqual(last(redis('allow'), accepted(), received(Buffer.from('PING\r\n'))), [
    'deadline none',
    'route',
  ]);
  assert.deepEqual(last(redis('allow'), accepted(), { kind: 'deadline', at: 10 }), [
    'deadline none',
    'route',
  ]);
});

test('session: where TLS passes, or only servers have it, nothing of a redis client is read first', () => {
  assert.deepEqual(last(redis(undefined), accepted()), ['route']);
  assert.deepEqual(last(redis('refuse'), accepted()), ['route']);
});
