// What a refused client reads, for each reason.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Protocol } from '../../../src/config/schema.ts';
import { rejectReasons, type RejectReason } from '../../../src/proxy/events.ts';
import { refusal, type RefusalFacts } from '../../../src/proxy/refusal.ts';
import { readError } from '../../support/tcp-packets.ts';

const facts: RefusalFacts = {
  frontend: 'app-rw',
  backend: 'app',
  route: 'primary',
  maxConnections: 100,
  holdMax: 50,
  vacantMs: 30_200,
};
const read = (reason: RejectReason, given: Partial<RefusalFacts> = {}) =>
  readError(Buffer.from(refusal('postgres', reason, { ...facts, ...given })));

test('refusal: a client without a primary is told since when, and nothing that a stranger should not know', () => {
  assert.deepEqual(read('hold-timeout'), {
    severity: 'FATAL',
    sqlstate: '57P03',
    message: 'pointsman: no primary in backend app for 30 s',
  });
});

test('refusal: the wanted role is named', () => {
  assert.match(
    read('no-server', { route: 'replica', vacantMs: 70 }).message,
    /^pointsman: no replica in backend app for 70 ms$/,
  );
  assert.match(read('no-server', { route: 'any' }).message, /no server in backend app/);
  assert.match(read('no-server', { route: 'replica-or-primary' }).message, /no replica or primary in/);
});

test('refusal: limits are told with their number and their key', () => {
  assert.deepEqual(read('max-connections'), {
    severity: 'FATAL',
    sqlstate: '53300',
    message: 'pointsman: frontend app-rw has its 100 connections (max_connections)',
  });
  assert.match(read('hold-full').message, /50 clients wait already \(hold_max of frontend app-rw\)$/);
  assert.equal(read('hold-full').sqlstate, '53300');
});

test('refusal: every reason has a message that a client library can parse', () => {
  for (const reason of Object.keys(rejectReasons) as RejectReason[]) {
    const { sqlstate, message } = read(reason);
    assert.match(sqlstate, /^[0-9A-Z]{5}$/);
    assert.match(message, /^pointsman: \S/);
  }
  assert.equal(read('shutdown').sqlstate, '57P01');
});

const reasons = Object.keys(rejectReasons) as RejectReason[];
const told = (protocol: Protocol, reason: RejectReason, given: Partial<RefusalFacts> = {}): string =>
  Buffer.from(refusal(protocol, reason, { ...facts, ...given })).toString();

test('refusal: mysql is told as an error that its clients try again on, and a shutdown as one', () => {
  for (const reason of reasons) {
    const packet = Buffer.from(refusal('mysql', reason, facts));
    assert.equal(packet.readUIntLE(0, 3), packet.length - 4);
    assert.deepEqual([packet[3], packet[4]], [0, 0xff]);
    const closing = reason === 'shutdown' || reason === 'frontend-removed';
    const [errno, state] = closing ? [1053, '#08S01'] : [1040, '#08004'];
    assert.equal(packet.readUInt16LE(5), errno);
    const sentence = read(reason).message;
    assert.equal(packet.subarray(7).toString(), `${state}${sentence}`);
  }
});

test('refusal: redis is told in one line, with a word that its clients try again on', () => {
  for (const reason of reasons) {
    const word = reason === 'tls-certificate' ? 'DENIED' : 'LOADING';
    assert.equal(told('redis', reason), `-${word} ${read(reason).message}\r\n`);
  }
  assert.match(told('redis', 'no-server', { route: 'replica' }), /^-MASTERDOWN pointsman: no replica in/);
  assert.match(told('redis', 'max-connections', { route: 'replica' }), /^-LOADING /);
});

test('refusal: http is told with a status, when to come back, and a body of JSON', () => {
  for (const reason of reasons) {
    const [head = '', body = ''] = told('http', reason, { route: 'any' }).split('\r\n\r\n');
    const [status, ...headers] = head.split('\r\n');
    assert.equal(status, 'HTTP/1.1 503 Service Unavailable');
    assert.ok(headers.includes(`Content-Length: ${Buffer.byteLength(body)}`));
    for (const header of ['Connection: close', 'Retry-After: 1', 'Content-Type: application/json']) {
      assert.ok(headers.includes(header), header);
    }
    const { error, message } = JSON.parse(body) as Record<string, string>;
    assert.equal(error, reason);
    assert.equal(message, read(reason, { route: 'any' }).message);
  }
});

test('refusal: nothing is said where nobody knows what would be understood', () => {
  for (const reason of reasons) assert.equal(told('tcp', reason), '');
});
