// How each protocol's URL becomes what its prober needs, and what is said of a URL that doesn't.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readProbeUrl } from '../../../src/cli/probe-url.ts';
import { PointsmanError } from '../../../src/core/errors.ts';

const read = (url: string, environment: Readonly<Record<string, string>> = {}) =>
  readProbeUrl(url, environment, 1000);

test('probe URL: the default port is that of the protocol', () => {
  const ports = ['postgres', 'postgresql', 'mysql', 'mariadb', 'redis', 'rediss', 'http', 'https'].map(
    scheme => [scheme, read(`${scheme}://[::1]`).address],
  );
  const at = (port: number) => ({ host: '::1', port });
  assert.deepEqual(Object.fromEntries(ports), {
    postgres: at(5432),
    postgresql: at(5432),
    mysql: at(3306),
    mariadb: at(3306),
    redis: at(6379),
    rediss: at(6379),
    http: at(80),
    https: at(443),
  });
});

test('probe URL: a password comes from the URL, else from the variable of the protocol’s own client', () => {
  const environment = { PGPASSWORD: 'pg', MYSQL_PWD: 'my', REDISCLI_AUTH: 're' };
  for (const [scheme, expected] of [
    ['postgres', 'pg'],
    ['mysql', 'my'],
    ['redis', 're'],
  ] as const) {
    for (const [url, password] of [
      [`${scheme}://u@h`, expected],
      [`${scheme}://u:its%40own@h`, 'its@own'],
    ] as const) {
      const { check } = read(url, environment).backend;
      assert.deepEqual('password' in check && [check.user, check.password], ['u', password]);
    }
  }
});

test('probe URL: TLS is asked for in the words of each protocol', () => {
  const modes = [
    'postgres://h',
    'postgres://h?sslmode=verify-full',
    'mysql://h',
    'mysql://h?ssl-mode=VERIFY_IDENTITY',
    'redis://h',
    'rediss://h',
    'http://h',
    'https://h',
  ].map(url => {
    const { check } = read(url).backend;
    return 'tls' in check ? check.tls.mode : null;
  });
  assert.deepEqual(modes, [
    'prefer',
    'verify-full',
    'prefer',
    'verify-full',
    'disable',
    'verify-full',
    'disable',
    'verify-full',
  ]);
});

test('probe URL: an http path is asked for with its query, and any 2xx is well', () => {
  const { backend } = read('http://h:8008/primary?lag=10');
  assert.ok(backend.protocol === 'http');
  assert.equal(backend.check.path, '/primary?lag=10');
  assert.deepEqual([backend.check.status[0], backend.check.status.at(-1)], [200, 299]);
});

for (const [url, complaint] of [
  ['nonsense', /^this is not a URL/],
  ['ftp://h', /^scheme "ftp" is not supported/],
  ['tcp://h', /^a tcp URL needs a port/],
  ['redis://h:0', /^a redis URL needs a port/],
  ['redis://h/1', /^a redis URL has no path/],
  ['redis://h?db=1', /^parameter "db" is not known/],
  ['mysql://h?sslmode=require', /^parameter "sslmode" is not known/],
  ['mysql://h?ssl-mode=yes', /^ssl-mode "yes" is not one of disabled, preferred, required/],
  ['http://u:Hidden-Word@h', /^an http URL here has no user/],
  ['postgres://u:Hidden-Word@h?sslmode=maybe', /^sslmode "maybe" is not one of disable, prefer/],
] as const) {
  test(`probe URL: ${url.replace('Hidden-Word', '…')} is refused, and no password is repeated`, () => {
    assert.throws(
      () => read(url),
      (thrown: unknown) => {
        assert.ok(thrown instanceof PointsmanError);
        assert.equal(thrown.code, 'PROBE_URL_INVALID');
        assert.match(thrown.message, complaint);
        assert.doesNotMatch(thrown.message, /Hidden-Word/);
        return true;
      },
    );
  });
}
