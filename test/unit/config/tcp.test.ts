import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configJsonSchema } from '../../../src/config/reference.ts';
import { configOf, errors, load, postgresOf, variant, warnings } from './kit.ts';

/** A valid configuration with a backend of each protocol. */
const TEXT = `frontends:
  db:
    bind: 0.0.0.0:5432
    backend: db
  cache:
    bind: 0.0.0.0:6379
    backend: cache
    route: any
backends:
  db:
    protocol: postgres
    check: { user: probe }
    servers: { pg1: 10.0.0.1:5432 }
  cache:
    protocol: tcp
    check:
      interval: 1s
      fast_interval: 50ms
      timeout: 1s
      rise: 1
      fall: 2
    servers: { c1: 10.0.0.1:6379, c2: 10.0.0.2:6379 }
`;

const CHECK = /check:\n {6}interval[^]+fall: 2/.exec(TEXT)?.[0] ?? '';
const changed = (changes: Readonly<Record<string, string>>): string =>
  Object.entries(changes).reduce((text, [from, to]) => variant(from, to, text), TEXT);

test('tcp: a backend of each protocol is valid, without a warning', () => {
  assert.deepEqual(errors(TEXT), []);
  assert.deepEqual(warnings(TEXT), []);
});

test('tcp: its check may be left out, and has the defaults of a PostgreSQL check', () => {
  const config = configOf(changed({ [`    ${CHECK}\n`]: '' }));
  const { intervalMs, fastIntervalMs, timeoutMs, rise, fall } = postgresOf(config, 'db').check;
  assert.deepEqual(config.backends['cache'], {
    protocol: 'tcp',
    check: { intervalMs, fastIntervalMs, send: null, expect: null, timeoutMs, rise, fall },
    tls: null,
    sendProxy: null,
    slowStartMs: 0,
    maxConnectionsPerServer: null,
    circuitBreaker: null,
    surge: null,
    dns: null,
    servers: {
      c1: {
        address: { host: '10.0.0.1', port: 6379 },
        weight: 100,
        maxConnections: null,
        backup: false,
        zone: null,
      },
      c2: {
        address: { host: '10.0.0.2', port: 6379 },
        weight: 100,
        maxConnections: null,
        backup: false,
        zone: null,
      },
    },
  });
});

test('tcp: the protocol may come from the environment', () => {
  const text = changed({ 'protocol: tcp': 'protocol: ${P}' });
  assert.equal(configOf(text, { env: { P: 'tcp' } }).backends['cache']?.protocol, 'tcp');
  assert.deepEqual(errors(text, { env: { P: 'secret' } }), [
    '15:15 backends.cache.protocol: the value from ${P} is none of the choices: postgres, mysql, redis, http, tcp',
  ]);
  assert.deepEqual(errors(text), ['15:15 backends.cache.protocol: the environment variable P is not set']);
});

const KNOWN_CHECK = 'known here: interval, fast_interval, timeout, rise, fall, send, expect';

