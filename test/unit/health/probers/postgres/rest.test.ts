import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../../../src/core/clock.ts';
import { type Prober } from '../../../../../src/health/prober.ts';
import { type Asked } from '../../../../../src/health/probers/http/connection.ts';
import { ruled } from '../../../../../src/health/probers/postgres/interview.ts';
import { confirmed, ConfirmedProber } from '../../../../../src/health/probers/postgres/rest.ts';
import { type ServerFacts } from '../../../../../src/health/result.ts';
import { facts } from '../../../../support/views.ts';

const replica: Partial<ServerFacts> = { role: 'replica', writable: false, lagSeconds: 0 };
const answers = (status: number): Asked => ({
  kind: 'response',
  response: { status, body: Buffer.from('{}'), keepAlive: true },
});
const silent: Asked = {
  kind: 'failed',
  failure: { code: 'L4CON', detail: 'connect ECONNREFUSED 127.0.0.1:8008' },
  silent: true,
};

/** `code role writable: detail`. */
function said(given: Partial<ServerFacts>, path: string, asked: Asked): string {
  const answer = confirmed({ code: 'L7OK', detail: 'sql', facts: facts(given) }, path, asked);
  const told = 'facts' in answer ? ` ${answer.facts.role} ${answer.facts.writable}` : '';
  return `${answer.code}${told}: ${answer.detail}`;
}

test('rest: where both say the same, the server is what it says', () => {
  assert.equal(said({}, '/primary', answers(200)), 'L7OK primary true: sql; GET /primary agrees');
  assert.equal(
    said(replica, '/replica?lag=1MB', answers(200)),
    'L7OK replica false: sql; GET /replica?… agrees',
  );
  assert.equal(said({ writable: false }, '/primary', answers(200)).split(':')[0], 'L7OK primary false');
});

test('rest: where they disagree, the server has no role, and both words are told', () => {
  assert.equal(
    said({}, '/primary', answers(503)),
    'L7OK unknown false: PostgreSQL takes writes, but GET /primary answers 503',
  );
  assert.equal(
    said(replica, '/replica', answers(503)),
    'L7OK unknown false: PostgreSQL is a replica, but GET /replica answers 503',
  );
  assert.equal(
    said({ writable: false }, '/primary', answers(302)),
    'L7OK unknown false: PostgreSQL is a read-only primary, but GET /primary answers 302',
  );
});

test('rest: an API that cannot be reached makes no role and takes none', () => {
  assert.equal(
    said({}, '/primary', silent),
    'L7REST: PostgreSQL takes writes, but GET /primary got no answer: connect ECONNREFUSED 127.0.0.1:8008',
  );
});

test('rest: a server that failed, or told no role, is not asked about', async () => {
  for (const answer of [
    { code: 'L7TOUT', detail: 'late' },
    { code: 'L7OK', detail: 'odd', facts: facts({ role: 'unknown', writable: false }) },
  ] as const) {
    let closed = false;
    const inner: Prober = { probe: () => Promise.resolve(answer), close: () => (closed = true) };
    const rest = {
      port: 1,
      primary: '/primary',
      replica: '/replica',
      tls: { mode: 'disable', caFile: null, serverName: null },
    } as const;
    const prober = new ConfirmedProber(inner, {
      address: { host: '127.0.0.1', port: 1 },
      rest,
      timeoutMs: 1000,
      fastIntervalMs: 50,
      clock: systemClock,
    });
    assert.deepEqual(await prober.probe(), answer);
    prober.close();
    assert.equal(closed, true);
  }
});

test('own SQL: it decides who is the primary, and makes nobody writable', () => {
  const primary = facts();
  assert.deepEqual(ruled(primary, ['t']), primary);
  assert.deepEqual(ruled(primary, ['ACTIVE', 't']), { ...primary, role: 'replica', writable: false });
  for (const row of [null, [], [null], ['f'], ['0'], ['']]) {
    assert.deepEqual(ruled(primary, row), { ...primary, role: 'replica', writable: false });
  }
  const readOnly = facts({ writable: false });
  assert.deepEqual(ruled(readOnly, ['PRIMARY']), readOnly, 'read-only it stays');
});
