// Servers that the operator's own SQL tells apart and that replicate from nobody: their transactions aren't each other's.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ProbeResult } from '../../../../src/health/result.ts';
import { initialHealth, observe, type HealthState } from '../../../../src/health/state.ts';
import { type BackendView } from '../../../../src/topology/model.ts';
import { Topology } from '../../../../src/topology/topology.ts';
import { history, master } from '../../../support/mysql-views.ts';
import { fail, FRESHNESS_MS } from '../../../support/views.ts';

/** As the prober tells it of a server whose own SQL says yes. */
const ruled = (server: string, gtids: string, at: number): ProbeResult => {
  const told = history(gtids, server.slice(2));
  return master(server, gtids, { at, history: told.kind === 'gtid' ? { ...told, apart: true } : told });
};
const denied = (server: string, gtids: string, at: number): ProbeResult =>
  master(server, gtids, { at, role: 'replica', writable: false });

/** The backend after db1, the main one, died, and db2 said that it is acting for it. */
function deputyAfter(says: (at: number) => ProbeResult): BackendView {
  let now = 0;
  const never = (): never => assert.fail('an election waits for nothing');
  const clock = { now: () => now, wall: () => now, schedule: never, afterInput: never };
  const health = new Map<string, HealthState>();
  const topology = new Topology(
    [
      {
        name: 'app',
        protocol: 'mysql',
        servers: ['db1', 'db2'].map((name, i) => ({
          name,
          address: { host: '10.0.0.1', port: 5001 + i },
          weight: 100,
        })),
        freshnessMs: FRESHNESS_MS,
        slowStartMs: 0,
        settleMs: 0,
        multipleWriters: 'keep',
        incompleteWriter: 'hold',
      },
    ],
    clock,
  );
  const report = (at: number, server: string, result: ProbeResult): void => {
    now = at;
    const { state } = observe(health.get(server) ?? initialHealth, result, { rise: 1, fall: 1 });
    health.set(server, state);
    topology.report('app', server, state, result);
  };
  for (const at of [0, 1000, 2000]) {
    report(at, 'db1', ruled('db1', '0-1-100', at));
    report(at, 'db2', denied('db2', '0-2-90', at));
  }
  report(2100, 'db1', fail('L4CON', 2100));
  report(2200, 'db2', denied('db2', '0-2-90', 2200));
  assert.equal(topology.view('app').primary, null);
  report(2300, 'db2', says(2300));
  return topology.view('app');
}

describe('mysql evidence: own SQL and no replication', () => {
  it('a deputy with transactions of its own only is followed, and nothing is said to be lost', () => {
    const view = deputyAfter(at => ruled('db2', '0-2-91', at));
    assert.equal(view.primary, 'db2');
    assert.doesNotMatch(view.reasons.join('; '), /lost|lacks/);
  });
  it('one that has transactions in common with the lost one replicated from it, and is measured', () => {
    for (const gtids of ['0-1-40,0-2-91', '0-1-40']) {
      const view = deputyAfter(at => ruled('db2', gtids, at));
      assert.equal(view.primary, null);
      assert.match(view.reasons.join('; '), /db2 is refused: it lacks 60 transactions/);
    }
  });
  it('one that has no transactions at all has lost its data', () => {
    assert.equal(deputyAfter(at => ruled('db2', '', at)).primary, null);
  });
  it('without own SQL, one that shares nothing with the lost one is refused', () => {
    assert.equal(deputyAfter(at => master('db2', '0-2-91', { at })).primary, null);
  });
});
