// Whatever a peer sends: no throw, no hang, no memory beyond the limits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { serialize } from 'pg-protocol';
import { Framer } from '../../src/protocol/framer.ts';
import { observeBackendKey, startBackendKey } from '../../src/protocol/postgres/backend-key.ts';
import { decodeServerMessage } from '../../src/protocol/postgres/frames.ts';
import { decodeFirstPacket } from '../../src/protocol/postgres/startup.ts';
import { frame, int32, primaryAnswer, welcome } from '../support/scripted-peer.ts';

const RUNS = { numRuns: 10_000 };

const session = Buffer.concat([
  frame('R', Buffer.concat([int32(10), Buffer.from('SCRAM-SHA-256\0\0')])),
  welcome,
  frame('A', Buffer.concat([int32(4711), Buffer.from('state\0{}\0')])),
  frame('N', 'SNOTICE\0C00000\0Mhello\0\0'),
  frame('T', Buffer.concat([Buffer.from([0, 1, 0x61, 0]), Buffer.alloc(18)])),
  primaryAnswer,
  frame('E', 'SERROR\0C42P01\0Mno such table\0\0'),
]);
const startup = serialize.startup({ user: 'app', database: 'shop' });

/** A valid stream with some bytes overwritten, cut off anywhere. */
const mutated = (base: Uint8Array): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      fc.array(fc.tuple(fc.nat(base.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
      fc.integer({ min: 0, max: base.length }),
    )
    .map(([changes, length]) => {
      const bytes = Buffer.from(base);
      for (const [at, value] of changes) bytes[at] = value;
      return bytes.subarray(0, length);
    });

const noise = fc.uint8Array({ maxLength: 400 }).map(bytes => Buffer.from(bytes));
const typed = fc
  .tuple(fc.constantFrom(...'ARSKENTDCIZ'), fc.uint8Array({ maxLength: 60 }))
  .map(([type, body]) => frame(type, body));
const pieces = fc.integer({ min: 1, max: 50 });

function verdicts(bytes: Uint8Array, pieceBytes: number): string[] {
  const framer = new Framer(decodeServerMessage);
  const seen: string[] = [];
  for (let i = 0; i < bytes.length; i += pieceBytes) {
    framer.push(bytes.subarray(i, i + pieceBytes));
    for (;;) {
      const decoded = framer.next();
      if (decoded.kind === 'need') break;
      seen.push(JSON.stringify(decoded));
      if (decoded.kind === 'bad') return seen;
    }
  }
  return seen;
}

test('server messages: random and mutated streams never throw, and read the same in any pieces', () => {
  fc.assert(
    fc.property(fc.oneof(noise, typed, mutated(session)), pieces, (bytes, size) => {
      assert.deepEqual(verdicts(bytes, size), verdicts(bytes, Math.max(bytes.length, 1)));
    }),
    RUNS,
  );
});

test('first packet: random and mutated bytes never throw, consume too much or change their verdict with more bytes', () => {
  fc.assert(
    fc.property(fc.oneof(noise, mutated(startup)), bytes => {
      const whole = decodeFirstPacket(bytes);
      if (whole.kind === 'ok') assert.ok(whole.consumed <= bytes.length);
      for (let length = 0; length < bytes.length; length += 1) {
        const part = decodeFirstPacket(bytes.subarray(0, length));
        if (part.kind === 'need') continue;
        assert.deepEqual(part, whole);
        break;
      }
    }),
    RUNS,
  );
});

test('backend key: random and mutated streams never throw, keep under 300 bytes and end the same in any pieces', () => {
  fc.assert(
    fc.property(
      fc.oneof(noise, mutated(welcome), mutated(Buffer.concat([Buffer.from('N'), welcome]))),
      fc.constantFrom('startup' as const, 'ssl-request' as const, 'gssenc-request' as const),
      pieces,
      (bytes, sent, size) => {
        let state = startBackendKey(sent);
        for (let i = 0; i < bytes.length; i += size) {
          state = observeBackendKey(state, bytes.subarray(i, i + size));
          if (state.kind === 'reading') assert.ok(state.partial.length <= 300);
        }
        assert.deepEqual(state, observeBackendKey(startBackendKey(sent), bytes));
      },
    ),
    RUNS,
  );
});
