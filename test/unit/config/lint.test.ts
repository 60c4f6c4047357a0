import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AROUND, VALID, errors, variant, warnings, type Surroundings } from './kit.ts';

interface Rule {
  readonly name: string;
  /** Replacements in the valid configuration, each from → to. */
  readonly change: Readonly<Record<string, string>>;
  readonly says: readonly string[];
  /** A change as near as possible that must be silent. */
  readonly fine: Readonly<Record<string, string>>;
  readonly around?: Surroundings;
}

const changed = (changes: Readonly<Record<string, string>>): string =>
  Object.entries(changes).reduce((text, [from, to]) => variant(from, to, text), VALID);

const RW_BIND = 'bind: 0.0.0.0:5432';
const RO_BIND = 'bind: 0.0.0.0:5433';
const RW_BACKEND = 'backend: app\n    route: primary';

const errorRules: readonly Rule[] = [
  {
    name: 'a token that can be guessed, for everybody',
    change: { 'bind: 127.0.0.1:9101': 'bind: 0.0.0.0:9101\n  token: ${SHORT}' },
    says: [
      '3:10 admin.token: is shorter than 16 characters: it can be guessed; openssl rand -hex 32 makes a good one; admin.bind is open to others than this machine',
    ],
    fine: { 'bind: 127.0.0.1:9101': 'bind: 127.0.0.1:9101\n  token: ${SHORT}' },
    around: { ...AROUND, env: { ...AROUND.env, SHORT: '0123456789abcde' } },
  },
  {
    name: 'a frontend of an unknown backend',
    change: { [RW_BACKEND]: 'backend: apq\n    route: primary' },
    says: ['6:14 frontends.app-rw.backend: "apq" is no backend of this file; did you mean "app"?'],
    fine: { [RW_BACKEND]: 'backend: "app"\n    route: primary' },
  },
  {
    name: 'an unknown backend that came from the environment',
    change: { [RW_BACKEND]: 'backend: ${B}\n    route: primary' },
    says: [
      '6:14 frontends.app-rw.backend: the value from ${B} is no backend of this file; did you mean "app"?',
    ],
    fine: { [RW_BACKEND]: 'backend: ${C}\n    route: primary' },
    around: { ...AROUND, env: { ...AROUND.env, B: 'ap', C: 'app' } },
  },
  {
    name: 'two frontends on one port, one of them on every address',
    change: { [RO_BIND]: 'bind: 127.0.0.1:5432' },
    says: [
      '15:11 frontends.app-ro.bind: cannot be listened on together with frontends.app-rw.bind: the addresses overlap',
    ],
    fine: { [RO_BIND]: 'bind: 127.0.0.1:5433' },
  },
  {
    name: 'a frontend on the admin server’s port',
    change: { [RO_BIND]: 'bind: 0.0.0.0:9101' },
    says: [
      '15:11 frontends.app-ro.bind: cannot be listened on together with admin.bind: the addresses overlap',
    ],
    fine: { [RO_BIND]: 'bind: 127.0.0.2:9101' },
  },
  {
    name: 'a frontend on the admin server’s default port',
    change: { 'admin:\n  bind: 127.0.0.1:9101\n': '', [RO_BIND]: 'bind: 0.0.0.0:9101' },
    says: [
      '13:11 frontends.app-ro.bind: cannot be listened on together with admin.bind: the addresses overlap',
    ],
    fine: { 'admin:\n  bind: 127.0.0.1:9101\n': '', [RO_BIND]: 'bind: 0.0.0.0:9102' },
  },
  {
    name: 'one port twice',
    change: { [RW_BIND]: 'bind: 127.0.0.1:7000', [RO_BIND]: 'bind: 127.0.0.1:7000' },
    says: [
      '15:11 frontends.app-ro.bind: cannot be listened on together with frontends.app-rw.bind: the addresses overlap',
    ],
    fine: { [RW_BIND]: 'bind: 127.0.0.1:0', [RO_BIND]: 'bind: 127.0.0.1:0' },
  },
  {
    name: 'two servers with one address',
    change: { 'address: 10.0.0.2:5432': 'address: 10.0.0.1:5432' },
    says: ['38:12 backends.app.servers.pg2: has the same address as backends.app.servers.pg1'],
    fine: { 'address: 10.0.0.2:5432': 'address: 10.0.0.1:5433' },
  },
  {
    name: 'fast_interval above interval',
    change: { 'fast_interval: 50ms': 'fast_interval: 2s' },
    says: [
      '29:22 backends.app.check.fast_interval: fast_interval ("2s") is longer than interval ("1s"); it must be the shorter one',
    ],
    fine: { 'fast_interval: 50ms': 'fast_interval: 1s' },
  },
  {
    name: 'interval below a fast_interval that is a default',
    change: { 'interval: 1s\n      fast_interval: 50ms\n': 'interval: 20ms\n' },
    says: [
      '28:17 backends.app.check.interval: fast_interval (50ms by default) is longer than interval ("20ms"); it must be the shorter one',
    ],
    fine: { 'interval: 1s\n      fast_interval: 50ms\n': 'interval: 50ms\n' },
  },
  {
    name: 'promotion_interval above fast_interval',
    change: { 'promotion_interval: 10ms': 'promotion_interval: 51ms' },
    says: [
      '30:27 backends.app.check.promotion_interval: promotion_interval ("51ms") is longer than fast_interval ("50ms"); it must be the shorter one',
    ],
    fine: { 'promotion_interval: 10ms': 'promotion_interval: 50ms' },
  },
  {
    name: 'a timeout below a round trip',
    change: { '      timeout: 1s': '      timeout: 9ms' },
    says: [
      '32:16 backends.app.check.timeout: "9ms" is too short: healthy servers would be marked down; 10ms is the least',
    ],
    fine: { '      timeout: 1s': '      timeout: 10ms' },
  },
  {
    name: 'a timeout without end',
    change: { '      timeout: 1s': '      timeout: 61s' },
    says: [
      '32:16 backends.app.check.timeout: "61s" is too long: a server that hangs would go unnoticed; 1m is the most',
    ],
    fine: { '      timeout: 1s': '      timeout: 1m' },
  },
  {
    name: 'max_lag on a primary frontend',
    change: { '    connect_timeout: 2s': '    max_lag: 5s' },
    says: ['12:14 frontends.app-rw.max_lag: does nothing with route primary: a primary has no lag'],
    fine: { 'max_lag: 10s': 'max_lag: 5s' },
  },
  {
    name: 'hold without room for anybody',
    change: { 'hold_max: 500': 'hold_max: 0' },
    says: [
      '9:15 frontends.app-rw.hold_max: with hold_max 0 nobody can wait, but hold is "30s"; write hold: 0 to refuse at once',
    ],
    fine: { 'hold_max: 500': 'hold_max: 1' },
  },
  {
    name: 'the default hold without room for anybody',
    change: { '    balance: leastconn': '    hold_max: 0' },
    says: [
      '18:15 frontends.app-ro.hold_max: with hold_max 0 nobody can wait, but hold is 30s by default; write hold: 0 to refuse at once',
    ],
    fine: { '    balance: leastconn': '    hold_max: 0\n    hold: 0' },
  },
  {
    name: 'a frontend that is its own server',
    change: { [RW_BIND]: 'bind: 10.0.0.1:5432' },
    says: [
      '5:11 frontends.app-rw.bind: is also the address of backends.app.servers.pg1: Pointsman would connect to itself',
    ],
    fine: { [RW_BIND]: 'bind: 10.0.0.1:5431' },
  },
  {
    name: 'a frontend on every address, and a loopback server on its port',
    change: { 'pg1: 10.0.0.1:5432': 'pg1: localhost:5432' },
    says: [
      '5:11 frontends.app-rw.bind: is also the address of backends.app.servers.pg1: Pointsman would connect to itself',
    ],
    fine: { 'pg1: 10.0.0.1:5432': 'pg1: localhost:5434' },
  },
  {
    name: 'ca_file where no certificate is checked',
    change: {
      'mode: verify-full, ca_file: /ca.pem, server_name: db.example': 'mode: require, ca_file: /ca.pem',
    },
    says: [
      '27:38 backends.app.check.tls.ca_file: does nothing unless mode is verify-ca or verify-full: no certificate is checked',
    ],
    fine: {
      'mode: verify-full, ca_file: /ca.pem, server_name: db.example': 'mode: verify-ca, ca_file: /ca.pem',
    },
  },
  {
    name: 'server_name where no name is checked',
    change: { 'mode: verify-full, ca_file: /ca.pem, server_name': 'mode: verify-ca, server_name' },
    says: [
      '27:44 backends.app.check.tls.server_name: does nothing unless mode is verify-full: no name is checked',
    ],
    fine: { 'mode: verify-full, ca_file: /ca.pem, server_name': 'mode: verify-full, server_name' },
  },
  {
    name: 'a ca_file that is not there',
    change: { '/ca.pem': '/no.pem' },
    says: ['27:42 backends.app.check.tls.ca_file: "/no.pem" cannot be read: there is no such file'],
    fine: { ', ca_file: /ca.pem, server_name: db.example': '' },
  },
  {
    name: 'a ca_file that holds no certificate',
    change: { '/ca.pem': '/key.pem' },
    says: ['27:42 backends.app.check.tls.ca_file: "/key.pem" is not a PEM file of certificates'],
    fine: { 'mode: verify-full, ca_file: /ca.pem, server_name: db.example': 'mode: verify-ca' },
    around: { ...AROUND, files: { ...AROUND.files, '/key.pem': '-----BEGIN PRIVATE KEY-----\n' } },
  },
];

