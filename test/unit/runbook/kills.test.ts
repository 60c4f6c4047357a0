// A Pointsman killed at every moment of a run and started again on what is on disk: no step that isn't idempotent is done
// twice by itself, nobody is led anywhere before the steps are through, and the end state is right.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../support/fake-clock.ts';
import { configOf, Stage, World } from '../../support/runbook-stage.ts';
import { pass } from '../../support/views.ts';

const cold = { systemId: '7000000000000000002', timeline: 1 };
const STEPS = ['fence', 'start', 'load', 'tell'];

const config = configOf({
  lost_for: '1s',
  steps: {
    fence: { exec: ['fence'] },
    start: { exec: ['start'], idempotent: true },
    load: { exec: ['load'] },
    tell: { exec: ['tell'], idempotent: true },
  },
  before_promote: ['fence'],
  on_primary_lost: { activate: 'pg2', steps: ['start', 'load'], after: ['tell'] },
});

/** Moments at which it may be killed, counted over everything that happens: each turn of the clock, each step's end. */
class Story {
  readonly world = new World();
  readonly clock = new FakeClock();
  stage: Stage = new Stage(config, this.world, this.clock);
  moments = 0;
  readonly #killAt: number;

  constructor(killAt: number) {
    this.#killAt = killAt;
  }

  async moment(): Promise<void> {
    this.moments += 1;
    if (this.moments !== this.#killAt) return;
    this.stage.kill();
    await this.clock.advance(1);
    this.stage = new Stage(config, this.world, this.clock);
    this.hear();
    await this.clock.advance(0);
  }

  /** What the servers say now: pg2 runs once it was started. */
  hear(): void {
    this.stage.hear('pg1', this.isLost ? null : pass());
    this.stage.hear('pg2', this.world.done.includes('start') ? pass(cold) : null);
  }

  isLost = false;

  async run(): Promise<void> {
    this.hear();
    await this.clock.advance(0);
    await this.moment();
    this.isLost = true;
    // An operator who is asked knows what was done; the servers speak now and then.
    for (let turn = 0; turn < 40; turn += 1) {
      this.hear();
      await this.clock.advance(100);
      await this.moment();
      this.assertSafe();
      const { run } = this.stage.status;
      if (run?.mark === 'asking') {
        const [, name = ''] = /while (\w+) ran/.exec(run.reason ?? '') ?? [];
        this.stage.runbooks.resume('app', this.world.done.includes(name));
      } else if (this.world.begun.length > this.ended) {
        const step = this.stage.step;
        this.ended = this.world.begun.length;
        await this.moment();
        step.end({});
      }
    }
  }

  ended = 0;

  assertSafe(): void {
    const { primary } = this.stage.view;
    const through = ['fence', 'start', 'load'].every(step => this.world.done.includes(step));
    if (this.isLost && !through) assert.equal(primary, null, 'nobody before the steps are through');
    assert.notEqual(this.isLost && primary === 'pg1', true, 'the lost one is not followed');
  }
}

test('killed at any moment: the run ends with the activated server as the primary, each step that must not be repeated done once', async t => {
  const whole = new Story(Infinity);
  await whole.run();
  assert.equal(whole.stage.view.primary, 'pg2');
  assert.deepEqual(whole.world.done, STEPS);
  t.diagnostic(`${whole.moments} moments`);
  assert.ok(whole.moments > 10);
  for (let killAt = 1; killAt <= whole.moments; killAt += 1) {
    const story = new Story(killAt);
    await story.run();
    assert.equal(story.stage.view.primary, 'pg2', `killed at moment ${killAt}`);
    for (const name of ['fence', 'load']) {
      const times = story.world.done.filter(step => step === name).length;
      assert.equal(times, 1, `${name}, killed at moment ${killAt}: ${story.world.done.join()}`);
    }
    assert.deepEqual([...new Set(story.world.done)], STEPS, `killed at moment ${killAt}`);
    assert.deepEqual(story.stage.status.barred, ['pg1']);
  }
});
