import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TCP_ANSWER_MAX_BYTES } from '../../../../../src/core/limits.ts';
import { Expectation } from '../../../../../src/health/probers/tcp/expectation.ts';

test('expectation: the bytes are found wherever they stand, however the answer is cut', () => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 30 }),
      fc.string({ minLength: 1, maxLength: 10 }),
      fc.integer({ min: 1, max: 12 }),
      (before, wanted, size) => {
        const bytes = Buffer.from(`${before}${wanted}`);
        const expectation = new Expectation(wanted);
        const found: string[] = [];
        for (let at = 0; at < bytes.length; at += size)
          found.push(expectation.push(bytes.subarray(at, at + size)));
        assert.equal(found.includes('met'), true);
      },
    ),
  );
});

test('expectation: an answer without them is waited for up to a bound', () => {
  const expectation = new Expectation('PONG');
  const chunk = Buffer.alloc(TCP_ANSWER_MAX_BYTES / 2 - 1, 'P');
  assert.equal(expectation.push(chunk), 'more');
  assert.equal(expectation.push(chunk), 'more');
  assert.equal(
    expectation.push(Buffer.from('xPONG')),
    'too-much',
    'what stands beyond the bound does not count',
  );
  assert.equal(expectation.tooMuch().code, 'L7RSP');
});

test('expectation: what is missing is told without a word of the server’s', () => {
  const expectation = new Expectation('PONG');
  assert.match(expectation.late(250).detail, /within 250 ms \(not a byte came\)/);
  expectation.push(Buffer.from('-'));
  assert.match(expectation.hungUp().detail, /\(1 byte came\)/);
  expectation.push(Buffer.from('ERR unknown command AUTH Hidden-Word'));
  assert.equal(expectation.late(250).code, 'L7TOUT');
  assert.equal(expectation.hungUp().code, 'L4LOST');
  assert.match(expectation.hungUp().detail, /\(37 bytes came\)/);
});
