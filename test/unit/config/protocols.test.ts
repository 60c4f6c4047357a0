// What the keys of mysql, redis and http backends become, and the rules between them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configOf, errors, load, warnings } from './kit.ts';

/** A file with one backend, whose keys are given as lines, and a frontend for it. */
const file = (backend: readonly string[], route = 'primary'): string =>
  [
    'frontends:',
    `  app: { bind: 127.0.0.1:8000, backend: app, route: ${route} }`,
    'backends:',
    '  app:',
    ...backend.map(line => `    ${line}`),
    '',
  ].join('\n');

const mysql = (...lines: string[]): string =>
  file(['protocol: mysql', ...lines, 'servers: { db1: 10.0.0.1:3306 }']);
const redis = (...lines: string[]): string => file(['protocol: redis', ...lines]);
const http = (...lines: string[]): string =>
  file(['protocol: http', ...lines, 'servers: { web1: 10.0.0.1:80 }'], 'any');

test('mysql: own SQL of a server stands in for that of the backend, which others keep', () => {
  const { backends } = configOf(
    file([
      'protocol: mysql',
      'check: { user: probe, writable: select 1 }',
      'multiple_writers: keep',
      'servers: { main: 10.0.0.1:3306, a: { address: 10.0.0.2:3306, writable: select 2, weight: 50 } }',
    ]),
  );
  const { app } = backends;
  assert.ok(app?.protocol === 'mysql');
  assert.equal(app.check.writable, 'select 1');
  assert.deepEqual(
    Object.values(app.servers).map(({ weight, writable }) => [weight, writable]),
    [
      [100, null],
      [50, 'select 2'],
    ],
  );
  assert.equal(app.incompleteWriter, 'hold');
});

test('redis: servers may be left out where Sentinels tell them', () => {
  const { app } = configOf(redis('sentinel: { addresses: [10.0.0.1:26379] }')).backends;
  assert.ok(app?.protocol === 'redis');
  assert.deepEqual([app.servers, app.sentinel?.master, app.sentinel?.maxServers], [{}, 'mymaster', 8]);
});

test('http: a check without keys asks for / and takes 200 and 204', () => {
  const { app } = configOf(http()).backends;
  assert.ok(app?.protocol === 'http');
  assert.deepEqual([app.check.path, app.check.status, app.slowStartMs], ['/', [200, 204], 10_000]);
});

/** A file with a mistake, what is said of it, and the nearest file without it. */
const mistakes: readonly (readonly [name: string, text: string, says: readonly string[], fine: string])[] = [
  [
    'a redis backend that nobody names servers for',
    redis('check: { settle: 1s }'),
    ['4:3 backends.app: needs servers, or a sentinel or dns to learn them from'],
    redis('servers: { c1: 10.0.0.1:6379 }'),
  ],
  [
    'a Sentinel that is written twice',
    redis('sentinel: { addresses: ["10.0.0.1:26379", "10.0.0.1:26379"] }'),
    ['6:47 backends.app.sentinel.addresses[1]: stands here twice'],
    redis('sentinel: { addresses: ["10.0.0.1:26379", "10.0.0.2:26379"] }'),
  ],
  [
    'an empty list of servers',
    redis('servers: {}'),
    ['6:14 backends.app.servers: an empty mapping is not enough: a backend needs at least one server'],
    redis('servers: { c1: 10.0.0.1:6379 }'),
  ],
  [
    'room for servers to learn where they are named',
    redis('sentinel: { addresses: [10.0.0.1:26379], max_servers: 3 }', 'servers: { c1: 10.0.0.1:6379 }'),
    ['6:59 backends.app.sentinel.max_servers: does nothing with servers: none is learned'],
    redis('sentinel: { addresses: [10.0.0.1:26379], max_servers: 3 }'),
  ],
  [
    'an ACL user without a password',
    redis('check: { user: probe }', 'servers: { c1: 10.0.0.1:6379 }'),
    ['6:20 backends.app.check.user: does nothing without a password: AUTH needs both'],
    redis('check: { user: probe, password: "${P}" }', 'servers: { c1: 10.0.0.1:6379 }'),
  ],
  [
    'a certificate file that nothing is checked with',
    http('check: { tls: { mode: require, ca_file: /ca.pem } }'),
    [
      '6:45 backends.app.check.tls.ca_file: does nothing unless mode is verify-ca or verify-full: no certificate is checked',
    ],
    http('check: { tls: { mode: verify-ca, ca_file: /ca.pem } }'),
  ],
  [
    'the same of Sentinels',
    redis('sentinel: { addresses: [10.0.0.1:26379], tls: { server_name: s.example } }'),
    [
      '6:66 backends.app.sentinel.tls.server_name: does nothing unless mode is verify-full: no name is checked',
    ],
    redis('sentinel: { addresses: [10.0.0.1:26379], tls: { mode: verify-full, server_name: s.example } }'),
  ],
  [
    'promotion_interval above fast_interval',
    mysql('check: { user: probe, promotion_interval: 60ms }'),
    [
      '6:47 backends.app.check.promotion_interval: promotion_interval ("60ms") is longer than fast_interval (50ms by default); it must be the shorter one',
    ],
    mysql('check: { user: probe, promotion_interval: 50ms }'),
  ],
  [
    'something sent and no answer looked at',
    file(['protocol: tcp', 'check: { send: PING }', 'servers: { c1: 10.0.0.1:6379 }'], 'any'),
    ['6:20 backends.app.check.send: does nothing without expect: no answer is looked at'],
    file(['protocol: tcp', 'check: { expect: "220 " }', 'servers: { c1: 10.0.0.1:6379 }'], 'any'),
  ],
  [
    'a path that is none',
    http('check: { path: health }'),
    ['6:20 backends.app.check.path: "health" is not a path; a path begins with / and has no spaces'],
    http('check: { path: /health }'),
  ],
];

const AROUND = { env: { P: 'secret' }, files: { '/ca.pem': '-----BEGIN CERTIFICATE-----' } };

for (const [name, text, says, fine] of mistakes) {
  test(`protocols: ${name}: an error, and its nearest neighbour is none`, () => {
    assert.deepEqual(errors(text, AROUND), says);
    assert.deepEqual(errors(fine, AROUND), []);
  });
}

test('http: a frontend that wants a primary is refused', () => {
  const text = file(['protocol: http', 'servers: { web1: 10.0.0.1:80 }']);
  assert.deepEqual(errors(text), [
    '2:53 frontends.app.route: "primary" finds no server: the servers of an http backend have no roles; write route: any',
  ]);
});

test('protocols: passwords in clear are warned of, those of Sentinels too', () => {
  const text = redis(
    'check: { password: Hidden }',
    'sentinel: { addresses: [10.0.0.1:26379], password: Hidden }',
    'servers: { c1: 10.0.0.1:6379 }',
  );
  assert.deepEqual(
    warnings(text).map(line => line.split(' a ')[0]),
    ['6:24 backends.app.check.password:', '7:56 backends.app.sentinel.password:'],
  );
  assert.doesNotMatch(JSON.stringify(load(text).warnings), /Hidden/);
});
