// What `pointsman status` and `pointsman explain` print, from what the API says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateJson } from '../../../src/admin/api.ts';
import { type ExplanationJson } from '../../../src/admin/explain.ts';
import { explanationText } from '../../../src/cli/explain.ts';
import { statusText } from '../../../src/cli/status-text.ts';
import { type BackendView } from '../../../src/topology/model.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { backend, fail, pass, passReplica, passTcp, server } from '../../support/views.ts';

const clock = new FakeClock();

function print(...views: readonly BackendView[]): string {
  return printWith({}, ...views);
}

function printWith(
  given: Partial<Parameters<typeof stateJson>[0]>,
  ...views: readonly BackendView[]
): string {
  const frontends = [
    {
      name: 'rw',
      bind: { host: '::1', port: 6432 },
      backend: 'app',
      route: 'primary',
      connections: 3,
      sessions: 2,
      held: 1,
      available: true,
      bytesUp: 0,
      bytesDown: 0,
      unused: [],
    },
  ];
  const state = stateJson({
    version: '1.2.3',
    config: () => ({ generation: 1, appliedAt: 0, lastReload: null }),
    startedAt: '2026-01-01T00:00:00.000Z',
    clock,
    views: () => views,
    frontends: () => frontends,
    sessionsOf: () => 2,
    runbook: () => null,
    ...given,
  });
  return statusText(state, 1500);
}

test('status: everything that an operator must see of a backend in trouble stands above its servers', () => {
  const primary = { address: { host: '10.0.0.1', port: 5001 }, name: 'pg1' };
  const view = backend(
    [
      server('pg1', pass()),
      { ...server('pg2', passReplica({ lagSeconds: 2 })), admin: 'drain' },
      server('pg3', fail('L7TOUT')),
      server('pg4', null),
    ],
    {
      epoch: 4,
      splitBrain: true,
      reasons: ['first reason', 'second reason'],
      faults: [{ server: 'pg2', code: 'diverged', what: 'it went apart', mend: [] }],
      orchestrator: 'Patroni',
      opinion: { words: 'Patroni names pg1', primary, against: [], process: null, passive: true, at: 0 },
      notes: ['Patroni is paused'],
      disagreement: 'Patroni names pg1, but pg2 says otherwise',
    },
  );
  assert.equal(
    print(view),
    `pointsman 1.2.3, since 2026-01-01T00:00:00.000Z

app (postgres): NO PRIMARY, epoch 4
  first reason
  second reason
  SPLIT BRAIN: several servers claim to be writable
  orchestrator: Patroni names pg1 (it doesn’t act now)
  NOTE: Patroni is paused
  DISAGREEMENT: Patroni names pg1, but pg2 says otherwise
  FAULT of pg2: diverged: it went apart
  SERVER  ADDRESS        HEALTH   ROLE     WRITABLE  LAG  ADMIN  SESSIONS  LAST CHECK
  pg1     10.0.0.1:5001  up       primary  yes       -    ready  2         L7OK 1.5 s ago: ok
  pg2     10.0.0.1:5002  up       replica  no        2 s  drain  2         L7OK 1.5 s ago: ok
  pg3     10.0.0.1:5003  down     unknown  no        -    ready  2         L7TOUT 1.5 s ago: failed: L7TOUT
  pg4     10.0.0.1:5004  unknown  unknown  no        -    ready  2         never

FRONTEND  BIND        BACKEND  ROUTE    SESSIONS  WAITING
rw        [::1]:6432  app      primary  2         1`,
  );
});

test('status: a runbook is shown as it runs, where it has stopped and why, and who is kept out by it', () => {
  const view = backend([server('pg1', pass())], { circuitBreaker: { failures: 3, openMs: 1000 } });
  const run = {
    ...{ id: 1, book: 'on_primary_lost', from: 'pg1', to: 'pg2', trigger: 'automatic', status: 'stopped' },
    ...{ step: 'restore', step_number: 2, of: 3, attempt: 2, activity: 'idle', step_age_seconds: null },
    ...{ age_seconds: 7.25, reason: 'no fit backup', started_at: '', steps: [] },
  } as const;
  const idle = { run: null, waits_for: null, barred: [], last: null };
  const lines = (runbook: object, more: object = {}): string =>
    printWith({ runbook: () => ({ ...idle, ...runbook }) as never, ...more }, view);
  assert.match(
    lines({ run, barred: ['pg1'] }),
    /^ {2}RUNBOOK on_primary_lost, pg1 to pg2: STOPPED for 7\.3 s, step 2 of 3: restore \(attempt 2\): no fit backup\n {2}BARRED by a runbook: pg1$/m,
  );
  assert.match(lines({ waits_for: 'pg1 must be down' }), /^ {2}runbook waits: pg1 must be down$/m);
  const last = { book: 'failback', outcome: 'aborted', reason: 'an operator', ended_at: 'then' };
  assert.match(lines({ last }), /^ {2}LAST RUNBOOK \(failback, then\): aborted: an operator$/m);
  assert.doesNotMatch(lines({ last: { ...last, outcome: 'done' } }), /RUNBOOK/);
  assert.match(lines({}, { openUntil: () => 500 }), /2 \(circuit open\)/);
  assert.doesNotMatch(lines({}, { openUntil: () => 0 }), /circuit/);
});

test('status: a silent orchestrator is named, and servers without roles are counted', () => {
  const text = print(
    backend([server('pg1', pass())], { primary: 'pg1', orchestrator: 'Patroni' }),
    backend([server('c1', passTcp()), server('c2', fail())], { name: 'cache', protocol: 'tcp' }),
  );
  assert.match(text, /^app \(postgres\): primary pg1, epoch 0$/m);
  assert.match(text, /^ {2}orchestrator: Patroni: silent$/m);
  assert.match(
    text,
    /^cache \(tcp\): 1 of 2 up\n {2}SERVER {2}ADDRESS +HEALTH {2}ADMIN {2}SESSIONS {2}LAST CHECK$/m,
  );
});

test('explain: is printed with the question first, and what is empty is left out', () => {
  const answer: ExplanationJson = {
    backend: 'app',
    assumptions: [
      { server: 'pg1', is: 'down' },
      { server: 'pg2', is: 'writable' },
    ],
    before: 'pg1',
    primary: 'pg2',
    says: 'pg2 would become the primary of app: why',
    steps: [
      { after_ms: 0, primary: null, split_brain: false, reasons: ['pg1 is lost', 'pg2 settles'] },
      { after_ms: 5001, primary: 'pg2', split_brain: false, reasons: ['it is the only one'] },
    ],
    servers: [{ name: 'pg1', says: 'pg1 is down' }],
    orchestrator: null,
    disagreement: null,
    frontends: [],
    notice: [],
    takeover: ['another takes over once …'],
  };
  assert.equal(
    explanationText(answer),
    `If pg1 is down and pg2 is writable:
pg2 would become the primary of app: why

In time:
  at once: no primary: pg1 is lost; pg2 settles
  within 5001ms: primary pg2: it is the only one

Servers:
  pg1 is down

For another to take over:
  another takes over once …`,
  );
});
