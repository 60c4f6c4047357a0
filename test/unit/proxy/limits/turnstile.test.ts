import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Breakers } from '../../../../src/proxy/limits/breakers.ts';
import { Surge } from '../../../../src/proxy/limits/surge.ts';
import { Turnstile } from '../../../../src/proxy/limits/turnstile.ts';
import { createTallies } from '../../../../src/proxy/tallies.ts';
import { type ServerView } from '../../../../src/topology/model.ts';
import { backend, pass, passReplica, server } from '../../../support/views.ts';

const limited = (name: string, maxConnections: number | null): ServerView => ({
  ...server(name, name === 'pg1' ? pass() : passReplica()),
  maxConnections,
});

function stage(servers: readonly ServerView[], given: { surge?: Surge; workers?: number } = {}) {
  const tallies = createTallies();
  const turnstile = (frontend: string): Turnstile =>
    new Turnstile({
      frontend,
      policy: { route: 'any', limits: [], synchronousOnly: false },
      tallies,
      breakers: new Breakers(tallies),
      surge: given.surge ?? null,
      workers: given.workers ?? 1,
    });
  const view = backend(servers, { primary: 'pg1' });
  const load = (name: string, sessions: number): void => {
    tallies.server('rw', 'app', name).sessions = sessions;
  };
  return { turnstile, view, load, candidates: { kind: 'candidates' as const, servers } };
}

test('turnstile: without limits a decision passes as it is', () => {
  const { turnstile, view, candidates } = stage([limited('pg1', null)]);
  assert.equal(turnstile('rw').withRoom(candidates, view, 0), candidates);
  assert.deepEqual(turnstile('rw').allowance(view, 0), { most: Infinity, burst: null });
});

test('turnstile: full servers are left out, and when all are it is a wait for room', () => {
  const servers = [limited('pg1', 2), limited('pg2', 3)];
  const { turnstile, view, load, candidates } = stage(servers);
  const gate = turnstile('rw');
  load('pg1', 2);
  assert.deepEqual(gate.withRoom(candidates, view, 0), { kind: 'candidates', servers: [servers[1]] });
  assert.equal(gate.allowance(view, 0).most, 3);
  load('pg2', 3);
  assert.deepEqual(gate.withRoom(candidates, view, 0), { kind: 'hold', crowded: true });
  assert.equal(gate.nextAt(view, 0), null, 'the end of a session helps, not the time');
  assert.equal(gate.isCrowded, true);
  gate.rests();
  assert.equal(gate.isCrowded, false);
});

test('turnstile: other workers end sessions unheard, so with several the question is asked again', () => {
  const { turnstile, view, load } = stage([limited('pg1', 1)], { workers: 2 });
  load('pg1', 1);
  const next = turnstile('rw').nextAt(view, 1000);
  assert.ok(next !== null && next > 1000 && next < 2000, String(next));
});

test('turnstile: the next place is whose who has waited clearly longer, at whichever frontend', () => {
  const { turnstile, view, load } = stage([limited('pg1', 1)]);
  const [early, late] = [turnstile('rw'), turnstile('ro')];
  load('pg1', 1);
  early.nextAt(view, 1000);
  late.nextAt(view, 2000);
  load('pg1', 0);
  assert.equal(late.allowance(view, 2001).most, 0);
  assert.equal(early.allowance(view, 2001).most, 1);
  early.rests();
  assert.equal(late.allowance(view, 2002).most, 1);
});

test('turnstile: the pace after a failover holds who would have room', () => {
  const surge = new Surge(1);
  const { turnstile, view } = stage([limited('pg1', null)], { surge });
  const gate = turnstile('rw');
  assert.equal(gate.paces(0), false);
  surge.begin({ perSecond: 1, burst: 2, forMs: 10_000 }, 0);
  assert.equal(gate.paces(1), true);
  assert.deepEqual(gate.allowance(view, 1), { most: 2, burst: 2 });
  gate.went(2, 1);
  assert.equal(gate.allowance(view, 1).most, 0);
  const next = gate.nextAt(view, 1);
  assert.ok(next !== null && next > 1 && next <= 1002, String(next));
  assert.equal(gate.paces(10_000), false);
});
