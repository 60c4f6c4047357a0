// `on_primary_lost` on a clock of the test: when it begins, what is held meanwhile, whom traffic goes to, who is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configOf, Stage, World } from '../../support/runbook-stage.ts';
import { pass } from '../../support/views.ts';

/** pg2 is a cold standby: when it runs, it is another cluster. */
const cold = { systemId: '7000000000000000002', timeline: 1 };

const book = {
  lost_for: '5s',
  steps: {
    fence: { exec: ['fence'] },
    start: { exec: ['start'], idempotent: true },
    load: { exec: ['load'], retries: 1, backoff: '2s' },
    tell: { exec: ['tell'] },
  },
  before_promote: ['fence'],
  on_primary_lost: { activate: 'pg2', steps: ['start', 'load'] },
  on_promoted: ['tell'],
};

/** pg1 is the primary, and then is lost. */
async function lost(runbook: object = book, world = new World()): Promise<Stage> {
  const stage = new Stage(configOf(runbook), world);
  stage.hear('pg2', null);
  stage.hear('pg1', pass());
  await stage.clock.advance(100);
  assert.equal(stage.view.primary, 'pg1');
  stage.hear('pg1', null);
  await stage.clock.advance(0);
  assert.equal(stage.view.primary, null);
  return stage;
}

/** Lets the step under way end, and whatever follows happen. */
async function ends(stage: Stage, name: string, result = {}): Promise<void> {
  assert.equal(stage.step.name, name);
  stage.step.end(result);
  await stage.clock.advance(0);
}

test('on_primary_lost: the steps run in order after the loss has lasted, and the server is the primary once it says so itself', async () => {
  const stage = await lost();
  await stage.clock.advance(4900);
  assert.deepEqual(stage.world.begun, [], 'not before lost_for');
  await stage.clock.advance(200);
  await ends(stage, 'fence');
  await ends(stage, 'start');
  // It runs and is writable, and the book isn't through: nobody may be led there.
  stage.hear('pg2', pass(cold));
  assert.equal(stage.view.primary, null);
  assert.match(
    stage.view.reasons.join(),
    /pg2 says that it is the primary, but the runbook on_primary_lost is at step 3/,
  );
  await ends(stage, 'load');
  assert.equal(stage.view.primary, 'pg2', 'by the word of the book, though it is of another cluster');
  assert.equal(stage.step.name, 'tell', 'on_promoted follows');
  await ends(stage, 'tell');
  assert.deepEqual(stage.world.done, ['fence', 'start', 'load', 'tell']);
  assert.equal(stage.status.run, null);
  assert.equal(stage.status.last?.outcome, 'done');
});

test('on_primary_lost: the old primary that returns amid the book, or after it, is refused; also when the new one is lost', async () => {
  const stage = await lost();
  await stage.clock.advance(5100);
  stage.hear('pg1', pass());
  assert.equal(stage.view.primary, null, 'amid the book');
  await ends(stage, 'fence');
  await ends(stage, 'start');
  await ends(stage, 'load');
  stage.hear('pg1', pass());
  assert.equal(stage.view.primary, null, 'the one that was activated has not spoken yet');
  stage.hear('pg2', pass(cold));
  await stage.clock.advance(0);
  assert.equal(stage.view.primary, 'pg2');
  await ends(stage, 'tell');
  stage.hear('pg1', pass());
  assert.equal(stage.view.primary, 'pg2');
  stage.hear('pg2', null);
  stage.hear('pg1', pass());
  assert.equal(stage.view.primary, null, 'what pg2 took meanwhile is not on pg1');
  assert.match(stage.view.reasons.join(), /pg1/);
});

test('on_primary_lost: a step that fails is tried again after its pause, then stops the book with nobody as the primary, until an operator speaks', async () => {
  const stage = await lost();
  await stage.clock.advance(5100);
  await ends(stage, 'fence');
  await ends(stage, 'start');
  await ends(stage, 'load', { ok: false, detail: 'no space left' });
  assert.equal(stage.world.begun.length, 3);
  await stage.clock.advance(1900);
  assert.equal(stage.world.begun.length, 3, 'the pause is two seconds');
  await stage.clock.advance(200);
  await ends(stage, 'load', { ok: false, detail: 'no space left' });
  assert.equal(stage.status.run?.mark, 'stopped');
  assert.match(stage.status.run?.reason ?? '', /load failed: no space left/);
  stage.hear('pg2', pass(cold));
  stage.hear('pg1', pass());
  assert.equal(stage.view.primary, null);
  assert.ok(stage.runbooks.resume('app', false).ok);
  await stage.clock.advance(0);
  await ends(stage, 'load');
  stage.hear('pg2', pass(cold));
  assert.equal(stage.view.primary, 'pg2');
});

test('on_primary_lost: once aborted, the old primary is followed again, and no other run begins for the same loss', async () => {
  const stage = await lost();
  await stage.clock.advance(5100);
  assert.ok(stage.runbooks.abort('app').ok);
  assert.ok(stage.step.isCancelled);
  stage.step.end({});
  await stage.clock.advance(3_600_000);
  assert.equal(stage.world.begun.length, 1, 'a step that ends late changes nothing');
  stage.hear('pg1', pass());
  assert.equal(stage.view.primary, 'pg1');
});
