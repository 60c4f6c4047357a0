import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeProbeRequest } from '../../../../src/protocol/http/request.ts';

const address = { host: '10.0.0.1', port: 8080 };
const plain = { address, path: '/health', host: null, headers: {} };
const text = (request: Parameters<typeof encodeProbeRequest>[0]): string =>
  encodeProbeRequest(request).toString('latin1');

test('request: a GET with the server as its host', () => {
  assert.equal(
    text(plain),
    'GET /health HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nUser-Agent: pointsman\r\nAccept: */*\r\nAccept-Encoding: identity\r\n\r\n',
  );
  assert.match(text({ ...plain, address: { host: '::1', port: 80 } }), /\r\nHost: \[::1\]:80\r\n/);
});

test('request: a host and headers of the operator’s take the place of the usual ones', () => {
  const request = text({ ...plain, host: 'app.test', headers: { 'user-agent': 'me', 'X-Key': 'k' } });
  assert.match(request, /\r\nHost: app\.test\r\n/);
  assert.match(request, /\r\nuser-agent: me\r\nX-Key: k\r\n\r\n$/);
  assert.doesNotMatch(request, /pointsman/);
});
