// The 503 answer, as a real HTTP client reads it.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { unavailable } from '../../../../src/protocol/http/unavailable.ts';

test('unavailable: an HTTP client reads status, headers and the whole body', async t => {
  const message = 'no “server” — läuft nicht';
  const answer = unavailable({ retryAfterSeconds: 7, error: 'no-server', message });
  const server = createServer(socket => socket.once('data', () => socket.end(answer)));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => new Promise(resolve => server.close(resolve)));
  const { port } = server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}/`);
  assert.equal(response.status, 503);
  assert.equal(response.headers.get('retry-after'), '7');
  assert.equal(response.headers.get('connection'), 'close');
  assert.deepEqual(await response.json(), { error: 'no-server', message });
});