const warningRules: readonly Rule[] = [
  {
    name: 'a backend that no frontend uses',
    change: {
      'log:':
        '  spare:\n    protocol: postgres\n    check: { user: u }\n    servers: { a: 10.0.0.9:5432 }\nlog:',
    },
    says: ['39:3 backends.spare: no frontend uses this backend'],
    fine: { '      pg2: { address: 10.0.0.2:5432 }\n': '' },
  },
  {
    name: 'a hold that clients do not wait for',
    change: { 'hold: 30s': 'hold: 61s' },
    says: [
      '8:11 frontends.app-rw.hold: "61s" is longer than most clients wait for a connection (1m or less)',
    ],
    fine: { 'hold: 30s': 'hold: 60s' },
  },
  {
    name: 'no hold on a primary route',
    change: { 'hold: 30s': 'hold: 0' },
    says: [
      '8:11 frontends.app-rw.hold: with hold 0 clients are refused during a failover instead of waiting for the new primary',
    ],
    fine: { 'max_lag: 10s': 'hold: 0' },
  },
  {
    name: 'an idle_timeout that empties pools',
    change: { 'idle_timeout: 0': 'idle_timeout: 59s' },
    says: [
      '13:19 frontends.app-rw.idle_timeout: "59s" is short: it cuts connections that rest in an application’s pool; use 1m or more, or 0',
    ],
    fine: { 'idle_timeout: 0': 'idle_timeout: 1m' },
  },
  {
    name: 'hold_max above max_connections',
    change: { 'hold_max: 500': 'hold_max: 1001' },
    says: [
      '9:15 frontends.app-rw.hold_max: is above max_connections, which counts waiting clients too: it can never fill',
    ],
    fine: { 'hold_max: 500': 'hold_max: 1000' },
  },
  {
    name: 'max_connections below the default of hold_max is the user’s good right',
    change: { '    hold_max: 500\n    max_connections: 1000': '    hold_max: 500\n    max_connections: 100' },
    says: [
      '9:15 frontends.app-rw.hold_max: is above max_connections, which counts waiting clients too: it can never fill',
    ],
    fine: { '    hold_max: 500\n    max_connections: 1000': '    max_connections: 100' },
  },
  {
    name: 'a password in clear',
    change: { '${PROBE_PASSWORD}': 'hunter2' },
    says: [
      '25:17 backends.app.check.password: a password in clear: whoever reads this file has it; use ${ENV} or ${file:/path}',
    ],
    fine: { '${PROBE_PASSWORD}': '${file:/ca.pem}' },
  },
  {
    name: 'an escaped reference is a password in clear',
    change: { '${PROBE_PASSWORD}': '$${PROBE_PASSWORD}' },
    says: [
      '25:17 backends.app.check.password: a password in clear: whoever reads this file has it; use ${ENV} or ${file:/path}',
    ],
    fine: { '      password: ${PROBE_PASSWORD}\n': '' },
  },
  {
    name: 'an admin server for everybody',
    change: { 'bind: 127.0.0.1:9101': 'bind: 0.0.0.0:9101' },
    says: [
      '2:9 admin.bind: is not a loopback address: whoever reaches it can read the state and the metrics',
    ],
    fine: { 'bind: 127.0.0.1:9101': 'bind: "[::1]:9101"' },
  },
  {
    name: 'a token in clear',
    change: { 'bind: 127.0.0.1:9101': 'bind: 127.0.0.1:9101\n  token: written-by-an-operator' },
    says: ['3:10 admin.token: a token in clear: whoever reads this file has it; use ${ENV} or ${file:/path}'],
    fine: { 'bind: 127.0.0.1:9101': 'bind: 127.0.0.1:9101\n  token: ${file:/token}' },
    around: { ...AROUND, files: { ...AROUND.files, '/token': '0123456789abcdef\n' } },
  },
  {
    name: 'a token that can be guessed',
    change: { 'bind: 127.0.0.1:9101': 'bind: 127.0.0.1:9101\n  token: ${SHORT}' },
    says: [
      '3:10 admin.token: is shorter than 16 characters: it can be guessed; openssl rand -hex 32 makes a good one',
    ],
    fine: { 'bind: 127.0.0.1:9101': 'bind: 127.0.0.1:9101\n  token: ${LONG}' },
    around: { ...AROUND, env: { ...AROUND.env, SHORT: '0123456789abcde', LONG: '0123456789abcdef' } },
  },
];

