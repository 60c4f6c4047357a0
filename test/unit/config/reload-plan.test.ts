// What a reload says it changes, in the words of the file, and what it refuses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planReload } from '../../../src/config/reload-plan.ts';
import { configSchema, type Config } from '../../../src/config/schema.ts';

interface Given {
  readonly top?: object;
  readonly app?: object;
  readonly check?: object;
  readonly servers?: object;
  readonly more?: object;
}

const configOf = ({ top, app, check, servers, more }: Given = {}): Config =>
  configSchema.parse({
    ...top,
    frontends: { 'App-rwMs': { bind: '127.0.0.1:6000', backend: 'app', ...app }, ...more },
    backends: {
      app: {
        protocol: 'postgres',
        check: { user: 'probe', password: 'old secret', ...check },
        servers: servers ?? { pg1: '10.0.0.1:5432', pg2: '10.0.0.2:5432' },
      },
    },
  });

const changesOf = (before: Given, after: Given): readonly string[] =>
  planReload(configOf(before), configOf(after)).changes;

test('reload plan: the same configuration changes nothing', () => {
  assert.deepEqual(planReload(configOf(), configOf()), { changes: [], needRestart: [] });
});

test('reload plan: changes are named as the file names them, and names of people’s own stay', () => {
  const cases: readonly (readonly [Given, readonly string[]])[] = [
    [
      { app: { hold: '7s', tcp: { keepalive_idle: '9s' } } },
      ['frontends.App-rwMs.hold', 'frontends.App-rwMs.tcp.keepalive_idle'],
    ],
    [{ top: { drain_timeout: '1s', reload_on_change: true } }, ['drain_timeout', 'reload_on_change']],
    [{ more: { b: { bind: '127.0.0.1:6001', backend: 'app' } } }, ['frontends.b (new)']],
    [{ servers: { pg1: '10.0.0.1:5432' } }, ['backends.app.servers.pg2 (removed)']],
    [{ servers: { pg2: '10.0.0.2:5432', pg1: '10.0.0.1:5432' } }, ['backends.app.servers (order)']],
    [{ app: { allow: ['10.0.0.0/8'] } }, ['frontends.App-rwMs.allow']],
  ];
  for (const [after, expected] of cases) assert.deepEqual(changesOf({}, after), expected);
});

test('reload plan: a changed secret is named and not shown', () => {
  const changes = changesOf({}, { check: { password: 'new secret' } });
  assert.deepEqual(changes, ['backends.app.check.password']);
});

test('reload plan: what needs a restart is named beside the rest', () => {
  const after = { top: { engine: { workers: 3 }, state_file: '/var/lib/x.json' }, app: { hold: '7s' } };
  const { changes, needRestart } = planReload(configOf(), configOf(after));
  assert.deepEqual(needRestart, ['engine.workers', 'state_file']);
  assert.deepEqual(changes, ['engine.workers', 'state_file', 'frontends.App-rwMs.hold']);
});
