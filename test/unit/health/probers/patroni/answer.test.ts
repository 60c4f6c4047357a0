import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCluster, readStoreSeen, withAbsent } from '../../../../../src/health/probers/patroni/answer.ts';
import { type PatroniAnswer } from '../../../../../src/health/result.ts';

const read = (body: unknown): ReturnType<typeof readCluster> =>
  readCluster(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));

/** As Patroni 3.0.2 sends it. */
const captured =
  '{"members": [{"name": "node1", "role": "replica", "state": "stopped", "api_url": "http://127.0.0.1:17003/patroni", "host": "127.0.0.1", "port": 17002, "lag": "unknown"}, {"name": "node2", "role": "leader", "state": "running", "api_url": "http://127.0.0.1:17005/patroni", "host": "127.0.0.1", "port": 17004, "timeline": 2}], "pause": true}';

test('patroni answer: members, leader and pause are read as 3.0 sends them', () => {
  assert.deepEqual(read(captured), {
    leader: 'node2',
    standbyCluster: false,
    paused: true,
    members: [
      { name: 'node1', address: { host: '127.0.0.1', port: 17_002 }, state: 'stopped', timeline: null },
      { name: 'node2', address: { host: '127.0.0.1', port: 17_004 }, state: 'running', timeline: 2 },
    ],
  });
});

test('patroni answer: what 4 adds does no harm', () => {
  const answer = read({
    members: [
      {
        name: 'a',
        role: 'leader',
        state: 'running',
        api_url: 'http://a:8008/patroni',
        host: 'a',
        port: 5432,
        timeline: 7,
      },
      {
        name: 'b',
        role: 'quorum_standby',
        state: 'streaming',
        host: 'b',
        timeline: 7,
        lag: 0,
        receive_lag: 0,
        lsn: '0/4000060',
      },
      {
        name: 'c',
        role: 'replica',
        state: 'creating replica',
        timeline: null,
        lag: 'unknown',
        tags: { nofailover: true },
      },
    ],
    scope: 'app',
    scheduled_switchover: { at: '2026-10-12T10:00:00+00:00', from: 'a' },
  });
  assert.ok('leader' in answer);
  assert.equal(answer.leader, 'a');
  assert.equal(answer.paused, false);
  assert.deepEqual(
    answer.members.map(({ address, state, timeline }) => [address, state, timeline]),
    [
      [{ host: 'a', port: 5432 }, 'running', 7],
      [{ host: 'b', port: 5432 }, 'streaming', 7],
      [null, 'creating replica', null],
    ],
  );
});

test('patroni answer: nobody leads, or the leader follows a cluster elsewhere', () => {
  const of = (role: string): ReturnType<typeof readCluster> =>
    read({ members: [{ name: 'a', role, state: 'running' }] });
  const none = of('sync_standby');
  assert.ok('leader' in none && none.leader === null);
  const standby = of('standby_leader');
  assert.ok('leader' in standby && standby.leader === 'a' && standby.standbyCluster);
});

for (const [what, body] of [
  ['no JSON', '<html>'],
  ['an empty body', ''],
  ['a list', '[]'],
  ['no members', {}],
  ['members that are no list', { members: { a: 1 } }],
  ['a member without a role', { members: [{ name: 'a' }] }],
  ['an impossible port', { members: [{ name: 'a', role: 'leader', host: 'a', port: 70_000 }] }],
  ['a pause that is neither', { members: [], pause: 'maybe' }],
  [
    'two leaders',
    {
      members: [
        { name: 'a', role: 'leader' },
        { name: 'b', role: 'leader' },
      ],
    },
  ],
  [
    'too many members',
    { members: Array.from({ length: 65 }, (_, n) => ({ name: `n${n}`, role: 'replica' })) },
  ],
] as const) {
  test(`patroni answer: ${what} is refused`, () => {
    const answer = read(body);
    assert.equal('code' in answer && answer.code, 'L7RSP');
  });
}

test('patroni answer: names of strangers are cut', () => {
  const answer = read({ members: [{ name: 'x'.repeat(5000), role: 'leader', state: 'y'.repeat(5000) }] });
  assert.ok('leader' in answer);
  assert.equal(answer.leader?.length, 100);
  assert.equal(answer.members[0]?.name, answer.leader);
  assert.equal(answer.members[0].state.length, 100);
});

test('patroni answer: when the store was last reached, where it says so', () => {
  assert.equal(
    readStoreSeen(Buffer.from('{"state": "running", "dcs_last_seen": 1795297051}')),
    1_795_297_051,
  );
  assert.equal(readStoreSeen(Buffer.from('{"state": "running"}')), null);
  assert.equal(readStoreSeen(Buffer.from('oops')), null);
});

test('patroni members: who is listed no more is kept in a pause or while nobody leads, and let go once somebody does', () => {
  const at = (leader: string | null, names: readonly string[], paused = false): PatroniAnswer => ({
    leader,
    paused,
    standbyCluster: false,
    members: names.map(name => ({ name, address: { host: name, port: 1 }, state: 'running', timeline: 1 })),
  });
  const listed = ({ members }: PatroniAnswer): string => members.map(m => `${m.name} ${m.state}`).join(', ');
  const whole = at('a', ['a', 'b']);
  assert.equal(listed(withAbsent(null, whole)), 'a running, b running');
  const leaderless = withAbsent(whole, at(null, ['b']));
  assert.equal(listed(leaderless), 'b running, a absent');
  assert.equal(listed(withAbsent(leaderless, at(null, ['b']))), 'b running, a absent', 'and on');
  assert.equal(listed(withAbsent(leaderless, at('b', ['b']))), 'b running');
  assert.equal(listed(withAbsent(whole, at('a', ['a'], true))), 'a running, b absent');
  assert.equal(listed(withAbsent(leaderless, at(null, ['a', 'b']))), 'a running, b running', 'it is back');
});
