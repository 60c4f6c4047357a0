// What is held to be one whole request that changes nothing is so in the eyes of Node's own HTTP server too: one request, a
// safe method, complete, no body. And a byte more or less makes it something else.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { isRepeatable } from '../../src/protocol/http/repeatable.ts';

const harmless = fc.constantFrom(
  ...['Host: a', 'Host: b', 'Accept: */*', 'X-A: b', 'x-empty:', 'Connection: close', 'Connection: Upgrade'],
  ...['Content-Length: 0', 'Cookie: a=b; c=d', 'X: \xe4', 'Range: bytes=0-1'],
);
const telling = fc.constantFrom(
  ...['Content-Length: 3', 'Content-Length: +0', 'Transfer-Encoding: chunked', 'Upgrade: echo'],
  ...['Expect: 100-continue', ' folded', 'X : a'],
);
const line = fc.oneof({ weight: 9, arbitrary: harmless }, { weight: 1, arbitrary: telling });
const request = fc
  .record({
    method: fc.constantFrom('GET', 'GET', 'HEAD', 'OPTIONS', 'POST', 'get'),
    target: fc.constantFrom('/', '/c', '*', '/a?b=c&d', 'http://a/b', 'a b', '/\xfc'),
    version: fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/1.0', 'HTTP/2.0'),
    lines: fc.array(line, { maxLength: 4 }),
    end: fc.constantFrom('\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n'),
    rest: fc.constantFrom('', '', '', '', '', 'x', '0\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n'),
    change: fc.option(fc.tuple(fc.nat(), fc.constantFrom(...Buffer.from('\r\n :\0x'))), { freq: 2 }),
  })
  .map(({ method, target, version, lines, end, rest, change }) => {
    const text = [`${method} ${target} ${version}`, ...lines, '', ''].join(end) + rest;
    const bytes = Buffer.from(text, 'latin1');
    if (change !== null) bytes[change[0] % bytes.length] = change[1];
    return bytes;
  });

interface Seen {
  readonly method: string;
  readonly body: number;
}

/** What a server makes of the bytes of one connection; `null`: it found a fault with them. */
async function served(bytes: Buffer): Promise<readonly Seen[] | null> {
  const seen: Seen[] = [];
  let faulty = false;
  const server = createServer({ requireHostHeader: false }, (incoming, response) => {
    let body = 0;
    incoming.on('data', (chunk: Buffer) => (body += chunk.length));
    incoming.on('end', () => seen.push({ method: incoming.method ?? '', body }));
    response.end();
  });
  server.on('clientError', (_error, socket) => {
    faulty = true;
    socket.destroy();
  });
  const connection = new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, done) => done(),
  });
  const closed = new Promise(resolve => connection.once('close', resolve));
  server.emit('connection', connection);
  connection.push(bytes);
  connection.push(null);
  await closed;
  return faulty ? null : seen;
}

test('repeatable: what is so is one whole request without a body to a server, and changes nothing', async () => {
  let repeatable = 0;
  await fc.assert(
    fc.asyncProperty(request, async bytes => {
      if (!isRepeatable(bytes)) return;
      repeatable += 1;
      const seen = await served(bytes);
      // Its fault may be one that only servers know; then it is told so, once.
      if (seen === null) return;
      assert.equal(seen.length, 1);
      assert.ok(['GET', 'HEAD', 'OPTIONS'].includes(seen[0]?.method ?? ''));
      assert.equal(seen[0]?.body, 0);
    }),
    { numRuns: 3000 },
  );
  assert.ok(repeatable > 200, `${repeatable} of 3000`);
});

test('repeatable: no part of a request is, nor is a request with anything behind it', () => {
  let repeatable = 0;
  fc.assert(
    fc.property(request, fc.uint8Array({ minLength: 1, maxLength: 4 }), (bytes, more) => {
      if (!isRepeatable(bytes)) return;
      repeatable += 1;
      for (let length = 0; length < bytes.length; length += 1) {
        assert.ok(!isRepeatable(bytes.subarray(0, length)));
      }
      assert.ok(!isRepeatable(Buffer.concat([bytes, more])));
    }),
    { numRuns: 3000 },
  );
  assert.ok(repeatable > 200, `${repeatable} of 3000`);
});
