// Whatever bytes a server sends: the answer check lets through what has the form of an answer, and never throws or hangs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AnswerCheck } from '../../src/protocol/mysql/answer.ts';
import { Framer } from '../../src/protocol/framer.ts';
import {
  decodeError,
  decodeGreeting,
  decodePacket,
  encodeGreeting,
  requestedPlugin,
} from '../../src/protocol/mysql/packets.ts';
import { greeting, resultset } from '../support/mysql-peer.ts';

const cells = fc.option(fc.string({ maxLength: 300 }), { nil: null });
const table = fc
  .integer({ min: 1, max: 5 })
  .chain(width =>
    fc
      .array(fc.array(cells, { minLength: width, maxLength: width }), { maxLength: 5 })
      .map(rows => ({ width, rows })),
  )
  .map(({ width, rows }) => {
    const columns = Array.from({ length: width }, (_, i) => `c${i}`);
    return resultset(
      rows.map(row => Object.fromEntries(row.map((value, i) => [`c${i}`, value]))),
      columns,
    );
  });

/** How many packets it took, and how it ended. */
function check(bytes: Uint8Array, cuts: readonly number[] = []): string {
  const framer = new Framer(decodePacket);
  const answer = new AnswerCheck();
  let start = 0;
  for (const end of [...cuts.map(cut => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    framer.push(bytes.subarray(start, end));
    start = end;
    for (;;) {
      const decoded = framer.next();
      if (decoded.kind === 'need') break;
      if (decoded.kind === 'bad') return 'bad';
      const checked = answer.next(decoded.value.payload);
      if (checked.kind === 'bad') return 'bad';
      if (checked.complete) return 'complete';
    }
  }
  return 'incomplete';
}

test('an answer is complete with its last packet and not before, however it is cut', () => {
  fc.assert(
    fc.property(table, fc.array(fc.nat(), { maxLength: 6 }), (bytes, cuts) => {
      assert.equal(check(bytes, cuts), 'complete');
      assert.equal(check(bytes.subarray(0, bytes.length - 1), cuts), 'incomplete');
    }),
    { numRuns: 300 },
  );
});

test('changed answers end in some way, without an exception', () => {
  fc.assert(
    fc.property(table, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 5 }), (bytes, changes) => {
      const changed = Buffer.from(bytes);
      for (const [at, value] of changes) changed[at % changed.length] = value;
      assert.match(check(changed), /^(bad|complete|incomplete)$/);
    }),
    { numRuns: 5000 },
  );
});

test('random bytes are read as greetings, errors and requests without an exception', () => {
  const whole = greeting('8.0.36', 'caching_sha2_password').subarray(4);
  const mutated = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 6 }).map(changes => {
    const bytes = Buffer.from(whole);
    for (const [at, value] of changes) bytes[at] = value;
    return bytes;
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), mutated), bytes => {
      decodeError(bytes);
      requestedPlugin(bytes);
      const read = decodeGreeting(bytes);
      if (typeof read === 'string') return;
      const again = decodeGreeting(encodeGreeting(read));
      assert.ok(typeof again !== 'string', 'what the driver gets is always well-formed');
    }),
    { numRuns: 5000 },
  );
});