/** What is changed, and exactly what is said. */
const mistakes: readonly (readonly [
  name: string,
  changes: Readonly<Record<string, string>>,
  says: readonly string[],
])[] = [
  [
    'a protocol that is none of ours',
    { 'protocol: tcp': 'protocol: tpc' },
    [
      '15:15 backends.cache.protocol: "tpc" is none of the choices: postgres, mysql, redis, http, tcp; did you mean "tcp"?',
    ],
  ],
  [
    'a protocol that is not even a word',
    { 'protocol: tcp': 'protocol: [tcp]' },
    ['15:15 backends.cache.protocol: a list is none of the choices: postgres, mysql, redis, http, tcp'],
  ],
  [
    'an empty protocol',
    { 'protocol: tcp': 'protocol:' },
    [
      '15:5 backends.cache.protocol: an empty value is none of the choices: postgres, mysql, redis, http, tcp',
    ],
  ],
  [
    'a missing protocol',
    { '    protocol: tcp\n': '' },
    ['14:3 backends.cache.protocol: the key "protocol" is missing here'],
  ],
  [
    'a backend that is a list',
    {
      '    check: { user: probe }\n    servers: { pg1: 10.0.0.1:5432 }': '',
      '    protocol: postgres': '    - x',
    },
    ['11:5 backends.db: a list is not a mapping; write its keys below it, indented'],
  ],
  [
    'a PostgreSQL check without its user',
    { '{ user: probe }': '{ rise: 1 }' },
    ['12:5 backends.db.check.user: the key "user" is missing here'],
  ],
  [
    'a PostgreSQL backend without its check',
    { '    check: { user: probe }\n': '' },
    ['10:3 backends.db.check: the key "check" is missing here'],
  ],
  [
    'a key of the PostgreSQL check',
    { 'rise: 1': 'user: probe', 'fall: 2': 'tls: { mode: require }' },
    [
      `20:7 backends.cache.check.user: unknown key "user": it is for protocol postgres, mysql or redis, and this is tcp; ${KNOWN_CHECK}`,
      `21:7 backends.cache.check.tls: unknown key "tls": it is for protocol postgres, mysql, redis or http, and this is tcp; ${KNOWN_CHECK}`,
    ],
  ],
  [
    'multiple_writers',
    { '    servers: { c1': '    multiple_writers: keep\n    servers: { c1' },
    [
      '22:5 backends.cache.multiple_writers: unknown key "multiple_writers": it is for protocol postgres, mysql or redis, and this is tcp; known here: protocol, check, tls, send_proxy, slow_start, max_connections_per_server, circuit_breaker, dns, servers',
    ],
  ],
  [
    'a misspelt key',
    { 'fall: 2': 'fal: 2' },
    ['21:7 backends.cache.check.fal: unknown key "fal"; did you mean "fall"?'],
  ],
  [
    'a key of the check beside it',
    { '    servers: { c1': '    fall: 3\n    servers: { c1' },
    ['22:5 backends.cache.fall: unknown key "fall"; it belongs in backends.<name>.check'],
  ],
  [
    'a word that only another protocol knows elsewhere',
    { '    servers: { c1': '    database: x\n    servers: { c1' },
    [
      '22:5 backends.cache.database: unknown key "database"; known here: protocol, check, tls, send_proxy, slow_start, max_connections_per_server, circuit_breaker, dns, servers',
    ],
  ],
  [
    'no servers',
    { '{ c1: 10.0.0.1:6379, c2: 10.0.0.2:6379 }': '{}' },
    ['22:14 backends.cache.servers: an empty mapping is not enough: a backend needs at least one server'],
  ],
  [
    'a wrong value in each backend at once',
    { 'fall: 2': 'fall: 0', 'user: probe': "user: ''" },
    [
      '12:20 backends.db.check.user: "" is too short; it must not be empty',
      '21:13 backends.cache.check.fall: 0 is below the least value, 1',
    ],
  ],
  [
    'route left at its default',
    { '    route: any\n': '' },
    [
      '5:3 frontends.cache.route: is primary by default: the servers of a tcp backend have no roles; write route: any',
    ],
  ],
  [
    'route primary',
    { 'route: any': 'route: primary' },
    [
      '8:12 frontends.cache.route: "primary" finds no server: the servers of a tcp backend have no roles; write route: any',
    ],
  ],
  [
    'route replica-or-primary',
    { 'route: any': 'route: replica-or-primary' },
    [
      '8:12 frontends.cache.route: "replica-or-primary" finds no server: the servers of a tcp backend have no roles; write route: any',
    ],
  ],
  [
    'a limit of lag',
    { 'route: any': 'route: any\n    max_lag: 1s' },
    ['9:14 frontends.cache.max_lag: does nothing with a tcp backend: its servers tell no lag'],
  ],
  [
    'a limit of lag on the wrong route: one word about each',
    { 'route: any': 'max_lag: 1s' },
    [
      '5:3 frontends.cache.route: is primary by default: the servers of a tcp backend have no roles; write route: any',
      '8:14 frontends.cache.max_lag: does nothing with a tcp backend: its servers tell no lag',
    ],
  ],
  [
    'fast_interval above interval',
    { 'fast_interval: 50ms': 'fast_interval: 2s' },
    [
      '18:22 backends.cache.check.fast_interval: fast_interval ("2s") is longer than interval ("1s"); it must be the shorter one',
    ],
  ],
  [
    'a timeout below a round trip',
    { '      timeout: 1s': '      timeout: 9ms' },
    [
      '19:16 backends.cache.check.timeout: "9ms" is too short: healthy servers would be marked down; 10ms is the least',
    ],
  ],
];

