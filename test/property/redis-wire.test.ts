import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Framer } from '../../src/protocol/framer.ts';
import { decodeReply, type Reply } from '../../src/protocol/redis/reply.ts';

const { reply } = fc.letrec<{ reply: Reply }>(tie => ({
  reply: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.string({ unit: 'grapheme' }).map((text): Reply => ({ kind: 'text', text })),
    fc.maxSafeInteger().map((value): Reply => ({ kind: 'integer', value })),
    fc.stringMatching(/^[A-Z]{2,9} [a-z ]{0,20}$/).map((text): Reply => ({ kind: 'error', text })),
    fc.constant<Reply>({ kind: 'null' }),
    fc.array(tie('reply'), { maxLength: 5 }).map((items): Reply => ({ kind: 'list', items })),
  ),
}));

function encode(value: Reply): string {
  switch (value.kind) {
    case 'text':
      return `$${Buffer.byteLength(value.text)}\r\n${value.text}\r\n`;
    case 'integer':
      return `:${value.value}\r\n`;
    case 'error':
      return `-${value.text}\r\n`;
    case 'null':
      return '_\r\n';
    case 'list':
    case 'push':
      return `*${value.items.length}\r\n${value.items.map(encode).join('')}`;
  }
}

function decodeAll(bytes: Buffer, cuts: readonly number[]): readonly Reply[] {
  const framer = new Framer(decodeReply);
  const replies: Reply[] = [];
  const edges = [...new Set([0, ...cuts.map(cut => cut % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  );
  edges.slice(1).forEach((edge, i) => {
    framer.push(bytes.subarray(edges[i], edge));
    for (let decoded = framer.next(); decoded.kind !== 'need'; decoded = framer.next()) {
      assert.ok(decoded.kind === 'ok', JSON.stringify(decoded));
      replies.push(decoded.value);
    }
  });
  return replies;
}

test('redis wire: replies are read back whole, however the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(reply, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 8 }), (replies, cuts) => {
      assert.deepEqual(decodeAll(Buffer.from(replies.map(encode).join('')), cuts), replies);
    }),
  );
});

test('redis wire: no bytes make the decoder throw, nor consume more than there is', () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
    fc
      .string({ unit: fc.constantFrom(...'*$%~>|+-:_#=!(,0123-\r\na'), maxLength: 60 })
      .map(text => Buffer.from(text)),
  );
  fc.assert(
    fc.property(noise, bytes => {
      const decoded = decodeReply(bytes);
      if (decoded.kind === 'ok') assert.ok(decoded.consumed > 0 && decoded.consumed <= bytes.length);
      if (decoded.kind === 'need') assert.ok(decoded.bytes > 0);
    }),
    { numRuns: 3000 },
  );
});
