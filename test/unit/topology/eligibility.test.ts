import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acceptsWrites, readable, serving } from '../../../src/topology/eligibility.ts';
import { backend, fail, FRESHNESS_MS, pass, passReplica, server } from '../../support/views.ts';

const names = (servers: readonly { name: string }[]): string[] => servers.map(({ name }) => name);

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
  assert.deepEqual(names(serving(view, 0)), ['pg2', 'pg3']);
  assert.deepEqual(names(readable(view, 0, null)), ['pg3']);
});

test('eligibility: with a limit, a replica that lags or does not replicate gets no readers', () => {
  const view = backend([
    server('pg1', passReplica({ lagSeconds: 10 })),
    server('pg2', passReplica({ lagSeconds: 10.1 })),
    server('pg3', passReplica({ lagSeconds: null, replicating: false })),
    server('pg4', fail()),
  ]);
  assert.deepEqual(names(readable(view, 0, 10_000)), ['pg1']);
  assert.deepEqual(names(readable(view, 0, null)), ['pg1', 'pg2', 'pg3']);
});

test('eligibility: one that answers without a role serves nobody where there are roles, and everybody where there are none', () => {
  const answer = pass({ role: 'unknown', writable: false });
  const view = backend([server('pg1', passReplica()), server('pg2', answer)]);
  assert.deepEqual(names(serving(view, 0)), ['pg1']);
  assert.deepEqual(names(readable(view, 0, null)), ['pg1']);
  const web = backend([server('b1', answer)], { protocol: 'http' });
  assert.deepEqual(names(serving(web, 0)), ['b1']);
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
    assert.deepEqual(names(serving(view, 0)), ['pg3']);
    assert.deepEqual(names(readable(view, 0, null)), ['pg3']);
    const web = backend([out(server('b1', pass({ role: 'unknown', writable: false })))], {
      protocol: 'http',
    });
    assert.deepEqual(names(serving(web, 0)), []);
  }
});
