// Whether a run may begin by itself: how long the loss must last, who may contradict, and how often.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RunbookConfig } from '../../../src/config/schema.ts';
import { leaveFor, lossOf, type SecondOpinion } from '../../../src/runbook/guard.ts';
import { nothingKept, type Kept } from '../../../src/runbook/model.ts';
import { type BackendView, type Opinion } from '../../../src/topology/model.ts';
import { configOf } from '../../support/runbook-stage.ts';
import { backend, fail, passReplica, server } from '../../support/views.ts';

const DAY_MS = 86_400_000;
const steps = { start: { exec: ['start'] } };
const onLost = { activate: 'pg2', steps: ['start'] };

function runbook(more: object = {}): RunbookConfig {
  const config = configOf({ steps, on_primary_lost: onLost, lost_for: '5s', ...more }).runbooks['app'];
  assert.ok(config !== undefined);
  return config;
}

const lost = server('pg1', fail());
const standby = server('pg2', fail());
const viewOf = (given: Partial<BackendView> = {}): BackendView =>
  backend([lost, standby], { epoch: 4, ...given });

function look(given: {
  view?: BackendView;
  config?: RunbookConfig;
  kept?: Partial<Kept>;
  others?: readonly SecondOpinion[];
  at?: number;
  wall?: number;
}): string {
  const view = given.view ?? viewOf();
  const loss = lossOf(view, 'pg1');
  if (loss === null) return 'not lost';
  const now = { at: given.at ?? 6000, wall: given.wall ?? 10 * DAY_MS };
  const kept = { ...nothingKept, ...given.kept };
  const leave = leaveFor(loss, view, given.config ?? runbook(), kept, given.others ?? [], now);
  return leave.kind === 'go' ? 'go' : leave.why;
}

test('guard: the loss must have lasted', () => {
  assert.equal(look({ at: 5000 }), 'go');
  assert.equal(look({ at: 4999 }), 'pg1 must be down for 5 s (lost_for)');
});

test('guard: a primary that is merely in doubt, or was taken out, is not lost', () => {
  assert.equal(look({ view: viewOf({ primary: 'pg1' }) }), 'not lost');
  const takenOut = { ...lost, admin: 'maintenance' as const };
  assert.equal(look({ view: backend([takenOut, standby]) }), 'not lost');
});

test('guard: a replica that still receives from it, in a fresh answer, contradicts; one that receives from another does not', () => {
  const hears = (upstream: string, at = 6000) =>
    backend([lost, standby, server('pg3', passReplica({ upstream, replicating: true }, at))]);
  assert.equal(look({ view: hears('10.0.0.1:5001') }), 'not confirmed: pg3 still receives from pg1');
  assert.equal(look({ view: hears('10.0.0.1:5002') }), 'go');
  assert.equal(look({ view: hears('10.0.0.1:5001', 0) }), 'go', 'an old answer');
  assert.equal(
    look({ view: hears('10.0.0.1:5001'), config: runbook({ confirm: { replicas: false } }) }),
    'go',
  );
});

test('guard: an orchestrator that names it contradicts, unless it is passive', () => {
  const opinion: Opinion = {
    words: 'Patroni names pg1',
    primary: { address: { host: '10.0.0.1', port: 5001 }, name: 'pg1' },
    against: [],
    process: null,
    passive: false,
    at: 0,
  };
  assert.equal(look({ view: viewOf({ opinion }) }), 'not confirmed: Patroni names pg1');
  assert.equal(look({ view: viewOf({ opinion: { ...opinion, passive: true } }) }), 'go');
});

test('guard: of others who are asked one must confirm, and none may contradict', () => {
  const said = (kind: 'lost' | 'alive' | 'unknown'): SecondOpinion => ({ kind, words: `somebody: ${kind}` });
  assert.equal(look({ others: [said('lost'), said('unknown')] }), 'go');
  assert.equal(look({ others: [said('lost'), said('alive')] }), 'somebody: alive');
  assert.match(
    look({ others: [said('unknown')] }),
    /nobody else confirms that pg1 is lost: somebody: unknown/,
  );
});

test('guard: runs keep their distance, and there are so many a day', () => {
  const wall = 10 * DAY_MS;
  const config = runbook({ min_interval: '10m', max_per_day: 2 });
  assert.match(
    look({ config, kept: { starts: [wall - 599_000] } }),
    /the last run began 10 min ago \(min_interval\)/,
  );
  assert.equal(look({ config, kept: { starts: [wall - 600_000] } }), 'go');
  assert.match(look({ config, kept: { starts: [wall - DAY_MS + 1, wall - 900_000] } }), /2 runs in 24 hours/);
  assert.equal(look({ config, kept: { starts: [wall - DAY_MS, wall - 900_000] } }), 'go');
});

test('guard: after an abort nothing begins by itself for the same loss', () => {
  const last = {
    id: 1,
    book: 'on_primary_lost' as const,
    epoch: 4,
    from: 'pg1',
    to: 'pg2',
    outcome: 'aborted' as const,
    reason: null,
    startedAt: 0,
    endedAt: 0,
  };
  assert.match(look({ kept: { last } }), /aborted: pointsman runbook start begins another/);
  assert.equal(look({ kept: { last: { ...last, epoch: 2 } } }), 'go', 'there has been a primary since');
});
