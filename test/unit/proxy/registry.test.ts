// The registry, the routing of cancel keys through it, and the order of things on a change of the topology.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Route } from '../../../src/config/schema.ts';
import { cancelTargets } from '../../../src/proxy/cancel.ts';
import { applyChange } from '../../../src/proxy/failover.ts';
import { cancelKey, SessionRegistry, type JoinedSession } from '../../../src/proxy/registry.ts';
import { joined } from '../../support/joined.ts';
import { backend, down, fail, pass, passReplica, server } from '../../support/views.ts';

interface Fixture {
  readonly registry: SessionRegistry;
  readonly log: string[];
  join(server: string, route?: Route, frontend?: string): JoinedSession;
}

function fixture(): Fixture {
  const registry = new SessionRegistry();
  const log: string[] = [];
  return {
    registry,
    log,
    join(name, route = 'primary', frontend = 'rw') {
      const session: JoinedSession = joined({
        frontend,
        server: name,
        route,
        evict(reason) {
          registry.remove(session);
          log.push(`${route}@${name} ${reason}`);
          return true;
        },
      });
      registry.add(session);
      return session;
    },
  };
}

const key = Uint8Array.of(0, 0, 0, 9);

test('registry: sessions and dials are counted by server', () => {
  const { registry, join } = fixture();
  const session = join('pg1');
  registry.dialStarted('rw', 'app', 'pg1');
  assert.deepEqual(
    [registry.count('app', 'pg1'), registry.load('app', 'pg1'), registry.load('app', 'pg2')],
    [1, 2, 0],
  );
  assert.equal(registry.primarySessionsElsewhere('app', 'pg2'), 1);
  assert.equal(registry.primarySessionsElsewhere('app', 'pg1'), 0);
  registry.dialEnded('rw', 'app', 'pg1');
  registry.remove(session);
  assert.equal(registry.load('app', 'pg1'), 0);
  assert.throws(() => registry.remove(session), { code: 'INTERNAL' });
  assert.throws(() => registry.dialEnded('rw', 'app', 'pg1'), { code: 'INTERNAL' });
});

test('registry: a demotion closes every session of the old primary, in all frontends, before anybody is released', () => {
  const { registry, log, join } = fixture();
  join('pg1');
  join('pg1', 'primary', 'other');
  join('pg1', 'any');
  join('pg2', 'replica');
  join('pg2', 'replica-or-primary');
  const frontend = (name: string) => ({
    snapshotChanged: () => void log.push(`${name} checks dials`),
    release: () => void log.push(`${name} releases`),
  });
  const view = backend([server('pg1', passReplica()), server('pg2', pass())], { primary: 'pg2', epoch: 3 });
  const apply = (before: string): void =>
    applyChange(
      { before: { ...view, primary: before }, after: view },
      registry,
      [frontend('a'), frontend('b')],
      (...closed) => void log.push(closed.join(' ')),
    );
  apply('pg1');
  assert.deepEqual(log, [
    'primary@pg1 demotion',
    'primary@pg1 demotion',
    'any@pg1 demotion',
    'app pg1 demotion 3',
    'replica@pg2 promotion',
    'app pg2 promotion 1',
    'a checks dials',
    'b checks dials',
    'a releases',
    'b releases',
  ]);
  log.length = 0;
  apply('pg2');
  assert.deepEqual(log, ['a checks dials', 'b checks dials', 'a releases', 'b releases']);
});

test('registry: a mark-down closes the sessions of every route', () => {
  const { registry, log, join } = fixture();
  for (const route of ['primary', 'replica', 'replica-or-primary', 'any'] as const) join('pg1', route);
  const view = backend([server('pg1', fail(), down()), server('pg2', passReplica())], { epoch: 2 });
  applyChange({ before: view, after: view }, registry, [], (...closed) => void log.push(closed.join(' ')));
  assert.equal(log.length, 5);
  assert.equal(log.at(-1), 'app pg1 server-down 4');
});

