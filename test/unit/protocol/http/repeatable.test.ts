// Which requests may be asked again, byte by byte.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRepeatable } from '../../../../src/protocol/http/repeatable.ts';

const says = (text: string): boolean => isRepeatable(Buffer.from(text, 'latin1'));
const withHeader = (line: string): boolean =>
  says(`GET / HTTP/1.1\r\nHost: a\r\n${line}\r\nAccept: */*\r\n\r\n`);

test('repeatable: whole requests that change nothing', () => {
  for (const request of [
    'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /a/b?c=d%20e HTTP/1.0\r\n\r\n',
    'HEAD http://a/ HTTP/1.1\r\nHost: a\r\n\r\n',
    'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
    `GET / HTTP/1.1\r\nCookie: ${'x'.repeat(8000)}\r\n\r\n`,
  ]) {
    assert.ok(says(request), request);
  }
  for (const line of [
    'Content-Length: 0',
    'content-length:0 ',
    'X-Empty:',
    'User-Agent: a (b; c) "d"\te',
    'X-Name: M\xfcller',
    'Connection: keep-alive, TE',
    'TE: trailers',
    'X-Upgrade: no',
  ]) {
    assert.ok(withHeader(line), line);
  }
});

test('repeatable: no other method, in whichever case', () => {
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'CONNECT', 'TRACE', 'get', 'GETX', 'PRI', '']) {
    assert.ok(!says(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`), method);
  }
});

test('repeatable: nothing with a body, with another protocol to come, or with an answer in between', () => {
  for (const line of [
    'Content-Length: 1',
    'Content-Length: 0, 0',
    'Content-Length:',
    'Content-Length: 00',
    'Transfer-Encoding: chunked',
    'transfer-encoding:identity',
    'Upgrade: websocket',
    'EXPECT: 100-continue',
    'Trailer: X',
  ]) {
    assert.ok(!withHeader(line), line);
  }
});

test('repeatable: nothing that two servers might read in two ways', () => {
  for (const request of [
    '',
    '\r\n',
    '\r\n\r\n',
    'GET / HTTP/1.1\r\n',
    'GET / HTTP/1.1\n\n',
    'GET / HTTP/1.1\nHost: a\r\n\r\n',
    '\r\nGET / HTTP/1.1\r\n\r\n',
    ' GET / HTTP/1.1\r\n\r\n',
    'GET  / HTTP/1.1\r\n\r\n',
    'GET / HTTP/1.1 \r\n\r\n',
    'GET /a b HTTP/1.1\r\n\r\n',
    'GET /\xfc HTTP/1.1\r\n\r\n',
    'GET /\r\n\r\n',
    'GET / HTTP/2.0\r\n\r\n',
    'GET / HTTP/1.2\r\n\r\n',
    'GET / http/1.1\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\nx',
    'GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n',
  ]) {
    assert.ok(!says(request), JSON.stringify(request));
  }
  for (const line of [
    'no colon',
    ': no name',
    ' folded: b',
    'Host : a',
    'X: a\rb',
    'X: a\nTransfer-Encoding: chunked',
    'X: a\0b',
    'X: \x7f',
    'M\xfcller: a',
  ]) {
    assert.ok(!withHeader(line), JSON.stringify(line));
  }
});

test('repeatable: part of a larger buffer is judged for itself', () => {
  const pool = Buffer.from('POST GET / HTTP/1.1\r\n\r\nGET /');
  assert.ok(isRepeatable(pool.subarray(5, 23)));
  assert.ok(!isRepeatable(pool.subarray(5, 22)));
  assert.ok(!isRepeatable(pool.subarray(5, 24)));
});
