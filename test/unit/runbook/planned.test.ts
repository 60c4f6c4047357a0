// Failback and switchover on a clock of the test: what is held, who may be the primary at each step, what a failure means.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configOf, Stage, World } from '../../support/runbook-stage.ts';
import { pass, passReplica } from '../../support/views.ts';

const cold = { systemId: '7000000000000000002', timeline: 1 };

const runbook = (more: object = {}) =>
  configOf({
    lost_for: '1s',
    steps: {
      start: { exec: ['start'] },
      copy: { exec: ['copy'] },
      compare: { exec: ['compare'] },
      stop: { exec: ['stop'] },
      ask: { exec: ['ask'] },
    },
    on_primary_lost: { activate: 'pg2', steps: ['start'] },
    failback: { activate: 'pg1', prepare: ['copy'], steps: ['compare'], after: ['stop'], ...more },
    switchover: { activate: 'pg2', steps: ['ask'] },
  });

async function ends(stage: Stage, name: string, result = {}): Promise<void> {
  assert.equal(stage.step.name, name);
  stage.step.end(result);
  await stage.clock.advance(0);
}

/** pg2 serves since pg1 was lost, and pg1 is back. */
async function acting(config = runbook(), world = new World()): Promise<Stage> {
  const stage = new Stage(config, world);
  stage.hear('pg2', null);
  stage.hear('pg1', pass());
  await stage.clock.advance(0);
  stage.hear('pg1', null);
  await stage.clock.advance(1100);
  await ends(stage, 'start');
  stage.hear('pg2', pass(cold));
  await stage.clock.advance(0);
  stage.hear('pg1', pass());
  await stage.clock.advance(0);
  assert.equal(stage.view.primary, 'pg2');
  assert.equal(stage.status.last?.outcome, 'done');
  return stage;
}

test('failback: traffic goes on while the copy is made, waits while it is compared, and goes to the old server only then', async () => {
  const stage = await acting();
  assert.ok(stage.runbooks.begin('app', 'failback', null).ok);
  await stage.clock.advance(0);
  assert.equal(stage.view.held, null);
  await ends(stage, 'copy');
  assert.match(stage.view.held ?? '', /failback is at step 3 of 5, compare/);
  assert.deepEqual(
    stage.drained,
    ['pg2'],
    'the sessions of the acting one are closed before anything is compared',
  );
  stage.hear('pg1', pass());
  assert.equal(stage.view.primary, 'pg2', 'pg1 says that it is writable, and is not followed yet');
  await ends(stage, 'compare');
  assert.equal(stage.view.primary, 'pg1');
  assert.equal(stage.view.held, null);
  await ends(stage, 'stop');
  assert.equal(stage.status.last?.outcome, 'done');
  assert.deepEqual(stage.status.barred, ['pg2'], 'the acting one goes on to take writes: it is not followed');
  stage.hear('pg1', null);
  stage.hear('pg2', pass(cold));
  assert.equal(stage.view.primary, null);
});

test('failback: what does not agree keeps traffic waiting until an operator gives it up, and then the acting one goes on', async () => {
  const stage = await acting();
  stage.runbooks.begin('app', 'failback', null);
  await stage.clock.advance(0);
  await ends(stage, 'copy');
  await ends(stage, 'compare', { ok: false, detail: '5 rows and 4' });
  assert.match(stage.view.held ?? '', /stopped at step 3 of 5, compare: compare failed: 5 rows and 4/);
  assert.equal(stage.view.primary, 'pg2');
  assert.ok(stage.runbooks.abort('app').ok);
  await stage.clock.advance(0);
  assert.equal(stage.view.held, null);
  assert.equal(stage.view.primary, 'pg2');
  assert.deepEqual(stage.status.barred, ['pg1']);
});

test('failback: a copy that fails before traffic was held changes nothing', async () => {
  const stage = await acting();
  stage.runbooks.begin('app', 'failback', null);
  await stage.clock.advance(0);
  await ends(stage, 'copy', { ok: false, detail: 'no' });
  assert.equal(stage.status.last?.outcome, 'failed');
  assert.equal(stage.view.held, null);
  assert.equal(stage.view.primary, 'pg2');
});

