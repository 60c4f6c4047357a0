import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  countGtids,
  formatGtids,
  isEmptyGtids,
  mariadbHistory,
  missingGtids,
  parseMariadbGtids,
  parseMysqlGtids,
  uniteGtids,
} from '../../../../src/protocol/mysql/gtid.ts';

const A = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const B = '4f22fa47-71ca-11e1-9e33-c80aa9429562';

describe('GTIDs of MySQL', () => {
  it('are read with several ranges, line breaks, capitals and single numbers', () => {
    assert.deepEqual(parseMysqlGtids(`${A.toUpperCase()}:1-5:7:9-11,\n${B}:1`), {
      [A]: [
        [1, 5],
        [7, 7],
        [9, 11],
      ],
      [B]: [[1, 1]],
    });
    assert.deepEqual(parseMysqlGtids(''), {});
  });
  it('may have tags, each with ranges of its own (8.3)', () => {
    assert.deepEqual(parseMysqlGtids(`${A}:1-3:blue:1-5:8:red:2`), {
      [A]: [[1, 3]],
      [`${A}:blue`]: [
        [1, 5],
        [8, 8],
      ],
      [`${A}:red`]: [[2, 2]],
    });
  });
  for (const text of [
    'x',
    A,
    `${A}:`,
    `${A}:0`,
    `${A}:5-4`,
    `${A}:1--2`,
    `${A}:99999999999999999`,
    `${A}:9007199254740993`,
    '0-1-5',
    `${A}:1-2:${'t'.repeat(33)}:1`,
  ]) {
    it(`are not told by ${JSON.stringify(text.slice(-40))}`, () => assert.equal(parseMysqlGtids(text), null));
  }
  it('are not told by more than 20,000 ranges, nor by a text of megabytes', () => {
    const ranges = Array.from({ length: 20_001 }, (_, i) => 2 * i + 1).join(':');
    assert.equal(parseMysqlGtids(`${A}:${ranges}`), null);
    assert.equal(parseMysqlGtids(' '.repeat(2_000_000)), null);
    assert.equal(parseMariadbGtids(' '.repeat(2_000_000)), null);
  });
  it('are subtracted within ranges', () => {
    const missing = missingGtids({ [A]: [[3, 4]] }, { [A]: [[1, 9]] });
    assert.deepEqual(missing[A], [
      [1, 2],
      [5, 9],
    ]);
    assert.equal(countGtids(missing), 7);
    assert.equal(formatGtids(missing, 'mysql'), `${A}:1-2:5-9`);
  });
  it('are united where they touch', () => {
    assert.deepEqual(uniteGtids({ [A]: [[1, 4]] }, { [A]: [[5, 9]] }), { [A]: [[1, 9]] });
  });
});

describe('GTIDs of MariaDB', () => {
  it('stand for all of their server up to them', () => {
    assert.deepEqual(parseMariadbGtids('0-1-100, 0-2-3,7-1-5'), {
      '0-1': [[1, 100]],
      '0-2': [[1, 3]],
      '7-1': [[1, 5]],
    });
    assert.deepEqual(parseMariadbGtids(''), {});
    assert.deepEqual(parseMariadbGtids('0-1-0'), {});
  });
  for (const text of ['0-1', '0-1-x', `${A}:1`, '0-1-99999999999999999', '-1-2-3']) {
    it(`are not told by ${text}`, () => assert.equal(parseMariadbGtids(text), null));
  }
  it('are written as the server does, and a part in a form of its own', () => {
    assert.equal(formatGtids({ '10-1': [[1, 7]], '2-1': [[1, 5]] }, 'mariadb'), '2-1-5,10-1-7');
    assert.equal(formatGtids({ '0-1': [[5, 9]], '0-2': [[4, 4]] }, 'mariadb'), '0-1-5..9,0-2-4');
  });
  it('of a writer that took over begin after the last of the one before', () => {
    const before = parseMariadbGtids('0-1-5') ?? {};
    const after = parseMariadbGtids('0-1-5,0-2-7') ?? {};
    assert.deepEqual(missingGtids(before, after), { '0-2': [[6, 7]] });
  });
  it('of an older number are missing still, when the order of the domain was not kept', () => {
    // Both wrote number 6; then the second fetched the first one's 6 and 7.
    const first = parseMariadbGtids('0-1-7') ?? {};
    const second = parseMariadbGtids('0-1-7,0-2-6') ?? {};
    const missing = missingGtids(first, second);
    assert.ok(!isEmptyGtids(missing));
    assert.deepEqual(Object.keys(missing), ['0-2']);
  });
  it('of a restored copy hold for the whole domain', () => {
    const copy = mariadbHistory({}, { '0-2': [[1, 9]] });
    assert.ok(isEmptyGtids(missingGtids(copy, { '0-1': [[1, 5]], '0-2': [[1, 9]] })));
    assert.deepEqual(missingGtids(copy, { '0-1': [[1, 12]] }), { '0-1': [[10, 12]] });
  });
  it('that a copy has beyond a server are named once', () => {
    const copy = mariadbHistory({}, { '0-2': [[1, 9]] });
    assert.deepEqual(missingGtids({ '0-2': [[1, 7]] }, copy), { '0-2': [[8, 9]] });
  });
});
