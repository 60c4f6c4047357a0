// The pickers by example; what holds for all of them is in test/property/proxy-balance.test.ts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pickers, type PickContext } from '../../../../src/proxy/balance/pickers.ts';
import { passReplica, server } from '../../../support/views.ts';

const servers = ['pg1', 'pg2', 'pg3'].map(name => server(name, passReplica()));
const context: PickContext = {
  turn: 0,
  load: () => 0,
  draws: [0, 0],
  client: '10.0.0.9',
  now: 0,
  slowStartMs: 0,
};
const names = (balance: keyof typeof pickers, given: Partial<PickContext> = {}): string[] =>
  pickers[balance](servers, { ...context, ...given }).map(({ name }) => name);

test('picker first: file order', () => {
  assert.deepEqual(names('first', { turn: 5 }), ['pg1', 'pg2', 'pg3']);
});

test('picker roundrobin: each turn starts one further', () => {
  assert.deepEqual(
    [0, 1, 2, 3].map(turn => names('roundrobin', { turn }).join()),
    ['pg1,pg2,pg3', 'pg2,pg3,pg1', 'pg3,pg1,pg2', 'pg1,pg2,pg3'],
  );
});

test('picker leastconn: fewest first, equals take turns', () => {
  const loads: Record<string, number> = { pg1: 5, pg2: 1, pg3: 1 };
  const load = (name: string): number => loads[name] ?? 0;
  assert.deepEqual(names('leastconn', { load }), ['pg2', 'pg3', 'pg1']);
  assert.deepEqual(names('leastconn', { load, turn: 2 }), ['pg3', 'pg2', 'pg1']);
});

test('picker random: the less loaded of the two drawn', () => {
  const load = (name: string): number => (name === 'pg1' ? 9 : 0);
  assert.equal(names('random', { draws: [0, 0.99], load })[0], 'pg3');
  assert.equal(names('random', { draws: [0, 0], load })[0], 'pg2');
  assert.equal(names('random', { draws: [0, 0] })[0], 'pg1');
});

test('picker source: a client keeps its server, and only clients of a lost server move', () => {
  const clients = Array.from({ length: 200 }, (_, i) => `10.0.${i % 7}.${i}`);
  const first = (client: string, among = servers): string | undefined =>
    pickers.source(among, { ...context, client })[0]?.name;
  const before = clients.map(client => first(client));
  const counts = ['pg1', 'pg2', 'pg3'].map(name => before.filter(picked => picked === name).length);
  assert.ok(Math.min(...counts) > 40, `uneven: ${counts.join()}`);
  const left = servers.filter(({ name }) => name !== 'pg2');
  clients.forEach((client, index) => {
    const after = first(client, left);
    if (before[index] === 'pg2') assert.notEqual(after, 'pg2');
    else assert.equal(after, before[index]);
  });
});
