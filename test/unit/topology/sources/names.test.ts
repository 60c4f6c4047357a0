import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialHealth, type HealthState } from '../../../../src/health/state.ts';
import { placeServers, type KnownName, type Standing } from '../../../../src/topology/sources/names.ts';
import { down, up } from '../../../support/views.ts';

interface Given {
  /** As it is written. */
  readonly host?: string;
  /** Where it is; left out: nowhere. */
  readonly at?: string;
  readonly health?: HealthState;
  readonly tried?: readonly string[];
}

function standing({ host = 'a.internal', at, health = initialHealth, tried = [] }: Given): Standing {
  const port = 5432;
  return {
    written: { name: 's', address: { host, port }, weight: 100 },
    view: { address: { host: at ?? host, port }, host, health },
    tried: new Set(tried),
  };
}

const heard = (...hosts: string[]): KnownName => ({ hosts, gone: false });
const gone = (...hosts: string[]): KnownName => ({ hosts, gone: true });

/** The hosts that servers of one backend are at, each with a name of its own unless it is given. */
function placesOf(names: Readonly<Record<string, KnownName>>, ...servers: readonly Given[]): string {
  const placed = placeServers(servers.map(standing), host => names[host] ?? null);
  return placed.map(({ address }) => address.host).join(' ');
}

const cases: readonly (readonly [title: string, server: Given, known: KnownName, place: string])[] = [
  ['has no address before DNS was heard', {}, heard(), 'a.internal'],
  ['takes the first address of the answer', {}, heard('10.0.0.1', '10.0.0.2'), '10.0.0.1'],
  ['stays where it is while that is listed', { at: '10.0.0.2' }, heard('10.0.0.1', '10.0.0.2'), '10.0.0.2'],
  [
    'stays though it is new to us and was not heard yet',
    { at: '10.0.0.2' },
    heard('10.0.0.1', '10.0.0.2'),
    '10.0.0.2',
  ],
  ['moves with its name, well or not', { at: '10.0.0.2', health: up }, heard('10.0.0.1'), '10.0.0.1'],
  [
    'that is down tries the next address',
    { at: '10.0.0.1', health: down(), tried: ['10.0.0.1'] },
    heard('10.0.0.1', '10.0.0.2'),
    '10.0.0.2',
  ],
  [
    'that is down at all of them rests where it is',
    { at: '10.0.0.2', health: down(), tried: ['10.0.0.1', '10.0.0.2'] },
    heard('10.0.0.1', '10.0.0.2'),
    '10.0.0.2',
  ],
  [
    'stays where it answers though its name is gone',
    { at: '10.0.0.1', health: up },
    gone('10.0.0.1'),
    '10.0.0.1',
  ],
  [
    'stays where it was not asked yet though its name is gone',
    { at: '10.0.0.1' },
    gone('10.0.0.1'),
    '10.0.0.1',
  ],
  [
    'that is down has no address once its name is gone',
    { at: '10.0.0.1', health: down() },
    gone('10.0.0.1'),
    'a.internal',
  ],
  ['gets no address of a name that is gone', {}, gone('10.0.0.1'), 'a.internal'],
];

for (const [title, server, known, place] of cases) {
  test(`names: a server ${title}`, () => assert.equal(placesOf({ 'a.internal': known }, server), place));
}

test('names: a server that is written with an address is there', () => {
  assert.equal(placesOf({}, { host: '10.0.0.1', at: '10.0.0.1', health: down() }), '10.0.0.1');
});

test('names: no two servers are at one address, and who is there stays', () => {
  const names = { 'a.internal': heard('10.0.0.1'), 'b.internal': heard('10.0.0.1', '10.0.0.2') };
  const a = { host: 'a.internal' };
  const b = { host: 'b.internal', at: '10.0.0.1' };
  assert.equal(placesOf(names, a, { host: 'b.internal' }), '10.0.0.1 10.0.0.2');
  assert.equal(placesOf(names, a, b), 'a.internal 10.0.0.1');
  assert.equal(placesOf(names, a, { host: '10.0.0.1', at: '10.0.0.1' }), 'a.internal 10.0.0.1');
});

test('names: two names that change places do', () => {
  const names = { 'a.internal': heard('10.0.0.2'), 'b.internal': heard('10.0.0.1') };
  const a = { host: 'a.internal', at: '10.0.0.1', health: up };
  const b = { host: 'b.internal', at: '10.0.0.2', health: up };
  assert.equal(placesOf(names, a, b), '10.0.0.2 10.0.0.1');
});

test('names: what was written is told with the address', () => {
  const [placed] = placeServers([standing({})], () => heard('10.0.0.1'));
  assert.deepEqual(placed, {
    name: 's',
    host: 'a.internal',
    address: { host: '10.0.0.1', port: 5432 },
    weight: 100,
  });
});
