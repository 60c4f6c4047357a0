import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readState, writeState, type SavedBackend, type SavedState } from '../../../src/topology/saved.ts';

const app: SavedBackend = {
  protocol: 'postgres',
  epoch: 7,
  primary: 'pg1',
  since: Date.UTC(2026, 10, 21, 20, 30),
  servers: new Map([
    ['pg1', { address: '10.0.0.1:5432', admin: 'ready' }],
    ['pg2', { address: '[fd00::2]:5432', admin: 'maintenance' }],
  ]),
  memory: { systemId: '7000000000000000001', timeline: 3 },
};
const transactions = { '0-1': '1-500', '0-2': '1-7,9-9' };
const pair: SavedBackend = {
  protocol: 'mysql',
  epoch: 2,
  primary: null,
  since: null,
  servers: new Map([['db1', { address: 'db1.internal:3306', admin: 'drain' }]]),
  memory: {
    primary: 'db1',
    systemId: null,
    samples: [
      { agoMs: 1000.5, flavor: 'mariadb', transactions, own: '1' },
      { agoMs: 0, flavor: 'mariadb', transactions, own: '1', apart: true },
    ],
    unseenForMs: 12,
    owed: { of: 'db2', transactions: { '3e11fa47-71ca-11e1-9e33-c80aa9429562:tag': '4-5' } },
  },
};
const cache: SavedBackend = {
  protocol: 'redis',
  epoch: 0,
  primary: 'redis-1',
  since: 0,
  servers: new Map([['redis-1', { address: '10.0.0.3:6379', admin: 'ready' }]]),
  memory: {
    lineage: { replicationId: 'a'.repeat(40), offset: 14, runId: 'b'.repeat(40), address: '10.0.0.3:6379' },
    replicas: { '10.0.0.4:6379': 'c'.repeat(40) },
  },
};
const web: SavedBackend = {
  ...app,
  protocol: 'http',
  epoch: 0,
  primary: null,
  memory: null,
};
const state: SavedState = new Map([
  ['app', app],
  ['pair', pair],
  ['cache', cache],
  ['web', web],
  ['constructor', web],
]);
const text = writeState(state);

const why = (from: string): string => {
  const read = readState(from);
  return read.ok ? 'it was believed' : read.why;
};

test('saved state: what was written is read again, all of it', () => {
  assert.deepEqual(readState(text), { ok: true, state });
  assert.deepEqual(readState(writeState(new Map())), { ok: true, state: new Map() });
});

test('saved state: cut off at any byte it is not believed', () => {
  const whole = text.trimEnd();
  for (let length = 0; length < whole.length; length += 1) {
    assert.equal(why(whole.slice(0, length)), 'it is not JSON', `cut off after ${length}`);
  }
});

test('saved state: any value of another type, and any key too many or too few, is found', () => {
  const original: unknown = JSON.parse(text);
  let count = 0;
  const damage = (place: Record<string, unknown>, key: string, value: unknown, path: string): void => {
    const before = place[key];
    if (value === undefined) Reflect.deleteProperty(place, key);
    else place[key] = value;
    count += 1;
    assert.notEqual(
      why(JSON.stringify(original)),
      'it was believed',
      `${path}.${key} = ${JSON.stringify(value)}`,
    );
    place[key] = before;
  };
  const mayBeLeftOut = new Set(['admin', 'own', 'apart']);
  const mayHaveMore = new Set(['backends', 'servers', 'transactions', 'replicas']);
  const walk = (value: unknown, path: string, name: string): void => {
    if (typeof value !== 'object' || value === null) return;
    const place = value as Record<string, unknown>;
    if (!Array.isArray(value) && !mayHaveMore.has(name)) damage(place, 'more', 1, path);
    Reflect.deleteProperty(place, 'more');
    for (const [key, inner] of Object.entries(place)) {
      // A set of them may hold fewer, and still be one.
      if (!mayBeLeftOut.has(key) && !mayHaveMore.has(name) && !Array.isArray(value)) {
        const copy = { ...place };
        damage(place, key, undefined, path);
        Object.assign(place, copy);
      }
      // A null may be a text elsewhere.
      damage(place, key, typeof inner === 'string' || inner === null ? 5 : 'wrong', path);
      damage(place, key, [5], path);
      if (typeof inner === 'number')
        for (const bad of [-1.5, 1.5e300, true, {}]) damage(place, key, bad, path);
      walk(inner, `${path}.${key}`, key);
    }
  };
  walk(original, '', '');
  assert.deepEqual(readState(JSON.stringify(original)), { ok: true, state }, 'all damage was undone');
  assert.ok(count > 150, `${count} kinds of damage`);
});

test('saved state: garbage of any kind is refused without a throw', () => {
  for (const garbage of [
    '',
    ' ',
    '\0\0\0\0',
    'null',
    '[]',
    '7',
    '"x"',
    '{}',
    '{"version":1}',
    '[[[[',
    '{"a":',
  ]) {
    assert.match(why(garbage), /not JSON|no state|not valid/, JSON.stringify(garbage));
  }
  assert.equal(why('['.repeat(1_000_000)), 'it is not JSON');
});

test('saved state: another format is named', () => {
  assert.equal(
    why(text.replace('"version": 1', '"version": 2')),
    'it has format 2, and this Pointsman reads format 1',
  );
});

for (const [what, from, to] of [
  ['a primary that is no server', '"primary": "pg1"', '"primary": "pg9"'],
  ['a primary that every object knows', '"primary": "pg1"', '"primary": "constructor"'],
  ['a memory of another protocol', '"protocol": "postgres"', '"protocol": "mysql"'],
  ['transactions out of order', '1-7,9-9', '9-9,1-7'],
  ['transactions that touch', '1-7,9-9', '1-7,8-9'],
  ['transactions from the end to the start', '1-500', '500-1'],
  ['transactions beyond what numbers hold', '1-500', '1-9999999999999999'],
  ['an origin that is none', '"0-1"', '"x-1"'],
  ['samples in the wrong order', '"agoMs": 1000.5', '"agoMs": 0'],
  ['an epoch that is no whole number', '"epoch": 7', '"epoch": 7.5'],
  ['a time that is none', '2026-11-21T20:30:00.000Z', '2026-13-41'],
] as const) {
  test(`saved state: ${what} is not believed`, () => {
    assert.ok(text.includes(from), from);
    assert.notEqual(why(text.replace(from, to)), 'it was believed');
  });
}

test('saved state: an epoch that could not grow any more is not believed', () => {
  const withEpoch = (epoch: number) => readState(writeState(new Map([['app', { ...app, epoch }]])));
  assert.ok(withEpoch(2 ** 52).ok);
  for (const epoch of [2 ** 52 + 1, Number.MAX_SAFE_INTEGER, 2 ** 53, 1e300, -1, 0.5]) {
    assert.deepEqual(withEpoch(epoch), { ok: false, why: 'backends.app.epoch is not valid' }, String(epoch));
  }
});
