import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HTTP_BODY_MAX_BYTES, HTTP_HEAD_MAX_BYTES } from '../../../../src/core/limits.ts';
import { ResponseReader, type Reading } from '../../../../src/protocol/http/response.ts';

/** Fed in pieces until it has an outcome; `close`: the server's FIN comes after them. */
function read(text: string, { size = 10_000, close = false } = {}): Reading {
  const reader = new ResponseReader();
  const bytes = Buffer.from(text, 'latin1');
  let reading: Reading = { kind: 'need' };
  for (let at = 0; at < bytes.length && reading.kind === 'need'; at += size) {
    reading = reader.push(bytes.subarray(at, at + size));
  }
  return close && reading.kind === 'need' ? reader.end() : reading;
}

/** `status body keep|close`, or why it is none. */
function said(reading: Reading): string {
  if (reading.kind === 'need') return 'need';
  if (reading.kind === 'bad') return `${reading.code}: ${reading.detail}`;
  const { status, body, keepAlive } = reading.response;
  return `${status} ${JSON.stringify(body.toString('latin1'))} ${keepAlive ? 'keep' : 'close'}`;
}

const answers: [string, string, string][] = [
  ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', '200 "hello" keep'],
  ['no reason phrase', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', '200 "" keep'],
  ['a length of none', 'HTTP/1.1 503 Busy\r\ncontent-length:0\r\n\r\n', '503 "" keep'],
  [
    'chunks',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n',
    '200 "hello" keep',
  ],
  [
    'chunks and trailers',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n',
    '200 "x" keep',
  ],
  ['no body by status', 'HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n', '204 "" keep'],
  ['no body by 304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n', '304 "" keep'],
  [
    'an interim answer first',
    'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx',
    '200 "x" keep',
  ],
  ['bare line feeds', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nhi', '200 "hi" keep'],
  ['a folded header', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi', '200 "hi" keep'],
  [
    'the same length twice',
    'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nhi',
    '200 "hi" keep',
  ],
  [
    'Connection: close',
    'HTTP/1.1 200 OK\r\nConnection: Foo, Close\r\nContent-Length: 2\r\n\r\nhi',
    '200 "hi" close',
  ],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi', '200 "hi" close'],
  [
    'HTTP/1.0 that is kept alive',
    'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi',
    '200 "hi" keep',
  ],
  [
    'both framings',
    'HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n',
    '200 "x" close',
  ],
  ['an upgrade that nobody asked for', 'HTTP/1.1 101 Switching\r\n\r\n', '101 "" close'],
];
for (const [name, text, expected] of answers) {
  test(`response: ${name} is read, in pieces of any size`, () => {
    for (const size of [1, 2, 3, 7, 10_000])
      assert.equal(said(read(text, { size })), expected, `size ${size}`);
  });
}

test('response: a body without a length ends with the connection, and not before', () => {
  for (const head of ['HTTP/1.1 200 OK\r\n\r\n', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n']) {
    assert.equal(said(read(`${head}all of it`)), 'need');
    assert.equal(said(read(`${head}all of it`, { close: true })), '200 "all of it" close');
    assert.equal(said(read(head, { close: true })), '200 "" close');
  }
});

test('response: one that is cut off is none', () => {
  for (const text of [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n',
    'HTTP/1.1 200 OK\r\nContent-',
    'HTT',
  ]) {
    assert.equal(said(read(text, { close: true })), 'need', text);
  }
});

test('response: bytes after its end are not the next one’s', () => {
  assert.equal(said(read('HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n\r\n')), '204 "" close');
});

const garbage = [
  'SSH-2.0-OpenSSH_9.2\r\n',
  '-ERR unknown command\r\n',
  'H',
  'HTTP/2 200\r\n\r\n',
  'HTTP/1.1 OK\r\n\r\n',
  'HTTP/1.1 20\r\n\r\n',
  'HTTP/1.1 2000 OK\r\n\r\n',
  'HTTP/1.1 099 OK\r\n\r\n',
  'HTTP/1.7 200 OK\r\n\r\n',
  'HTTP/1.1 200 OK\r\nno colon\r\n\r\n',
  'HTTP/1.1 200 OK\r\na b: c\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab',
  'HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n',
];
test('response: what HTTP does not allow is refused, without being quoted', () => {
  for (const text of garbage.filter(text => text !== 'H')) {
    const reading = read(text);
    assert.ok(reading.kind === 'bad' && reading.code === 'WIRE_MALFORMED', `${text}: ${said(reading)}`);
  }
  assert.equal(said(read('H')), 'need');
  assert.equal(read('S').kind, 'bad', 'from the first wrong byte on, without waiting for a line');
});

test('response: what is too large is refused as soon as that is known', () => {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  const body = 'x'.repeat(HTTP_BODY_MAX_BYTES);
  const large = [
    `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(HTTP_HEAD_MAX_BYTES)}`,
    `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(HTTP_HEAD_MAX_BYTES / 6)}`,
    'HTTP/1.1 100 Continue\r\n\r\n'.repeat(HTTP_HEAD_MAX_BYTES / 25 + 1),
    `HTTP/1.1 200 OK\r\nContent-Length: ${HTTP_BODY_MAX_BYTES + 1}\r\n\r\n`,
    `HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n\r\n${body}x`,
    `${chunked}fffffffffffffff\r\n`,
    `${chunked}${HTTP_BODY_MAX_BYTES.toString(16)}\r\n${body}\r\n1\r\n`,
    `${chunked}1;${'x'.repeat(HTTP_HEAD_MAX_BYTES)}`,
    `${chunked}0\r\n${'X: y\r\n'.repeat(HTTP_HEAD_MAX_BYTES / 6 + 1)}`,
  ];
  for (const text of large) {
    const reading = read(text);
    assert.ok(
      reading.kind === 'bad' && reading.code === 'WIRE_TOO_LARGE',
      `${text.slice(0, 60)}: ${reading.kind}`,
    );
  }
  assert.equal(
    read(`HTTP/1.1 200 OK\r\n\r\n${body}`, { close: true }).kind,
    'ok',
    'the bound itself is fine',
  );
});
