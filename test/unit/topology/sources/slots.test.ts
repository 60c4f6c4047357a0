import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Address, formatAddress } from '../../../../src/core/address.ts';
import { assignSlots, slotNames } from '../../../../src/topology/sources/slots.ts';

const at = (port: number): Address => ({ host: '10.0.0.1', port });

test('slots: an address keeps its slot, newcomers take the free ones, and what is too much is told', () => {
  const names = slotNames('redis', 3);
  const show = (taken: ReadonlyMap<string, Address>): string =>
    [...taken].map(([name, address]) => `${name} ${formatAddress(address)}`).join(', ');
  const first = assignSlots(new Map(), [at(1), at(2), at(3)], names);
  assert.equal(show(first.taken), 'redis-1 10.0.0.1:1, redis-2 10.0.0.1:2, redis-3 10.0.0.1:3');
  const second = assignSlots(first.taken, [at(3), at(1)], names);
  assert.equal(show(second.taken), 'redis-1 10.0.0.1:1, redis-3 10.0.0.1:3');
  const third = assignSlots(second.taken, [at(5), at(4), at(3), at(1)], names);
  assert.equal(show(third.taken), 'redis-1 10.0.0.1:1, redis-2 10.0.0.1:5, redis-3 10.0.0.1:3');
  assert.deepEqual(third.left, [at(4)]);
});
