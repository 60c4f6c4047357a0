// Listing and closing joined sessions, over a real registry of made-up sessions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SessionRegistry, type JoinedSession } from '../../../src/proxy/registry.ts';
import { closeSessions, listSessions, sessionPrefix } from '../../../src/proxy/sessions.ts';
import { joined } from '../../support/joined.ts';

const registryOf = (...given: readonly Partial<JoinedSession>[]) => {
  const registry = new SessionRegistry();
  const asked: (number | undefined)[] = [];
  for (const one of given) {
    const session = joined({
      evict: () => {
        registry.remove(session);
        return true;
      },
      ...one,
      localAddress: () => {
        asked.push(session.number);
        return one.localAddress?.() ?? null;
      },
    });
    registry.add(session);
  }
  return { registry, asked };
};

const at = (host: string, port: number) => ({ host, port });

const three = () =>
  registryOf(
    { client: at('10.0.0.7', 1001), localAddress: () => at('10.9.0.1', 50_001) },
    { client: at('10.0.1.8', 1002), localAddress: () => at('10.9.0.1', 50_002), server: 'pg2' },
    { client: at('2001:db8::1', 1003), frontend: 'ro', localAddress: () => at('10.9.0.1', 50_003) },
  );

test('sessions: each filter leaves those that match it', () => {
  const { registry } = three();
  const found = (filter: Parameters<typeof listSessions>[2]): readonly string[] =>
    listSessions(registry, 'w', filter, 0).sessions.map(({ id }) => id);
  assert.deepEqual(found({}), ['w-1', 'w-3', 'w-2']);
  assert.deepEqual(found({ client: '10.0.0.7' }), ['w-1']);
  assert.deepEqual(found({ client: '10.0.0.0/16' }), ['w-1', 'w-2']);
  assert.deepEqual(found({ client: '2001:db8::/32' }), ['w-3']);
  assert.deepEqual(found({ serverPort: 50_002 }), ['w-2']);
  assert.deepEqual(found({ server: 'pg2', frontend: 'app' }), ['w-2']);
  assert.deepEqual(found({ frontend: 'ro', backend: 'app' }), ['w-3']);
  assert.deepEqual(found({ backend: 'other' }), []);
  assert.throws(() => found({ client: 'nobody' }));
});

test('sessions: beyond the limit they are counted, and the system is not asked for their addresses', () => {
  const { registry, asked } = three();
  const { sessions, matched } = listSessions(registry, 'w', { limit: 1 }, 0);
  assert.deepEqual([sessions.length, matched, asked], [1, 3, [1]]);
});

test('sessions: only those that the other filters leave are asked for their port', () => {
  const { registry, asked } = three();
  assert.equal(listSessions(registry, 'w', { serverPort: 50_001, client: '10.0.0.7' }, 0).matched, 1);
  assert.deepEqual(asked, [1, 1]);
});

test('sessions: closing takes those of the ids that are its own, and counts them', () => {
  const { registry } = three();
  assert.equal(closeSessions(registry, 'w', ['w-2', 'x-1', 'w-99', 'nonsense'], 'operator'), 1);
  assert.deepEqual([registry.count('app', 'pg1'), registry.count('app', 'pg2')], [2, 0]);
});

test('sessions: one that goes on to another server is not counted as closed, and keeps its number', () => {
  const registry = new SessionRegistry();
  const session = joined({
    evict: () => {
      registry.remove(session);
      return false;
    },
  });
  registry.add(session);
  assert.equal(closeSessions(registry, 'w', ['w-1'], 'operator'), 0);
  registry.add(session);
  assert.equal(session.number, 1);
});

test('sessions: closed as they were seen are those that have rested since, with no answer due', () => {
  const numbers = (bytesUp: number, idleMs: number) => () => ({
    ...{ peer: null, ageMs: 9000, idleMs },
    ...{ bytesUp, bytesDown: 2 },
  });
  const { registry } = registryOf(
    { numbers: numbers(10, 40) },
    { numbers: numbers(11, 40) }, // has gone on
    { numbers: numbers(10, 40), awaitsAnswer: () => true },
    { numbers: numbers(10, 5000), awaitsAnswer: () => true }, // what was never answered won't be
    { numbers: numbers(10, 40) },
    { numbers: numbers(10, 500) }, // may speak at any moment
    { numbers: numbers(10, 2000) }, // has nobody who does
  );
  const isPaused = ({ number }: JoinedSession): boolean => number === 5;
  const bytes = Array<number>(7).fill(12);
  const asAt = { bytes, idleBelowMs: 500, idleFromMs: 2000, isPaused, now: () => 0 };
  const ids = bytes.map((_, at) => `w-${at + 1}`);
  assert.equal(closeSessions(registry, 'w', ids, 'switchover', asAt), 3);
  assert.deepEqual(
    registry
      .sessions()
      .map(({ number }) => number)
      .sort(),
    [2, 3, 5, 6],
  );
});

test('sessions: a prefix has six signs, whatever the draw', () => {
  for (const draw of [0, 0.000001, 0.5, 1 - Number.EPSILON]) {
    assert.match(sessionPrefix(draw), /^[0-9a-z]{6}$/);
  }
});
