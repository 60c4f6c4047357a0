// What processes that share a rate say to Redis, and what they make of the answer. The script itself runs on a real Redis in
// scenario/limits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandOf, hear, takingsOf } from '../../../src/app/rate-limits/shared-buckets.ts';
import { type RateLimitConfig } from '../../../src/config/schema.ts';
import { type Reply } from '../../../src/protocol/redis/reply.ts';
import { addressKey } from '../../../src/proxy/limits/address-key.ts';
import { AddressTable, allocateTable } from '../../../src/proxy/limits/address-table.ts';
import { rateOf } from '../../../src/proxy/limits/gcra.ts';

const rate = { perSecond: 10, burst: 3 };
const limit: RateLimitConfig = { perIp: rate, total: null, shared: true };
const limits = { perIp: rateOf(rate), total: null, maxConnections: null };
const client = addressKey('10.0.0.7');
const list = (...texts: readonly string[]): Reply => ({
  kind: 'list',
  items: texts.map(text => ({ kind: 'text', text })),
});

function taken(): { table: AddressTable; tables: Map<string, AddressTable> } {
  const memory = allocateTable(1, 1, 0);
  const table = new AddressTable(memory, 0);
  for (const now of [1000, 1001]) assert.equal(table.enter(client, now, limits), 'in');
  return { table, tables: new Map([['app', new AddressTable(memory, 1)]]) };
}

test('shared rates: what was let in is told with its age, under a key that others use too', () => {
  const { tables } = taken();
  const takings = takingsOf(new Map([['app', limit]]), tables, 10);
  const command = commandOf(takings, 'pointsman', 1051);
  assert.deepEqual(command.slice(2), ['1', '{pointsman}:rate:app:10.0.0.7', '100000', '2', '51000']);
  assert.deepEqual(takingsOf(new Map([['app', limit]]), tables, 10), []);
});

test('shared rates: of a frontend that doesn’t share nothing is told', () => {
  const { tables } = taken();
  assert.deepEqual(takingsOf(new Map([['app', { ...limit, shared: false }]]), tables, 10), []);
});

test('shared rates: what others let in counts from the answer on', () => {
  const { table, tables } = taken();
  const takings = takingsOf(new Map([['app', limit]]), tables, 10);
  assert.ok(hear(takings, list('900000'), 1051));
  assert.equal(table.enter(client, 1600, limits), 'rate-limit');
  assert.equal(table.enter(client, 1800, limits), 'in');
});

test('shared rates: an answer of another form changes nothing', () => {
  const { table, tables } = taken();
  const takings = takingsOf(new Map([['app', limit]]), tables, 10);
  const answers: readonly (Reply | undefined)[] = [
    undefined,
    list(),
    list('1', '2'),
    list('much'),
    { kind: 'error', text: 'ERR' },
  ];
  for (const answer of answers) assert.equal(hear(takings, answer, 1051), false);
  assert.equal(table.enter(client, 1051, limits), 'in');
});
