import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  countGtids,
  formatGtids,
  isEmptyGtids,
  mariadbHistory,
  missingGtids,
  parseMariadbGtids,
  parseMysqlGtids,
  uniteGtids,
  type GtidSet,
} from '../../src/protocol/mysql/gtid.ts';

const UUIDS = ['0a', '1b', '2c'].map(end => `3e11fa47-71ca-11e1-9e33-c80aa94295${end}`);

/** Transactions one by one: the plain meaning that the ranges must keep. */
type Model = ReadonlySet<string>;

const mysqlModel = fc
  .uniqueArray(
    fc.tuple(
      fc.constantFrom(...UUIDS),
      fc.constantFrom('', ':tag', ':other_1'),
      fc.integer({ min: 1, max: 40 }),
    ),
    { maxLength: 60, selector: ([uuid, tag, n]) => `${uuid}${tag}/${n}` },
  )
  .map(all => new Set(all.map(([uuid, tag, n]) => `${uuid}${tag}/${n}`)));

function toSet(model: Model): GtidSet {
  const text = [...model]
    .map(gtid => gtid.split('/'))
    .map(([origin = '', n = '']) => `${origin}:${n}`)
    .join(',\n');
  const set = parseMysqlGtids(text);
  assert.ok(set !== null, text);
  return set;
}

function toModel(set: GtidSet): Model {
  const all = new Set<string>();
  for (const [origin, ranges] of Object.entries(set)) {
    for (const [first, last] of ranges) for (let n = first; n <= last; n += 1) all.add(`${origin}/${n}`);
  }
  return all;
}

const sorted = (model: Model): string[] => [...model].sort();

test('MySQL sets: ranges mean the transactions they were read from, in ascending order and apart', () => {
  fc.assert(
    fc.property(mysqlModel, model => {
      const set = toSet(model);
      assert.deepEqual(sorted(toModel(set)), sorted(model));
      assert.equal(countGtids(set), model.size);
      assert.equal(isEmptyGtids(set), model.size === 0);
      for (const ranges of Object.values(set)) {
        ranges.slice(1).forEach(([first], i) => assert.ok(first > (ranges[i]?.[1] ?? 0) + 1, 'they touch'));
      }
    }),
  );
});

test('MySQL sets: union, and what one lacks of the other, are those of sets', () => {
  fc.assert(
    fc.property(mysqlModel, mysqlModel, (a, b) => {
      assert.deepEqual(sorted(toModel(uniteGtids(toSet(a), toSet(b)))), sorted(new Set([...a, ...b])));
      const lacking = new Set([...b].filter(gtid => !a.has(gtid)));
      assert.deepEqual(sorted(toModel(missingGtids(toSet(a), toSet(b)))), sorted(lacking));
    }),
    { numRuns: 500 },
  );
});

test('MySQL sets: what is written is read again as the same', () => {
  fc.assert(
    fc.property(mysqlModel, model => {
      const set = toSet(model);
      assert.deepEqual(parseMysqlGtids(formatGtids(set, 'mysql')), set);
    }),
  );
});

test('GTID texts: any text is a set or null, at once, and bounded', () => {
  const piece = fc.oneof(
    fc.constantFrom(...UUIDS, ':', '-', ',', '1-5', 'tag', '0-1-7', '99999999999999999999', '\n', ' ', '*'),
    fc.string({ maxLength: 5 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), pieces => {
      for (const parse of [parseMysqlGtids, parseMariadbGtids]) {
        const set = parse(pieces.join(''));
        if (set !== null) assert.ok(Number.isSafeInteger(countGtids(set)));
      }
    }),
    { numRuns: 2000 },
  );
});

/** Logs of servers that write into one domain each in their turn: what strict order allows. */
const mariadbLog = fc.array(fc.constantFrom('0-1', '0-2', '0-3', '7-1'), { maxLength: 40 }).map(origins => {
  const next = new Map<string, number>();
  return origins.map(origin => {
    const domain = origin.split('-')[0] ?? '';
    const sequence = (next.get(domain) ?? 0) + 1;
    next.set(domain, sequence);
    return `${origin}-${sequence}`;
  });
});

function stateOf(log: readonly string[]): GtidSet {
  const set = parseMariadbGtids(log.join(','));
  assert.ok(set !== null);
  return set;
}

test('MariaDB: a server that stopped part of the way lacks something exactly if the log went on', () => {
  fc.assert(
    fc.property(mariadbLog, fc.nat(40), (log, at) => {
      const behind = stateOf(log.slice(0, at));
      const all = stateOf(log);
      const rest = log.slice(at);
      const missing = missingGtids(behind, all);
      assert.equal(isEmptyGtids(missing), rest.length === 0);
      assert.ok(isEmptyGtids(missingGtids(all, behind)));
      // Each origin that is missing is one that wrote in the rest.
      for (const origin of Object.keys(missing)) assert.ok(rest.some(gtid => gtid.startsWith(`${origin}-`)));
      assert.ok(isEmptyGtids(missingGtids(uniteGtids(behind, missing), all)));
    }),
    { numRuns: 500 },
  );
});

test('MariaDB: with one writer at a time, the count of what is missing is exact', () => {
  fc.assert(
    fc.property(fc.nat(50), fc.nat(50), fc.nat(50), (first, second, behindBy) => {
      const log = [
        ...Array.from({ length: first }, (_, i) => `0-1-${i + 1}`),
        ...Array.from({ length: second }, (_, i) => `0-2-${first + i + 1}`),
      ];
      const lost = Math.min(behindBy, second, log.length);
      const missing = missingGtids(stateOf(log.slice(0, log.length - lost)), stateOf(log));
      assert.equal(countGtids(missing), lost);
    }),
  );
});

test('MariaDB: two that both wrote after they parted each lack what the other has', () => {
  fc.assert(
    fc.property(
      fc.nat(20),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 9 }),
      (shared, own, others) => {
        const common = Array.from({ length: shared }, (_, i) => `0-1-${i + 1}`);
        const a = stateOf([...common, ...Array.from({ length: own }, (_, i) => `0-1-${shared + i + 1}`)]);
        const b = stateOf([...common, ...Array.from({ length: others }, (_, i) => `0-2-${shared + i + 1}`)]);
        assert.deepEqual(missingGtids(a, b), { '0-2': [[shared + 1, shared + others]] });
        assert.deepEqual(missingGtids(b, a), { '0-1': [[shared + 1, shared + own]] });
      },
    ),
  );
});

test('MariaDB: a copy that knows only its position has all of its domain up to there, and nothing beyond', () => {
  fc.assert(
    fc.property(mariadbLog, fc.nat(40), (log, at) => {
      const position = log.slice(0, at).findLast(gtid => gtid.startsWith('0-')) ?? '';
      const copy = mariadbHistory({}, stateOf(position === '' ? [] : [position]));
      const source = stateOf(log.filter(gtid => gtid.startsWith('0-')));
      const went = log.slice(at).some(gtid => gtid.startsWith('0-'));
      assert.equal(isEmptyGtids(missingGtids(copy, source)), !went);
    }),
    { numRuns: 500 },
  );
});
