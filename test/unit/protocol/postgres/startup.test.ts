import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serialize } from 'pg-protocol';
import { DatabaseError } from 'pg-protocol/dist/messages.js';
import { Parser } from 'pg-protocol/dist/parser.js';
import {
  decodeFirstPacket,
  errorResponse,
  REFUSE_ENCRYPTION,
} from '../../../../src/protocol/postgres/startup.ts';
import { int32 } from '../../../support/scripted-peer.ts';

const startup = serialize.startup({ user: 'app', database: 'shop', application_name: 'web' });

const packet = (...parts: (number | Uint8Array)[]): Buffer => {
  const body = Buffer.concat(parts.map(part => (typeof part === 'number' ? int32(part) : part)));
  return Buffer.concat([int32(4 + body.length), body]);
};
const cancelCode = 80877102;
const protocol3 = 3 << 16;

test('first packet: a startup packet gives user, database, application name and version', () => {
  assert.deepEqual(decodeFirstPacket(startup), {
    kind: 'ok',
    consumed: startup.length,
    value: {
      kind: 'startup',
      protocol: { major: 3, minor: 0 },
      user: 'app',
      database: 'shop',
      applicationName: 'web',
    },
  });
});

test('first packet: what a startup packet leaves out is null', () => {
  const decoded = decodeFirstPacket(packet(protocol3 + 2, Buffer.from('\0')));
  assert.deepEqual(decoded.kind === 'ok' && decoded.value, {
    kind: 'startup',
    protocol: { major: 3, minor: 2 },
    user: null,
    database: null,
    applicationName: null,
  });
});

test('first packet: byte by byte, every prefix asks for more and never for more than is missing', () => {
  for (let length = 0; length < startup.length; length += 1) {
    const decoded = decodeFirstPacket(startup.subarray(0, length));
    assert.equal(decoded.kind, 'need', `${length} bytes`);
    assert.ok(decoded.kind === 'need' && decoded.bytes >= 1 && decoded.bytes <= startup.length - length);
  }
});

test('first packet: bytes after the packet are not consumed', () => {
  const decoded = decodeFirstPacket(Buffer.concat([startup, Buffer.from('more')]));
  assert.equal(decoded.kind === 'ok' && decoded.consumed, startup.length);
});

test('first packet: encryption requests are told apart', () => {
  assert.deepEqual(decodeFirstPacket(serialize.requestSsl()), {
    kind: 'ok',
    value: { kind: 'ssl-request' },
    consumed: 8,
  });
  assert.deepEqual(decodeFirstPacket(packet(80877104)), {
    kind: 'ok',
    value: { kind: 'gssenc-request' },
    consumed: 8,
  });
  assert.deepEqual(decodeFirstPacket(Uint8Array.of(0x16)), {
    kind: 'ok',
    value: { kind: 'direct-tls' },
    consumed: 0,
  });
});

test('first packet: a cancel request carries keys of 4 to 256 bytes', () => {
  for (const size of [4, 32, 256]) {
    const key = Buffer.alloc(size, 9);
    const decoded = decodeFirstPacket(packet(cancelCode, 4711, key));
    assert.deepEqual(decoded.kind === 'ok' && decoded.value, {
      kind: 'cancel',
      pid: 4711,
      key: Uint8Array.from(key),
    });
  }
});

test('first packet: what is not PostgreSQL is refused with the first bytes that show it', () => {
  const bad: [string, Uint8Array, string][] = [
    ['HTTP', Buffer.from('G'), 'WIRE_MALFORMED'],
    ['a length of 16 MiB', Uint8Array.of(1), 'WIRE_MALFORMED'],
    ['a length of 64 KiB', Uint8Array.of(0, 1), 'WIRE_TOO_LARGE'],
    ['a length of 10001', int32(10_001), 'WIRE_TOO_LARGE'],
    ['a length of 7', int32(7), 'WIRE_MALFORMED'],
    ['protocol 2', packet(2 << 16, Buffer.from('\0')), 'WIRE_MALFORMED'],
    ['an unknown request', packet(80877105), 'WIRE_MALFORMED'],
    ['an SSLRequest with a body', packet(80877103, Buffer.from('x')), 'WIRE_MALFORMED'],
    ['a cancel without a key', packet(cancelCode, 1), 'WIRE_MALFORMED'],
    ['a cancel with a key of 257 bytes', packet(cancelCode, 1, Buffer.alloc(257)), 'WIRE_MALFORMED'],
    ['a startup without its terminator', packet(protocol3, Buffer.from('user\0app')), 'WIRE_MALFORMED'],
    ['a parameter without a value', packet(protocol3, Buffer.from('user\0')), 'WIRE_MALFORMED'],
    ['bytes after the terminator', packet(protocol3, Buffer.from('\0x')), 'WIRE_MALFORMED'],
    ['an empty startup', packet(protocol3), 'WIRE_MALFORMED'],
  ];
  for (const [name, bytes, code] of bad) {
    const decoded = decodeFirstPacket(bytes);
    assert.equal(decoded.kind === 'bad' && decoded.code, code, name);
  }
});

test('error response: a client library reads every field, and a NUL cannot end one early', () => {
  const bytes = errorResponse({
    severity: 'FATAL',
    sqlstate: '57P03',
    message: 'no\0primary',
    detail: 'd',
    hint: 'h',
  });
  const seen: unknown[] = [];
  new Parser().parse(Buffer.from(bytes), message => seen.push(message));
  const [error] = seen;
  assert.ok(error instanceof DatabaseError && seen.length === 1);
  assert.deepEqual(
    [error.severity, error.code, error.message, error.detail, error.hint],
    ['FATAL', '57P03', 'no primary', 'd', 'h'],
  );
});

test('refused encryption: the answer is the letter N', () => {
  assert.equal(Buffer.from(REFUSE_ENCRYPTION).toString(), 'N');
});
