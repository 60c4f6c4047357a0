// The reader of HTTP answers: whatever is written by the rules is read, in pieces of any size, and nothing makes it throw.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HTTP_BODY_MAX_BYTES } from '../../src/core/limits.ts';
import { ResponseReader, type Reading } from '../../src/protocol/http/response.ts';

function feed(bytes: Uint8Array, cuts: readonly number[]): Reading {
  const reader = new ResponseReader();
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = cuts.length === 0 ? bytes.length : (cuts[turn % cuts.length] ?? 1);
    const reading = reader.push(bytes.subarray(at, at + size));
    if (reading.kind !== 'need') return reading;
    at += size;
  }
  return reader.end();
}

const cutsArb = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 5 });

test('response: what is written in any framing is read as it was, however it is cut', () => {
  const framing = fc.constantFrom('length', 'chunked', 'until-close');
  const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { maxLength: 6 });
  const statuses = fc.integer({ min: 200, max: 599 }).filter(status => status !== 204 && status !== 304);
  fc.assert(
    fc.property(statuses, pieces, framing, cutsArb, (status, parts, kind, cuts) => {
      const body = Buffer.concat(parts);
      const head = {
        length: `Content-Length: ${body.length}\r\n`,
        chunked: 'Transfer-Encoding: chunked\r\n',
        'until-close': '',
      }[kind];
      const chunks = parts.flatMap(part => [`${part.length.toString(16)}\r\n`, part, '\r\n']);
      const coded = kind === 'chunked' ? [...chunks, '0\r\n\r\n'] : [body];
      const bytes = Buffer.concat(
        [`HTTP/1.1 ${status} x\r\n${head}\r\n`, ...coded].map(part => Buffer.from(part as string)),
      );
      const reading = feed(bytes, cuts);
      assert.ok(reading.kind === 'ok', JSON.stringify(reading));
      assert.deepEqual([reading.response.status, reading.response.body], [status, body]);
      assert.equal(reading.response.keepAlive, kind !== 'until-close');
    }),
  );
});

test('response: no bytes make the reader throw, nor hold more than its bound', () => {
  const start = fc.constantFrom(
    '',
    'HTTP/1.1 ',
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  const noise = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 50 }),
      fc
        .constantFrom('\r\n', '\n\n', ' ', ':', '0\r\n', 'ffff\r\n', 'Content-Length: 3\r\n')
        .map(text => Buffer.from(text)),
    ),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(start, noise, cutsArb, (text, parts, cuts) => {
      const reading = feed(Buffer.concat([Buffer.from(text), ...parts]), cuts);
      if (reading.kind === 'ok') assert.ok(reading.response.body.length <= HTTP_BODY_MAX_BYTES);
    }),
  );
});
