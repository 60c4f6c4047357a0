import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Route } from '../../../src/config/schema.ts';
import { acceptsWrites, eligible, type Eligibility } from '../../../src/topology/eligibility.ts';
import { type BackendView } from '../../../src/topology/model.ts';
import { initialStanding, limitsOf } from '../../../src/topology/standing.ts';
import { backend, fail, FRESHNESS_MS, pass, passReplica, server } from '../../support/views.ts';

const names = (servers: readonly { name: string }[]): string[] => servers.map(({ name }) => name);
const wanting = (route: Route, given: Partial<Eligibility> = {}): Eligibility => ({
  route,
  limits: [],
  synchronousOnly: false,
  ...given,
});
const serving = (view: BackendView): string[] => names(eligible(view, 0, wanting('any')));
const readable = (view: BackendView, given: Partial<Eligibility> = {}): string[] =>
  names(eligible(view, 0, wanting('replica', given)));

test('eligibility: the primary accepts writes while its newest result is a fresh "writable"', () => {
  const view = backend([server('pg1', pass({}, 0)), server('pg2', passReplica())], { primary: 'pg1' });
  assert.equal(acceptsWrites(view, FRESHNESS_MS)?.name, 'pg1');
  assert.equal(acceptsWrites(view, FRESHNESS_MS + 1), null, 'too old');
});

test('eligibility: an elected primary in doubt gets no new clients', () => {
  const doubtful = [fail('L7TOUT'), fail('L7BUSY'), pass({ writable: false }), passReplica()];
  for (const result of doubtful) {
    const view = backend([server('pg1', result, { kind: 'up', fails: 0 })], { primary: 'pg1' });
    assert.equal(acceptsWrites(view, 0), null, result.code);
  }
  assert.equal(acceptsWrites(backend([server('pg1', pass())]), 0), null, 'nobody is elected');
});

test('eligibility: a returned old primary serves nobody, not even readers', () => {
  const view = backend(
    [server('pg1', pass()), server('pg2', pass({ timeline: 2 })), server('pg3', passReplica())],
    {
      primary: 'pg2',
      splitBrain: true,
    },
  );
  assert.deepEqual(serving(view), ['pg2', 'pg3']);
  assert.deepEqual(readable(view), ['pg3']);
});

test('eligibility: a replica beyond one of the limits gets no readers, also where the primary serves them', () => {
  const [tenSeconds = '', oneMiB = ''] = limitsOf({ maxLagMs: 10_000, maxLagBytes: 2 ** 20 });
  const behind = (name: string, ...beyond: string[]) => ({
    ...server(name, passReplica()),
    standing: { ...initialStanding, beyond },
  });
  const view = backend(
    [server('pg1', pass()), behind('pg2', tenSeconds), behind('pg3', oneMiB), behind('pg4')],
    { primary: 'pg1' },
  );
  assert.deepEqual(readable(view), ['pg2', 'pg3', 'pg4']);
  assert.deepEqual(readable(view, { limits: [tenSeconds] }), ['pg3', 'pg4']);
  assert.deepEqual(readable(view, { limits: [tenSeconds, oneMiB] }), ['pg4']);
  assert.deepEqual(names(eligible(view, 0, wanting('any', { limits: [oneMiB] }))), ['pg1', 'pg2', 'pg4']);
});

test('eligibility: where only synchronous replicas count, one that is merely not known to be one gets nobody', () => {
  const standings = ['yes', 'no', 'quorum', 'hidden', 'unknown', null] as const;
  const view = backend(
    [
      server('pg1', pass()),
      ...standings.map((synchronous, index) => ({
        ...server(`pg${index + 2}`, passReplica()),
        standing: { ...initialStanding, synchronous },
      })),
    ],
    { primary: 'pg1' },
  );
  assert.deepEqual(readable(view, { synchronousOnly: true }), ['pg2']);
  assert.deepEqual(names(eligible(view, 0, wanting('any', { synchronousOnly: true }))), ['pg1', 'pg2']);
});

test('eligibility: one that answers without a role serves nobody where there are roles, and everybody where there are none', () => {
  const answer = pass({ role: 'unknown', writable: false });
  const view = backend([server('pg1', passReplica()), server('pg2', answer)]);
  assert.deepEqual(serving(view), ['pg1']);
  assert.deepEqual(readable(view), ['pg1']);
  const web = backend([server('b1', answer)], { protocol: 'http' });
  assert.deepEqual(serving(web), ['b1']);
});

test('eligibility: a server in drain or maintenance gets nobody, primary or replica, with roles or without', () => {
  for (const admin of ['drain', 'maintenance'] as const) {
    const out = (view: ReturnType<typeof server>) => ({ ...view, admin });
    const view = backend(
      [out(server('pg1', pass())), out(server('pg2', passReplica())), server('pg3', passReplica())],
      {
        primary: 'pg1',
      },
    );
    assert.equal(acceptsWrites(view, 0), null);
    assert.deepEqual(serving(view), ['pg3']);
    assert.deepEqual(readable(view), ['pg3']);
    const web = backend([out(server('b1', pass({ role: 'unknown', writable: false })))], {
      protocol: 'http',
    });
    assert.deepEqual(serving(web), []);
  }
});
