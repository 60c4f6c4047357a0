// The keys of HTTP backends, of REST APIs beside PostgreSQL servers, and of what plain TCP servers are told.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { httpBackend } from '../../../src/config/backends/http.ts';
import { postgresBackend } from '../../../src/config/backends/postgres.ts';

const http = (check: object) =>
  httpBackend.safeParse({ protocol: 'http', check, servers: { b1: '127.0.0.1:80' } });

test('http: what is left out has its default', () => {
  const { data } = http({});
  assert.deepEqual(data?.check, {
    path: '/',
    status: [200, 204],
    body: null,
    json: null,
    host: null,
    headers: {},
    tls: { mode: 'disable', caFile: null, serverName: null },
    intervalMs: 1000,
    fastIntervalMs: 50,
    timeoutMs: 1000,
    rise: 1,
    fall: 2,
  });
});

test('http: nothing can be written that would be a header or a request of its own', () => {
  const bad: [object, RegExp][] = [
    [{ path: 'health' }, /not a path/],
    [{ path: '/a b' }, /not a path/],
    [{ path: '/\r\nX: y' }, /not a path/],
    [{ host: 'a\r\nX: y' }, /not a host/],
    [{ host: 'a b' }, /not a host/],
    [{ headers: { 'X Y': 'z' } }, /not a header name/],
    [{ headers: { X: 'a\r\nY: b' } }, /not a header value/],
    [{ headers: { X: 'a\0' } }, /not a header value/],
    [{ headers: { X: '…' } }, /not a header value/],
    [{ headers: { hOSt: 'a' } }, /there is the key `host`/],
    [{ headers: { Connection: 'close' } }, /sets itself/],
    [{ headers: { 'Transfer-Encoding': 'chunked' } }, /sets itself/],
  ];
  for (const [check, complaint] of bad) {
    assert.match(http(check).error?.message ?? 'accepted', complaint, JSON.stringify(check));
  }
  assert.equal(http({ headers: { Authorization: 'Bearer a.b-c=', 'X-Name': 'Zoë\there' } }).success, true);
});

test('rest: paths as of Patroni, and plain HTTP, unless it is said otherwise', () => {
  const { data } = postgresBackend.safeParse({
    protocol: 'postgres',
    check: { user: 'probe', rest: { port: 8008 } },
    servers: { pg1: '127.0.0.1:5432' },
  });
  assert.deepEqual(data?.check.rest, {
    port: 8008,
    primary: '/primary',
    replica: '/replica',
    tls: { mode: 'disable', caFile: null, serverName: null },
  });
});
