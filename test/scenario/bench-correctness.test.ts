// The bench's check before it measures: a proxy that changes, loses or withholds bytes stops it, with the service named.
// The proxies here are servers that answer wrongly by themselves.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { checkBytes } from '../../bench/proxy/correctness.ts';
import { type ServiceName } from '../../bench/proxy/model.ts';
import { HTTP_BODY } from '../../bench/proxy/peers/nginx-http.ts';

async function checkAgainst(
  t: TestContext,
  service: ServiceName,
  serve: (socket: Socket) => void,
): Promise<void> {
  const open = new Set<Socket>();
  const server = createServer(socket => {
    open.add(socket);
    socket.on('error', () => undefined); // the check is free to reset
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  await checkBytes(new Map([[service, { host: '127.0.0.1', port }]]));
}

const http = (body: string) => (socket: Socket) => {
  socket.once('data', () => {
    socket.end(
      `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  });
};

test('bench correctness: bytes that come back as they were are right', async t => {
  await checkAgainst(t, 'echo', socket => socket.pipe(socket));
  await checkAgainst(t, 'http', http(HTTP_BODY));
});

test('bench correctness: one changed byte among 8 MiB is found', async t => {
  let seen = 0;
  const serve = (socket: Socket): void => {
    socket.on('data', (chunk: Buffer) => {
      if (seen < 1e6 && seen + chunk.length >= 1e6) chunk[0] = (chunk[0] ?? 0) ^ 1;
      seen += chunk.length;
      socket.write(chunk);
    });
  };
  await assert.rejects(checkAgainst(t, 'echo', serve), /^Error: echo: 8 MiB through the echo: 0 /);
});

test('bench correctness: bytes too many are found', async t => {
  const serve = (socket: Socket): void => {
    socket.write('x');
    socket.pipe(socket);
  };
  await assert.rejects(checkAgainst(t, 'echo', serve), /echo: 8 MiB through the echo/);
});

test('bench correctness: a connection that ends before all is back is found', async t => {
  const serve = (socket: Socket): void => void socket.once('data', chunk => socket.end(chunk));
  await assert.rejects(
    checkAgainst(t, 'echo', serve),
    /echo: (closed with \d+ bytes missing|.*(EPIPE|ECONNRESET))/,
  );
});

test('bench correctness: another HTTP answer is found', async t => {
  const serve = http(HTTP_BODY.toUpperCase());
  await assert.rejects(checkAgainst(t, 'http', serve), /http: the answer: 200 POINTSMAN BENCH/);
});

test('bench correctness: PostgreSQL that does not speak is found', async t => {
  await assert.rejects(
    checkAgainst(t, 'pg', socket => socket.destroy()),
    /^Error: pg: /,
  );
});
