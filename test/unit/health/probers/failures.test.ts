import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectFailure, connectTimeout, failure } from '../../../../src/health/probers/failures.ts';

const errno = (code: string): Error => Object.assign(new Error(`connect ${code}`), { code });

test('connect failures: what this machine lacks says nothing about the server', () => {
  for (const code of ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EACCES', 'EPERM'])
    assert.equal(connectFailure(errno(code)).code, 'L4SYS', code);
});

test('connect failures: refused and unreachable, too late, and a name that nobody knows are told apart', () => {
  for (const [code, means] of [
    ['ECONNREFUSED', 'L4CON'],
    ['EHOSTUNREACH', 'L4CON'],
    ['ECONNRESET', 'L4CON'],
    ['ETIMEDOUT', 'L4TOUT'],
    ['ENOTFOUND', 'L4DNS'],
    ['EAI_AGAIN', 'L4DNS'],
  ] as const) {
    assert.deepEqual(connectFailure(errno(code)), { code: means, detail: `connect ${code}` });
  }
});

test('connect failures: a timeout says what was waited for', () => {
  assert.deepEqual(connectTimeout('resolving', 700), {
    code: 'L4DNS',
    detail: 'the name was not resolved within 700 ms',
  });
  assert.deepEqual(connectTimeout('connecting', 700), {
    code: 'L4TOUT',
    detail: 'no connection within 700 ms',
  });
});

test('connect failures: a detail of any length is cut', () => {
  assert.ok(failure('L4CON', 'x'.repeat(100_000)).detail.length < 1000);
});