for (const { name, change, says, fine, around = AROUND } of errorRules) {
  test(`rules: ${name}: an error, and its nearest neighbour is none`, () => {
    assert.deepEqual(errors(changed(change), around), says);
    assert.deepEqual(errors(changed(fine), around), []);
  });
}

for (const { name, change, says, fine, around = AROUND } of warningRules) {
  test(`rules: ${name}: a warning, and its nearest neighbour is none`, () => {
    assert.deepEqual(errors(changed(change), around), []);
    assert.deepEqual(warnings(changed(change), around), says);
    assert.deepEqual(warnings(changed(fine), around), []);
  });
}

test('rules: warnings are given beside errors', () => {
  const text = changed({ 'hold: 30s': 'hold: 2m', 'level: info': 'level: loud' });
  assert.equal(errors(text, AROUND).length, 1);
  assert.deepEqual(
    warnings(text, AROUND).map(line => line.split(':', 2).join(':').slice(0, 4)),
    ['8:11'],
  );
});

test('rules: a value from the environment is not shown by any of them', () => {
  const env = { ...AROUND.env, LONG: '77s', PEM: '/topsecret.pem', TINY: '3ms' };
  const text = changed({
    'hold: 30s': 'hold: ${LONG}',
    'idle_timeout: 0': 'idle_timeout: ${TINY}',
    'fast_interval: 50ms': 'fast_interval: ${LONG}',
    '      timeout: 1s': '      timeout: ${TINY}',
    '/ca.pem': "'${PEM}'",
  });
  const said = [...errors(text, { ...AROUND, env }), ...warnings(text, { ...AROUND, env })].join('\n');
  assert.ok(said.split('\n').length >= 5, said);
  assert.doesNotMatch(said, /77s|3ms|topsecret/);
});
