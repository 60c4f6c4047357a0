import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, type Expectation } from '../../../../../src/health/probers/http/expectation.ts';

const usual: Expectation = { path: '/health', status: [200, 204], body: null, json: null };

/** `code detail` of an answer with this status and body. */
function said(given: Partial<Expectation>, status: number, body = ''): string {
  const answer = judge({ ...usual, ...given }, { status, body: Buffer.from(body), keepAlive: true });
  return `${answer.code} ${answer.detail}`;
}

test('expectation: one of the expected statuses is enough where nothing else is asked', () => {
  assert.equal(said({}, 200), 'L7OK GET /health: 200');
  assert.equal(said({}, 204), 'L7OK GET /health: 204');
  assert.equal(said({ status: [401] }, 401), 'L7OK GET /health: 401');
});

test('expectation: any other status is a failure, redirects and a server’s 503 among them', () => {
  assert.equal(said({}, 503), 'L7HTTP GET /health: 503, expected 200 or 204');
  assert.equal(said({}, 302), 'L7HTTP GET /health: 302, expected 200 or 204');
  assert.equal(said({ status: [200] }, 204), 'L7HTTP GET /health: 204, expected 200');
});

test('expectation: text is looked for in the body', () => {
  assert.equal(said({ body: 'réady' }, 200, 'all is réady'), 'L7OK GET /health: 200');
  assert.equal(
    said({ body: 'ready' }, 200, 'not yet'),
    'L7HTTP GET /health: 200, but the body does not contain "ready"',
  );
});

test('expectation: JSON fields are found by their path and compared with their type', () => {
  const body = JSON.stringify({
    status: 'ok',
    n: 1,
    zero: 0,
    yes: true,
    none: null,
    db: { up: true, 'x.y': 1 },
    list: [{ a: 'b' }],
  });
  const fine = { status: 'ok', n: 1, zero: 0, yes: true, none: null, 'db.up': true, 'list.0.a': 'b' };
  assert.equal(said({ json: fine }, 200, body), 'L7OK GET /health: 200');
  for (const [path, wanted, complaint] of [
    ['status', 'OK', 'but status is "ok", expected "OK"'],
    ['n', '1', 'but n is 1, expected "1"'],
    ['zero', null, 'but zero is 0, expected null'],
    ['zero', false, 'but zero is 0, expected false'],
    ['none', 0, 'but none is null, expected 0'],
    ['db', true, 'but db is an object, expected true'],
    ['list', true, 'but list is a list, expected true'],
    ['list.1.a', 'b', 'but list.1.a is missing, expected "b"'],
    ['db.down', null, 'but db.down is missing, expected null'],
    ['status.length', 2, 'but status.length is missing, expected 2'],
    ['constructor', 'x', 'but constructor is missing, expected "x"'],
    ['db.__proto__', null, 'but db.__proto__ is missing, expected null'],
    ['', 'x', 'but  is missing, expected "x"'],
  ] as const) {
    assert.equal(said({ json: { [path]: wanted } }, 200, body), `L7HTTP GET /health: 200, ${complaint}`);
  }
});

test('expectation: a body that is no JSON, or is only a value, has no fields', () => {
  const json = { status: 'ok' };
  for (const body of ['', 'ok', '{"status":"ok"', '\ufeff', '['.repeat(200_000)]) {
    assert.equal(said({ json }, 200, body), 'L7HTTP GET /health: 200, but the body is not JSON');
  }
  for (const body of ['null', '"ok"', '3', '[]']) {
    assert.match(said({ json }, 200, body), /but status is missing/);
  }
});

test('expectation: what is said is short, and keeps the query of the path to itself', () => {
  assert.equal(
    said({ path: '/health?token=Hidden-Word' }, 500),
    'L7HTTP GET /health?…: 500, expected 200 or 204',
  );
  const long = said({ json: { a: 'b' } }, 200, JSON.stringify({ a: 'x'.repeat(10_000) }));
  assert.ok(long.length < 300, long);
});