test('failback: automatic, it begins once the old server is up again; after a failure it does not begin again by itself', async () => {
  const stage = await acting(runbook({ trigger: 'automatic' }));
  await stage.clock.advance(0);
  await ends(stage, 'copy', { ok: false, detail: 'no' });
  await stage.clock.advance(60_000);
  assert.equal(stage.world.begun.length, 2);
});

/** pg1 is the primary, pg2 its replica. */
async function pair(): Promise<Stage> {
  const stage = new Stage(runbook());
  stage.hear('pg1', pass());
  stage.hear('pg2', passReplica());
  await stage.clock.advance(0);
  return stage;
}

test('switchover: new clients wait from before the sessions are closed until the other one takes writes', async () => {
  const stage = await pair();
  assert.ok(stage.runbooks.begin('app', 'switchover', 'pg2').ok);
  await stage.clock.advance(0);
  assert.notEqual(stage.view.held, null);
  assert.deepEqual(stage.drained, ['pg1']);
  stage.hear('pg1', passReplica());
  stage.hear('pg2', pass({ timeline: 2 }));
  await stage.clock.advance(0);
  assert.equal(stage.view.primary, 'pg2');
  assert.notEqual(stage.view.held, null, 'the step has not ended');
  await ends(stage, 'ask');
  assert.equal(stage.view.held, null);
  assert.equal(stage.status.last?.outcome, 'done');
});

test('switchover: a step that fails while the old primary still takes writes gives it its clients back', async () => {
  const stage = await pair();
  stage.runbooks.begin('app', 'switchover', 'pg2');
  await stage.clock.advance(0);
  stage.hear('pg1', pass());
  await ends(stage, 'ask', { ok: false, detail: 'status 503' });
  assert.equal(stage.status.last?.outcome, 'released');
  assert.match(stage.status.last?.reason ?? '', /ask failed: status 503; pg1 has its clients again/);
  assert.equal(stage.view.held, null);
  assert.equal(stage.view.primary, 'pg1');
});

test('switchover: a step that fails when the old primary is none any more keeps traffic waiting', async () => {
  const stage = await pair();
  stage.runbooks.begin('app', 'switchover', 'pg2');
  await stage.clock.advance(0);
  stage.hear('pg1', passReplica());
  await stage.clock.advance(0);
  await ends(stage, 'ask', { ok: false, detail: 'no answer' });
  assert.equal(stage.status.run?.mark, 'stopped');
  assert.notEqual(stage.view.held, null);
});

test('switchover: steps that succeed and change nothing give the old primary its clients back after a minute', async () => {
  const stage = await pair();
  stage.runbooks.begin('app', 'switchover', 'pg2');
  await stage.clock.advance(0);
  await ends(stage, 'ask');
  for (let second = 0; second < 61; second += 1) {
    stage.hear('pg1', pass());
    await stage.clock.advance(1000);
  }
  assert.equal(stage.status.last?.outcome, 'released');
  assert.equal(stage.view.held, null);
});

test('a command is refused with the reason: another run, no primary, the primary itself, a barred server, no such book', async () => {
  const stage = await acting();
  const why = (answer: { ok: boolean; why?: string }): string => answer.why ?? 'it was begun';
  assert.match(why(stage.runbooks.begin('app', 'switchover', 'pg1')), /pointsman failback gives it back/);
  assert.match(why(stage.runbooks.begin('app', 'switchover', 'pg2')), /is the primary already/);
  assert.match(why(stage.runbooks.begin('app', 'switchover', 'pg9')), /there is no server "pg9"/);
  assert.match(why(stage.runbooks.begin('other', 'failback', null)), /other has no runbook/);
  assert.match(why(stage.runbooks.resume('app', false)), /no runbook is under way/);
  stage.runbooks.begin('app', 'failback', null);
  assert.match(why(stage.runbooks.begin('app', 'failback', null)), /not over yet/);
});

test('a state file that cannot be written stops the run before the step begins', async () => {
  const stage = await pair();
  stage.world.diskFailure = 'no space left on device';
  stage.runbooks.begin('app', 'switchover', 'pg2');
  await stage.clock.advance(0);
  assert.deepEqual(stage.world.begun, []);
  assert.match(stage.status.run?.reason ?? '', /cannot be written to the state file: no space left/);
});