for (const [name, changes, says] of mistakes) {
  test(`tcp: ${name} is refused, in these words`, () => assert.deepEqual(errors(changed(changes)), says));
}

test('tcp: a fast_interval below PostgreSQL’s promotion_interval is fine where there is none', () => {
  assert.deepEqual(errors(changed({ 'fast_interval: 50ms': 'fast_interval: 5ms' })), []);
});

test('tcp: while the protocol or the route is wrong itself, no rule between keys guesses what was meant', () => {
  const fast = { 'fast_interval: 50ms': 'fast_interval: 5ms' };
  assert.equal(errors(changed({ ...fast, 'protocol: tcp': 'protocol: tpc' })).length, 1);
  assert.deepEqual(errors(changed({ 'route: any': 'route: anny' })), [
    '8:12 frontends.cache.route: "anny" is none of the choices: primary, replica, replica-or-primary, any; did you mean "any"?',
  ]);
});

test('tcp: a route or protocol from the environment is not shown', () => {
  const text = changed({ 'route: any': 'route: ${R}' });
  assert.deepEqual(errors(text, { env: { R: 'replica' } }), [
    '8:12 frontends.cache.route: the value from ${R} finds no server: the servers of a tcp backend have no roles; write route: any',
  ]);
});

test('tcp: no lack of a password is complained of, and hold 0 is not about a primary', () => {
  assert.deepEqual(load(changed({ 'route: any': 'route: any\n    hold: 0' })).warnings, []);
});

const KEYS = [
  'check',
  'circuit_breaker',
  'dns',
  'max_connections_per_server',
  'protocol',
  'servers',
  'slow_start',
  'tls',
];
/** Of protocols whose servers may understand a PROXY header. */
const HEARING = [...KEYS, 'send_proxy'].sort();

test('JSON Schema: a backend has one form for each protocol, in which the keys of the other are refused', () => {
  const backends = configJsonSchema().properties?.['backends'];
  assert.ok(typeof backends === 'object' && typeof backends.additionalProperties === 'object');
  const forms = backends.additionalProperties.anyOf ?? [];
  assert.equal(backends.additionalProperties.oneOf, undefined, '${…} may fit both');
  const seen = forms.map(form => {
    assert.ok(typeof form === 'object');
    const { properties = {}, required = [], additionalProperties } = form;
    return [JSON.stringify(properties['protocol']), Object.keys(properties), required, additionalProperties];
  });
  const protocol = (name: string): RegExp =>
    new RegExp(`"const":"${name}".*"\\$ref":"#/\\$defs/interpolated"`);
  const names = ['postgres', 'mysql', 'redis', 'http', 'tcp'];
  names.forEach((name, index) => assert.match(String(seen[index]?.[0]), protocol(name)));
  assert.deepEqual(
    seen.map(([, keys, ...form]) => [(keys as string[]).toSorted(), ...form]),
    [
      [
        [...KEYS, 'multiple_writers', 'surge', 'patroni', 'pg_auto_failover'].sort(),
        ['protocol', 'check'],
        false,
      ],
      [[...HEARING, 'incomplete_writer', 'multiple_writers', 'surge'].sort(), ['protocol', 'check'], false],
      [[...KEYS, 'multiple_writers', 'surge', 'sentinel'].sort(), ['protocol'], false],
      [HEARING, ['protocol'], false],
      [HEARING, ['protocol'], false],
    ],
  );
});
