import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GALERA_QUESTION, galeraUnsettled } from '../../../../../src/health/probers/mysql/clusters.ts';

const status = (evs: string | null, component = 'Primary'): ReadonlyMap<string, string | null> =>
  new Map([
    ['wsrep_cluster_status', component],
    ...(evs === null ? [] : [['wsrep_evs_state', evs] as const]),
  ]);

describe('a Galera node whose cluster is finding out who is left', () => {
  it('says nothing that could be relied on, in any state in which no commit ends', () => {
    for (const state of ['GATHER', 'INSTALL', 'JOINING']) {
      assert.match(galeraUnsettled(status(state)) ?? '', new RegExp(`\\(${state}\\), no commit ends`));
    }
  });
  it('is settled when messages are delivered, or when it does not tell', () => {
    for (const state of ['OPERATIONAL', '', null]) assert.equal(galeraUnsettled(status(state)), null);
  });
  it('is settled, to its harm, once it is known to be outside', () => {
    assert.equal(galeraUnsettled(status('GATHER', 'non-Primary')), null);
  });
  it('is asked for the state', () => {
    assert.match(GALERA_QUESTION, /'wsrep_evs_state'/);
  });
});