test('registry: maintenance closes the sessions of every route, and drain closes none', () => {
  const { registry, log, join } = fixture();
  for (const route of ['primary', 'replica-or-primary', 'any'] as const) join('pg1', route);
  for (const route of ['replica', 'any'] as const) join('pg2', route);
  const show = (admin: 'drain' | 'maintenance', primary: string | null): void => {
    const servers = [server('pg1', pass()), server('pg2', passReplica())].map(one => ({ ...one, admin }));
    const before = backend(servers, { primary: 'pg1' });
    const after = backend(servers, { primary });
    applyChange({ before, after }, registry, [], (...closed) => void log.push(closed.join(' ')));
  };
  show('drain', 'pg1');
  assert.equal(log.length, 0);
  show('maintenance', null);
  assert.deepEqual(
    log.filter(line => line.startsWith('app')),
    ['app pg1 maintenance 3', 'app pg2 maintenance 2'],
  );
});

test('registry: a server that left loses its sessions, and so does a name that means another address by now', () => {
  const { registry, log, join } = fixture();
  join('pg1', 'any');
  join('pg2', 'replica');
  join('pg3', 'replica');
  const servers = ['pg1', 'pg2', 'pg3'].map(name => server(name, passReplica()));
  const before = backend(servers);
  const [pg1, pg2] = servers;
  const after = backend([pg1!, { ...pg2!, address: { ...pg2!.address, port: 1 } }]);
  applyChange({ before, after }, registry, [], (...closed) => void log.push(closed.join(' ')));
  assert.deepEqual(log, [
    'replica@pg2 server-left',
    'app pg2 server-left 1',
    'replica@pg3 server-left',
    'app pg3 server-left 1',
  ]);
  assert.equal(registry.count('app', 'pg1'), 1);
});

test('registry: a doubt about the primary closes nothing', () => {
  const { registry, log, join } = fixture();
  join('pg1');
  const view = backend([server('pg1', fail('L7TOUT'), { kind: 'up', fails: 1 })], { primary: 'pg1' });
  applyChange({ before: view, after: view }, registry, [], (...closed) => void log.push(closed.join(' ')));
  assert.deepEqual(log, []);
});

test('cancel targets: a known key leads to its server, until its session ends', () => {
  const { registry, join } = fixture();
  const view = backend([server('pg1', pass()), server('pg2', passReplica())], { primary: 'pg1' });
  const find = (route: Route, pid: number): string => {
    const targets = cancelTargets({ view: () => view, registry, route, peers: null }, pid, key);
    assert.ok(!(targets instanceof Promise), 'nobody else is asked');
    return targets.map(({ name }) => name).join();
  };
  const replicaSession = join('pg2', 'any');
  const forget = registry.learnKey(replicaSession, cancelKey(4711, key));
  assert.equal(find('primary', 4711), 'pg2');
  assert.equal(find('primary', 4712), 'pg1');
  assert.equal(find('any', 4712), 'pg2');
  forget();
  assert.equal(find('primary', 4711), 'pg1');
  registry.remove(replicaSession);
  assert.equal(find('any', 4711), '');
});

test('cancel targets: the other workers are asked of a key that nobody here has, where several servers may have it', async () => {
  const { registry, join } = fixture();
  const view = backend([server('pg1', pass()), server('pg2', passReplica())], { primary: 'pg1' });
  join('pg1', 'any');
  const asked: string[] = [];
  const find = async (route: Route, owner: string | null): Promise<string> => {
    const peers = {
      serverOfKey(_backend: string, name: string) {
        asked.push(name);
        return Promise.resolve(owner);
      },
    };
    const targets = await cancelTargets({ view: () => view, registry, route, peers }, 4711, key);
    return targets.map(({ name }) => name).join();
  };
  assert.equal(await find('any', 'pg2'), 'pg2');
  assert.equal(await find('any', null), 'pg1', 'where sessions are');
  assert.deepEqual(asked, [cancelKey(4711, key), cancelKey(4711, key)]);
  assert.equal(await find('primary', 'pg2'), 'pg1', 'there is but one');
  assert.equal(asked.length, 2);
});

test('cancel targets: a key given out twice belongs to the later session', () => {
  const { registry, join } = fixture();
  const forgetEarlier = registry.learnKey(join('pg1'), cancelKey(1, key));
  registry.learnKey(join('pg2'), cancelKey(1, key));
  forgetEarlier();
  assert.equal(registry.serverOfKey('app', cancelKey(1, key)), 'pg2');
});
