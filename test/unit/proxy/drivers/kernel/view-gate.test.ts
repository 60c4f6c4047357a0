// Cases of the gate that read as a story; any order of events is test/property/view-gate.test.ts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViewGate } from '../../../../../src/proxy/drivers/kernel/view-gate.ts';
import { nobodyLeads, pg1Leads, pg2Leads } from '../../../../support/tcp-session-script.ts';

test('view gate: a lone worker is told the new primary at once', () => {
  const gate = new ViewGate([pg1Leads]);
  assert.deepEqual(gate.join(0), [{ version: 0, view: pg1Leads }]);
  assert.equal(gate.publish(pg2Leads).view, pg2Leads);
});

test('view gate: of several each closes first, and the last to say so brings the new primary', () => {
  const gate = new ViewGate([pg1Leads]);
  for (const worker of [0, 1]) gate.join(worker);
  const closing = gate.publish(pg2Leads);
  assert.deepEqual(closing, { version: 1, view: { ...pg2Leads, primary: null } });
  assert.equal(gate.applied(0, 1), null);
  assert.deepEqual(gate.applied(1, 1), { version: 2, view: pg2Leads });
  assert.equal(gate.applied(1, 2), null);
});

test('view gate: one that dies need not answer, for its sessions are closed', () => {
  const gate = new ViewGate([pg1Leads]);
  for (const worker of [0, 1]) gate.join(worker);
  gate.publish(nobodyLeads);
  gate.publish(pg2Leads);
  gate.applied(0, 1);
  assert.deepEqual(gate.lost(1), [{ version: 3, view: pg2Leads }]);
});

test('view gate: one that is born while a lone one still closes learns the new primary only after', () => {
  const gate = new ViewGate([pg1Leads]);
  gate.join(0);
  gate.publish(pg2Leads);
  assert.equal(gate.join(1)[0]?.view.primary, null);
  assert.equal(gate.applied(0, 1)?.view.primary, 'pg2');
});

test('view gate: a backend it does not know is an error', () => {
  assert.throws(() => new ViewGate([pg1Leads]).publish({ ...pg1Leads, name: 'web' }), RangeError);
});
