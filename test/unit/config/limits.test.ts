// Limits in the file: rates, what stands when something is left out, and keys that would do nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRate } from '../../../src/config/units.ts';
import { AROUND, configOf, errors, variant, VALID, warnings } from './kit.ts';

const HOLD = '    hold_max: 500\n';
const frontend = (lines: string, text = VALID): string => variant(HOLD, `${HOLD}${lines}\n`, text);
const backend = (lines: string, text = VALID): string =>
  variant('    multiple_writers: newest\n', `    multiple_writers: newest\n${lines}\n`, text);
const STORE = 'rate_limit_store:\n  redis: { address: 10.0.0.9:6379 }\n';

test('rates: a second, a minute and an hour are read as how many a second', () => {
  for (const [text, value] of [
    ['100/s', 100],
    ['6000/m', 100],
    ['1.5/s', 1.5],
    ['1/h', 1 / 3600],
    ['1000000/s', 1_000_000],
  ] as const) {
    assert.deepEqual(readRate(text), { ok: true, value }, text);
  }
});

test('rates: what is no rate, or beyond what can be counted, gets a reason that does not repeat it', () => {
  for (const text of ['', '100', '100/d', '100 /s', '-1/s', '1e3/s', '0/s', '0.5/h', '1000001/s', '1/ms']) {
    const reading = readRate(text);
    assert.ok(!reading.ok, text);
    assert.match(reading.reason, /^is (not|less|more) /);
  }
});

test('rate limits: a burst that is left out is what a second brings, and nothing less than one', () => {
  const of = (keys: string) =>
    configOf(frontend(`    rate_limit: ${keys}`), AROUND).frontends['app-rw']!.rateLimit;
  assert.deepEqual(of('{ per_ip: 100/s, burst: 200 }'), {
    perIp: { perSecond: 100, burst: 200 },
    total: null,
    shared: false,
  });
  assert.deepEqual(of('{ per_ip: 6/m, total: 1000/s }'), {
    perIp: { perSecond: 0.1, burst: 1 },
    total: { perSecond: 1000, burst: 1000 },
    shared: false,
  });
});

test('limits: none is there unless it is written', () => {
  const { frontends, backends, rateLimitStore } = configOf(VALID, AROUND);
  const { rateLimit, maxConnectionsPerIp } = frontends['app-rw']!;
  const { circuitBreaker, surge, servers } = backends['app']!;
  assert.deepEqual(
    [rateLimit, maxConnectionsPerIp, circuitBreaker, surge, servers['pg1']!.maxConnections, rateLimitStore],
    [null, null, null, null, null, null],
  );
});

test('limits: of servers, circuit breaker and surge are read with their defaults', () => {
  const text = backend('    circuit_breaker: {}\n    surge: { rate: 100/s }');
  const { backends } = configOf(
    variant('pg2: { address: 10.0.0.2:5432 }', 'pg2: { address: 10.0.0.2:5432, max_connections: 90 }', text),
    AROUND,
  );
  const { circuitBreaker, surge, servers } = backends['app']!;
  assert.deepEqual(circuitBreaker, { failures: 5, openMs: 10_000 });
  assert.deepEqual(surge, { perSecond: 100, burst: 4, forMs: 10_000 });
  assert.deepEqual([servers['pg1']!.maxConnections, servers['pg2']!.maxConnections], [null, 90]);
});

test('limits: what each server may have is a key of every protocol’s backend, and has no default', () => {
  const { app } = configOf(backend('    max_connections_per_server: 90'), AROUND).backends;
  assert.equal(app?.maxConnectionsPerServer, 90);
  assert.equal(configOf(VALID, AROUND).backends['app']?.maxConnectionsPerServer, null);
  for (const protocol of ['tcp', 'http', 'mysql', 'redis']) {
    const check = protocol === 'mysql' ? '{ user: probe }' : '{}';
    const text = `frontends:\n  app: { bind: 127.0.0.1:7000, backend: app, route: any }
backends:
  app: { protocol: ${protocol}, check: ${check}, max_connections_per_server: 7, servers: { a: 10.0.0.1:1 } }\n`;
    assert.equal(configOf(text).backends['app']?.maxConnectionsPerServer, 7, protocol);
  }
});

test('limits: one for each server that no server needs is warned of', () => {
  const text = variant(
    'pg1: 10.0.0.1:5432',
    'pg1: { address: 10.0.0.1:5432, max_connections: 80 }',
    variant(
      'pg2: { address: 10.0.0.2:5432 }',
      'pg2: { address: 10.0.0.2:5432, max_connections: 90 }',
      backend('    max_connections_per_server: 70'),
    ),
  );
  assert.match(warnings(text, AROUND)[0] ?? '', /max_connections_per_server: does nothing: every server has/);
});

test('limits: what would do nothing is an error', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [frontend('    rate_limit: {}'), /rate_limit: limits nothing/],
    [frontend('    rate_limit: { total: 5/s, burst: 9 }'), /rate_limit.burst: does nothing without per_ip/],
    [frontend('    rate_limit: { per_ip: 5/s, total_burst: 9 }'), /total_burst: does nothing without total/],
    [frontend('    rate_limit: { per_ip: 5/s, shared: true }'), /shared: needs rate_limit_store/],
  ];
  for (const [text, message] of cases) {
    const found = errors(text, AROUND);
    assert.equal(found.length, 1, found.join('\n'));
    assert.match(found[0]!, message);
  }
});

test('limits: a store with a frontend that shares is right; without one, and what nobody can reach, is odd', () => {
  const odds: readonly (readonly [string, RegExp])[] = [
    [VALID + STORE, /rate_limit_store: does nothing/],
    [variant('route: primary', 'route: replica', backend('    surge: {}')), /app.surge: does nothing/],
  ];
  for (const [text, message] of odds) assert.match(warnings(text, AROUND).join('\n'), message);
  assert.deepEqual(errors(frontend('    rate_limit: { per_ip: 5/s, shared: true }') + STORE, AROUND), []);
  const [odd = ''] = warnings(frontend('    max_connections_per_ip: 2000'), AROUND);
  assert.match(odd, /max_connections_per_ip: is above max_connections/);
});
