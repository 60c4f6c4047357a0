import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type History } from '../../../../src/health/result.ts';
import { parseMariadbGtids, parseMysqlGtids } from '../../../../src/protocol/mysql/gtid.ts';
import { lossOf, lossOnReturn } from '../../../../src/topology/loss.ts';
import { type LossCase } from '../../../../src/topology/loss/shapes.ts';
import { lossCase, word } from './kit.ts';

type GtidHistory = Extract<History, { kind: 'gtid' }>;

const mariadb = (gtids: string, own: string, given: Partial<GtidHistory> = {}) => ({
  systemId: null,
  history: {
    kind: 'gtid' as const,
    flavor: 'mariadb' as const,
    transactions: parseMariadbGtids(gtids) ?? assert.fail(gtids),
    own,
    ...given,
  },
});
const uuid = '11111111-1111-1111-1111-111111111111';
const mysql = (gtids: string, own: string) => ({
  ...mariadb('', own, { flavor: 'mysql', transactions: parseMysqlGtids(gtids) ?? assert.fail(gtids) }),
});
const failover = (given: Partial<LossCase> = {}): LossCase =>
  lossCase({
    protocol: 'mysql',
    former: word('db1', mariadb('0-1-10', '1')),
    present: word('db2', mariadb('0-1-7,0-2-8', '2')),
    ...given,
  });

const scenarios: readonly {
  readonly name: string;
  readonly of: LossCase;
  readonly kind: string;
  readonly count?: number;
  readonly words: RegExp;
}[] = [
  {
    name: 'a follower that stopped lacks what came after',
    of: failover({ present: word('db2', mariadb('0-1-7', '2')) }),
    kind: 'transactions',
    count: 3,
    words: /^db2 lacks 3 transactions \(0-1-8\.\.10\) that db1 was seen to have; what db1 wrote after/,
  },
  {
    name: 'its own writes since are no loss',
    of: failover(),
    kind: 'transactions',
    count: 3,
    words: /^db2 lacks 3 transactions/,
  },
  {
    name: 'a follower that had all that was seen',
    of: failover({ present: word('db2', mariadb('0-1-12,0-2-13', '2')) }),
    kind: 'transactions',
    count: 0,
    words: /^nothing that was seen is missing: db2 has all that db1 was seen to have; what db1 wrote after/,
  },
  {
    name: 'sets of MySQL are counted exactly',
    of: failover({
      former: word('db1', mysql(`${uuid}:1-10`, uuid)),
      present: word('db2', mysql(`${uuid}:1-6:8`, 'other')),
    }),
    kind: 'transactions',
    count: 3,
    words: /3 transactions \(11111111-.*:7:9-10\)/,
  },
  {
    name: 'another follower saw more, and its own writes are not of the old primary',
    of: failover({
      former: word('db1', mysql(`${uuid}:1-10`, uuid)),
      present: word('db2', mysql(`${uuid}:1-10`, 'other')),
      witnesses: [
        word(
          'db3',
          mysql(
            `${uuid}:1-14,33333333-3333-3333-3333-333333333333:1-5`,
            '33333333-3333-3333-3333-333333333333',
          ),
        ),
      ],
    }),
    kind: 'transactions',
    count: 4,
    words: /4 transactions/,
  },
  {
    name: 'the old primary itself, read-only by now, had written more',
    of: failover({
      present: word('db2', mariadb('0-1-10', '2')),
      witnesses: [word('db1', mariadb('0-1-12', '1'))],
    }),
    kind: 'transactions',
    count: 2,
    words: /2 transactions/,
  },
  {
    name: 'members of one cluster',
    of: failover({
      former: word('db1', { systemId: 'c', history: null }),
      present: word('db2', { systemId: 'c', history: null }),
    }),
    kind: 'none',
    words: /^none: the cluster certifies every transaction/,
  },
  {
    name: 'no GTIDs',
    of: failover({ present: word('db2', { systemId: null, history: null }) }),
    kind: 'unknown',
    words: /^unknown: db2 tells no GTIDs/,
  },
  {
    name: 'servers that are kept equal by other means',
    of: failover({ present: word('db2', mariadb('0-2-5', '2', { apart: true })) }),
    kind: 'unknown',
    words: /^unknown: db2 and db1 are kept equal by other means/,
  },
  {
    name: 'the same server with all that it had',
    of: failover({ present: word('db1', mariadb('0-1-11', '1')) }),
    kind: 'none',
    words: /^none: db1 itself goes on/,
  },
  {
    name: 'the same server, restored from an old copy',
    of: failover({ present: word('db1', mariadb('0-1-4', '1')) }),
    kind: 'transactions',
    count: 6,
    words: /^db1 came back without 6 transactions \(0-1-5\.\.10\) that it was seen to have/,
  },
];

for (const { name, of, kind, count, words } of scenarios) {
  test(`loss (MySQL): ${name}`, () => {
    const loss = lossOf(of, 40);
    assert.equal(loss.kind, kind, loss.words);
    assert.match(loss.words, words);
    if (count !== undefined) assert.equal(loss.kind === 'transactions' && loss.count, count);
  });
}

test('loss (MySQL): the old primary is back with more than was seen, with nothing, and what was missing comes', () => {
  const of = failover({ present: word('db2', mariadb('0-1-7', '2')) });
  const loss = lossOf(of, 40);
  const back = (gtids: string, now: string) =>
    lossOnReturn(loss, of, word('db1', mariadb(gtids, '1'), 5000), word('db2', mariadb(now, '2'), 5000));
  assert.equal(
    back('0-1-12', '0-1-7')?.words,
    'db1 was asked since: it has 5 transactions (0-1-8..12) that db2 lacks',
  );
  assert.equal(
    back('0-1-10', '0-1-7')?.words,
    'db1 was asked since: it has 3 transactions (0-1-8..10) that db2 lacks',
  );
  const since = lossOnReturn(loss, of, null, word('db2', mariadb('0-1-10,0-2-12', '2'), 5000));
  assert.equal(since?.words, 'db2 took over without 3 transactions (0-1-8..10) of db1, and has them since');
  const seenAll = failover({ present: word('db2', mariadb('0-1-10', '2')) });
  assert.equal(
    lossOnReturn(lossOf(seenAll, 40), seenAll, word('db1', mariadb('0-1-10', '1'), 5000), seenAll.present)
      ?.words,
    'db1 was asked since: it has nothing that db2 lacks',
  );
});
