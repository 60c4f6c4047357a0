// What a refused client reads, for each reason.

import assert from 'node:assert/strict';
import { test } from 'node:test';
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
  readError(Buffer.from(refusal(reason, { ...facts, ...given })));

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
