import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type History } from '../../../../src/health/result.ts';
import { lossOf, lossOnReturn } from '../../../../src/topology/loss.ts';
import { type LossCase } from '../../../../src/topology/loss/shapes.ts';
import { lossCase, word } from './kit.ts';

type RedisHistory = Extract<History, { kind: 'redis' }>;

const history = (given: Partial<RedisHistory>): Pick<LossCase['former']['result']['facts'], 'history'> => ({
  history: { kind: 'redis', replicationId: 'a', offset: 1000, previous: null, runId: 'r1', ...given },
});
const promoted = (until: number, of = 'a') =>
  history({ replicationId: 'b', offset: until + 50, runId: 'r2', previous: { replicationId: of, until } });
const failover = (given: Partial<LossCase> = {}): LossCase =>
  lossCase({
    protocol: 'redis',
    former: word('r1', history({})),
    present: word('r2', promoted(900)),
    ...given,
  });

const scenarios: readonly {
  readonly name: string;
  readonly of: LossCase;
  readonly kind: string;
  readonly bytes?: number;
  readonly words: RegExp;
}[] = [
  {
    name: 'a replica that was behind lacks what lies after its offset',
    of: failover(),
    kind: 'bytes',
    bytes: 100,
    words: /^r2 lacks 100 bytes of the replication stream that r1 was seen to have; what r1 wrote after/,
  },
  {
    name: 'the same process with less than a replica was seen to have',
    of: failover({
      present: word('r1', history({})),
      witnesses: [word('r2', history({ offset: 1200, runId: 'r2' }))],
    }),
    kind: 'bytes',
    bytes: 200,
    words: /came back without 200 bytes/,
  },
  {
    name: 'a replica that had all that was seen',
    of: failover({ present: word('r2', promoted(1010)) }),
    kind: 'bytes',
    bytes: 0,
    words: /^nothing that was seen is missing/,
  },
  {
    name: 'another replica saw more of the same history',
    of: failover({
      witnesses: [word('r3', history({ offset: 1200, runId: 'r3' })), word('r4', promoted(5000, 'x'))],
    }),
    kind: 'bytes',
    bytes: 300,
    words: /^r2 lacks 300 bytes/,
  },
  {
    name: 'another history can not be measured',
    of: failover({ present: word('r2', promoted(900, 'x')) }),
    kind: 'unknown',
    words: /^unknown: r2 goes on with another history/,
  },
  {
    name: 'the same process has lost nothing, though its id is another',
    of: failover({ present: word('r1', history({ replicationId: 'c', offset: 1000 })) }),
    kind: 'none',
    words: /^none: r1 was not restarted/,
  },
  {
    name: 'the same process, that was a replica unseen and promoted again, has the history of that primary',
    of: failover({
      present: word(
        'r1',
        history({ replicationId: 'b', offset: 950, previous: { replicationId: 'x', until: 900 } }),
      ),
    }),
    kind: 'unknown',
    words: /^unknown: r1 goes on with another history/,
  },
  {
    name: 'the same process, that was a replica meanwhile, has lost its history',
    of: failover({
      present: word('r1', history({ replicationId: 'c', offset: 20 })),
      witnesses: [word('r1', history({ replicationId: 'x', offset: 10 }))],
    }),
    kind: 'unknown',
    words: /^unknown/,
  },
  {
    name: 'the same server restarted from an older file',
    of: failover({
      present: word(
        'r1',
        history({ replicationId: 'c', runId: 'new', previous: { replicationId: 'a', until: 400 } }),
      ),
    }),
    kind: 'bytes',
    bytes: 600,
    words: /^r1 came back without 600 bytes of the replication stream/,
  },
  {
    name: 'a server that tells no ids',
    of: failover({ present: word('r2', { history: null }) }),
    kind: 'unknown',
    words: /before Redis 4/,
  },
];

for (const { name, of, kind, bytes, words } of scenarios) {
  test(`loss (Redis): ${name}`, () => {
    const loss = lossOf(of, 40);
    assert.equal(loss.kind, kind, loss.words);
    assert.match(loss.words, words);
    if (bytes !== undefined) assert.equal(loss.kind === 'bytes' && loss.bytes, bytes);
  });
}

test('loss (Redis): a frozen primary that is back tells how far it was; a restarted one tells nothing', () => {
  const of = failover();
  const loss = lossOf(of, 40);
  const back = (given: Partial<RedisHistory>) =>
    lossOnReturn(loss, of, word('r1', history(given), 5000), of.present);
  assert.equal(
    back({ offset: 1300 })?.words,
    'r1 was asked since: it has 400 bytes of the replication stream that r2 lacks',
  );
  assert.equal(back({ offset: 1300, runId: 'new' }), null);
  assert.equal(back({ offset: 1300, replicationId: 'b' }), null);
});
