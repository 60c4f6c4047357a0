// The keys that say who serves readers: what they become, what is no value of them, and where they would do nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configOf, errors, warnings } from './kit.ts';

interface Parts {
  /** Keys of the frontend. */
  readonly frontend?: string;
  readonly route?: string;
  readonly backend?: string;
  readonly servers?: string;
}

const text = ({
  frontend = '',
  route = 'replica-or-primary',
  backend = 'protocol: postgres, check: { user: probe }',
  servers = 'pg1: 10.0.0.1:5432, pg2: 10.0.0.2:5432',
}: Parts): string => `frontends:
  ro: { bind: 0.0.0.0:5432, backend: app, route: ${route}${frontend && `, ${frontend}`} }
backends:
  app: { ${backend}, servers: { ${servers} } }
`;

const http = { backend: 'protocol: http', route: 'any' };
const mysql = { backend: 'protocol: mysql, check: { user: probe }' };
const redis = { backend: 'protocol: redis' };
const ranked = 'pg1: { address: "10.0.0.1:5432", zone: a }, pg2: { address: "10.0.0.2:5432", backup: true }';

test('reads: the keys become what the program counts with', () => {
  const frontend =
    'max_lag: 10s, max_lag_bytes: 1.5MiB, synchronous_only: true, zone: a, fallback_share: 12.5%';
  const { frontends, backends } = configOf(text({ frontend, servers: ranked }));
  const { maxLagMs, maxLagBytes, synchronousOnly, zone, fallbackMax } = frontends['ro']!;
  assert.deepEqual(
    { maxLagMs, maxLagBytes, synchronousOnly, zone, fallbackMax },
    { maxLagMs: 10_000, maxLagBytes: 1_572_864, synchronousOnly: true, zone: 'a', fallbackMax: 125 },
  );
  const ranks = Object.values(backends['app']!.servers).map(server => [server.zone, server.backup]);
  assert.deepEqual(ranks, [
    ['a', false],
    [null, true],
  ]);
  const shares = [
    ['0.01%, max_connections: 50', 1],
    ['100%, max_connections: 50', 50],
    ['7', 7],
  ] as const;
  for (const [share, expected] of shares) {
    const config = configOf(text({ frontend: `fallback_share: ${share}` }));
    assert.equal(config.frontends['ro']!.fallbackMax, expected, share);
  }
});

test('reads: left out, nothing is limited', () => {
  const { maxLagMs, maxLagBytes, synchronousOnly, zone, fallbackMax } = configOf(text({})).frontends['ro']!;
  assert.deepEqual(
    [maxLagMs, maxLagBytes, synchronousOnly, zone, fallbackMax],
    [null, null, false, null, null],
  );
});

test('reads: what is no share and no size is refused in words', () => {
  for (const share of ['0%', '101%', '0', '1.5', '"20"', 'true']) {
    const [said = ''] = errors(text({ frontend: `fallback_share: ${share}` }));
    assert.match(said, /frontends\.ro\.fallback_share: .*is not a share; write it as 20%/, share);
  }
  for (const size of ['16', '16M', '0B', '-1KiB', '99999999999GiB']) {
    const [said = ''] = errors(text({ frontend: `max_lag_bytes: ${size}` }));
    assert.match(said, /frontends\.ro\.max_lag_bytes: .*(is not a size|is too small|is too large)/, size);
  }
});

test('reads: a key that would do nothing is an error', () => {
  const rows: [Parts, string][] = [
    [
      { frontend: 'max_lag: 1s', route: 'primary' },
      'max_lag: does nothing with route primary: a primary has no lag',
    ],
    [
      { frontend: 'max_lag_bytes: 1B', route: 'primary' },
      'does nothing with route primary: a primary has no lag',
    ],
    [
      { frontend: 'synchronous_only: true', route: 'primary' },
      'does nothing with route primary: it chooses among',
    ],
    [{ frontend: 'zone: a', route: 'primary', servers: ranked }, 'zone: does nothing with route primary'],
    [{ frontend: 'max_lag: 1s', ...http }, 'does nothing with an http backend: its servers tell no lag'],
    [
      { frontend: 'max_lag_bytes: 1B', ...mysql },
      'does nothing with a mysql backend: its servers tell no positions',
    ],
    [
      { frontend: 'synchronous_only: true', ...redis },
      'does nothing with a redis backend: its servers do not tell',
    ],
    [
      { frontend: 'fallback_share: 5', route: 'replica' },
      'fallback_share: does nothing with route replica: only',
    ],
  ];
  for (const [parts, expected] of rows) {
    const [said = '', ...more] = errors(text(parts));
    assert.ok(said.includes(expected), `${said} | ${expected}`);
    assert.deepEqual(more, []);
  }
  assert.deepEqual(errors(text({ frontend: 'max_lag_bytes: 1B', ...redis })), []);
  assert.deepEqual(errors(text({ frontend: 'max_lag: 1s', ...mysql })), []);
});

test('reads: what is seldom meant is a warning', () => {
  const all = 'pg1: { address: "10.0.0.1:5432", backup: true }';
  const rows: [Parts, string][] = [
    [{ frontend: 'zone: b', servers: ranked }, 'zone: "b" is the zone of no server of its backend'],
    [{ frontend: 'fallback_share: 50, max_connections: 49' }, 'fallback_share: is above max_connections'],
    [{ servers: all }, 'pg1.backup: does nothing: every server of the backend is a backup'],
    [{ servers: ranked, route: 'primary' }, 'pg2.backup: does nothing: a backup is the last to get readers'],
  ];
  for (const [parts, expected] of rows) {
    const [said = '', ...more] = warnings(text(parts));
    assert.ok(said.includes(expected), `${said} | ${expected}`);
    assert.deepEqual(more, []);
  }
  assert.deepEqual(warnings(text({ frontend: 'zone: a, fallback_share: 50', servers: ranked })), []);
});
