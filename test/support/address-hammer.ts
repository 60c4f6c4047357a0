// A thread that tries to get one address in as often as it can, for the test of the table of addresses.

import { parentPort, workerData } from 'node:worker_threads';
import { addressKey } from '../../src/proxy/limits/address-key.ts';
import { AddressTable, type AddressTableMemory } from '../../src/proxy/limits/address-table.ts';
import { rateOf } from '../../src/proxy/limits/gcra.ts';

const { memory, worker, tries } = workerData as {
  readonly memory: AddressTableMemory;
  readonly worker: number;
  readonly tries: number;
};
const table = new AddressTable(memory, worker);
const limits = { total: null, perIp: null, maxConnections: null };
const byRate = { ...limits, perIp: rateOf({ perSecond: 0.001, burst: 1000 }) };
const byCount = { ...limits, maxConnections: 700 };
const counts = { byRate: 0, byCount: 0 };
for (let at = 0; at < tries; at += 1) {
  if (table.enter(addressKey('192.0.2.1'), 1, byRate) === 'in') counts.byRate += 1;
  if (table.enter(addressKey('192.0.2.2'), 1, byCount) === 'in') counts.byCount += 1;
}
parentPort?.postMessage(counts);
