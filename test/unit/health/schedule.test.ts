import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ProbeResult } from '../../../src/health/result.ts';
import { freshnessBoundMs, nextDelayMs, type Tempo } from '../../../src/health/schedule.ts';
import { type HealthState } from '../../../src/health/state.ts';
import { down, fail, pass, passReplica, passTcp, up } from '../../support/views.ts';

const policy = { intervalMs: 1000, fastIntervalMs: 50, promotionIntervalMs: 10 };
const middle = () => 0.5;

const cases: readonly [string, { health: HealthState; result: ProbeResult | null; tempo: Tempo }, number][] =
  [
    ['a server never asked is asked at once', { health: up, result: null, tempo: 'calm' }, 0],
    [
      'a lost session is followed by a question at once',
      { health: { kind: 'up', fails: 1 }, result: fail('L4LOST'), tempo: 'calm' },
      0,
    ],
    ['all is well: interval', { health: up, result: pass(), tempo: 'calm' }, 1000],
    [
      'a server with a failure below fall: fast',
      { health: { kind: 'up', fails: 1 }, result: fail('L7TOUT'), tempo: 'calm' },
      50,
    ],
    [
      'a wrong password: interval, even without a primary, for the server logs each try',
      { health: up, result: fail('L7AUTH'), tempo: 'vacant' },
      1000,
    ],
    ['a busy server: fast', { health: up, result: fail('L7BUSY'), tempo: 'calm' }, 50],
    ['a dead server of a healthy backend: interval', { health: down(), result: fail(), tempo: 'calm' }, 1000],
    [
      'a dead server that begins to answer: fast',
      { health: { kind: 'down', passes: 1, since: 0, lastError: 'L4CON' }, result: pass(), tempo: 'calm' },
      50,
    ],
    ['doubt in the backend: fast', { health: up, result: passReplica(), tempo: 'doubt' }, 50],
    [
      'no primary, a replica that may be next: promotion',
      { health: up, result: passReplica(), tempo: 'vacant' },
      10,
    ],
    [
      'no primary, one that was promoted and is still read-only: promotion',
      { health: up, result: pass({ writable: false }), tempo: 'vacant' },
      10,
    ],
    ['a plain TCP server that is up: interval', { health: up, result: passTcp(), tempo: 'calm' }, 1000],
    ['no primary, a dead server: fast', { health: down(), result: fail(), tempo: 'vacant' }, 50],
  ];

for (const [name, state, expected] of cases) {
  test(`schedule: ${name}`, () => assert.equal(nextDelayMs(state, policy, middle), expected));
}

test('schedule: calm probes are spread by 10 % either way and no more', () => {
  const state = { health: up, result: pass(), tempo: 'calm' as const };
  assert.equal(
    nextDelayMs(state, policy, () => 0),
    900,
  );
  assert.ok(nextDelayMs(state, policy, () => 0.999999) < 1100);
});

test('schedule: a result of the slowest calm round is still fresh', () => {
  const bound = freshnessBoundMs({ intervalMs: 1000, timeoutMs: 1000 });
  assert.ok(bound > 1100 + 1000 && bound < 3000);
});
