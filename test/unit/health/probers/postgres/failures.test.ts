import assert from 'node:assert/strict';
import { socketFailure, timeoutFailure } from '../../../../../src/health/probers/failures.ts';
import { test } from 'node:test';
import { serverFailure, type Phase } from '../../../../../src/health/probers/postgres/failures.ts';
import { type FailureCode } from '../../../../../src/health/result.ts';

const errno = (code: string): Error => Object.assign(new Error(`it failed: ${code}`), { code });

test('socket errors: what they mean depends on how far the connection had come', () => {
  const expected: [Phase, string, FailureCode][] = [
    ['connecting', 'ECONNREFUSED', 'L4CON'],
    ['connecting', 'EHOSTUNREACH', 'L4CON'],
    ['connecting', 'ENETUNREACH', 'L4CON'],
    ['connecting', 'ETIMEDOUT', 'L4TOUT'],
    ['connecting', 'EMFILE', 'L4SYS'],
    ['connecting', 'ENFILE', 'L4SYS'],
    ['connecting', 'ENOBUFS', 'L4SYS'],
    ['connecting', 'EADDRNOTAVAIL', 'L4SYS'],
    ['resolving', 'ENOTFOUND', 'L4DNS'],
    ['resolving', 'EAI_AGAIN', 'L4DNS'],
    ['handshaking', 'ECONNRESET', 'L4LOST'],
    ['handshaking', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'L6RSP'],
    ['login', 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'L6RSP'],
    ['login', 'ECONNRESET', 'L4LOST'],
    ['asking', 'EPIPE', 'L4LOST'],
    ['idle', 'ETIMEDOUT', 'L4LOST'],
  ];
  for (const [phase, code, means] of expected) {
    assert.equal(socketFailure(phase, errno(code)).code, means, `${code} while ${phase}`);
  }
});

test('socket errors: of several addresses tried, the first tells', () => {
  const all = new AggregateError([errno('ECONNREFUSED'), errno('EMFILE')]);
  assert.equal(socketFailure('connecting', all).code, 'L4CON');
});

test('timeouts: each layer has its own', () => {
  const expected: [Phase, FailureCode][] = [
    ['resolving', 'L4DNS'],
    ['connecting', 'L4TOUT'],
    ['negotiating', 'L7TOUT'],
    ['handshaking', 'L6TOUT'],
    ['login', 'L7TOUT'],
    ['asking', 'L7TOUT'],
  ];
  for (const [phase, means] of expected) assert.equal(timeoutFailure(phase, 1000).code, means, phase);
});

test('server errors: the SQLSTATE decides, the words are kept and bounded', () => {
  const expected: [string, FailureCode][] = [
    ['28P01', 'L7AUTH'],
    ['28000', 'L7AUTH'],
    ['53300', 'L7BUSY'],
    ['57P03', 'L7START'],
    ['57P01', 'L4LOST'],
    ['57P02', 'L4LOST'],
    ['57P05', 'L4LOST'],
    ['57014', 'L7TOUT'],
    ['3D000', 'L7DB'],
    ['57P04', 'L7DB'],
    ['42501', 'L7STS'],
    ['', 'L7STS'],
  ];
  for (const [sqlstate, means] of expected) {
    const { code, detail } = serverFailure({ severity: 'FATAL', sqlstate, message: 'words '.repeat(200) });
    assert.equal(code, means, sqlstate);
    assert.ok(detail.startsWith(`FATAL ${sqlstate}: words`) && detail.length <= 300);
  }
});
