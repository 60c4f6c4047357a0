import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ServerFacts, type WalFacts } from '../../../../src/health/result.ts';
import { lossOf, lossOnReturn } from '../../../../src/topology/loss.ts';
import { type LossCase } from '../../../../src/topology/loss/shapes.ts';
import { lossCase, wal, word } from './kit.ts';

/** pg1 was last at 0/1000 on timeline 1; pg2 left it at 0/C00 for timeline 2. */
function failover(
  given: {
    readonly old?: Partial<ServerFacts>;
    readonly now?: Partial<ServerFacts>;
    readonly oldWal?: Partial<WalFacts>;
    readonly fork?: string | null;
  } & Partial<LossCase> = {},
): LossCase {
  const { old, now, oldWal, fork = '0/C00', ...rest } = given;
  return lossCase({
    protocol: 'postgres',
    former: word('pg1', { position: '0/1000', wal: wal(oldWal), ...old }),
    present: word('pg2', { timeline: 2, position: '0/2000', wal: wal({ recoveredTo: fork }), ...now }, 900),
    promotedFrom: word('pg2', { role: 'replica', position: '0/C00' }, 890),
    ...rest,
  });
}

const synchronous: Partial<LossCase> & { oldWal: Partial<WalFacts> } = {
  standbyName: 'pg2',
  oldWal: { synchronousNames: 'ANY 1 (pg2)', standbys: [{ name: 'pg2', synchronous: true }] },
};
const third = (given: Partial<ServerFacts>) => word('pg3', { role: 'replica', replicating: true, ...given });

const unseen = 'what pg1 wrote after its last answer, 800 ms before the first bad sign, nobody saw';

const scenarios: readonly {
  readonly name: string;
  readonly of: LossCase;
  readonly kind: string;
  readonly bytes?: number;
  readonly words: string | RegExp;
}[] = [
  {
    name: 'an asynchronous standby that was behind lacks exactly what lies after the fork',
    of: failover(),
    kind: 'bytes',
    bytes: 0x400,
    words: `pg2 lacks 1,024 bytes of WAL that pg1 was seen to have; ${unseen}`,
  },
  {
    name: 'an asynchronous standby that had all that was seen is no proof of no loss',
    of: failover({ fork: '0/1040' }),
    kind: 'bytes',
    bytes: 0,
    words: `nothing that was seen is missing: pg2 has all that pg1 was seen to have; ${unseen}`,
  },
  {
    name: 'another standby saw more of the old primary than its own last answer',
    of: failover({ witnesses: [third({ position: '0/1400' })] }),
    kind: 'bytes',
    bytes: 0x800,
    words: /^pg2 lacks 2,048 bytes/,
  },
  {
    name: 'what a standby has of another timeline or cluster says nothing of the old primary',
    of: failover({
      witnesses: [third({ position: '0/9000', timeline: 2 }), third({ position: '0/9000', systemId: '8' })],
    }),
    kind: 'bytes',
    bytes: 0x400,
    words: /^pg2 lacks 1,024 bytes/,
  },
  {
    name: 'the synchronous standby took over',
    of: failover({ ...synchronous, fork: '0/1000' }),
    kind: 'none',
    words:
      'none: synchronous: pg1 answered no commit before pg2 had it (synchronous_standby_names = ANY 1 (pg2); sessions that turn synchronous_commit off are not counted)',
  },
  {
    name: 'what the synchronous standby lacks was answered to nobody',
    of: failover(synchronous),
    kind: 'none',
    words: /not counted\); of 1,024 bytes of WAL that it lacks, none was answered$/,
  },
  {
    name: 'of two synchronous standbys of which one is enough, the other may have had more',
    of: failover({
      ...synchronous,
      oldWal: { ...synchronous.oldWal, synchronousNames: 'ANY 1 (pg2, pg3)' },
      fork: '0/1000',
    }),
    kind: 'bytes',
    bytes: 0,
    words:
      /; no answered commit is missing if pg2 had all that the synchronous standbys had \(synchronous_standby_names = ANY 1 \(pg2, pg3\)\)$/,
  },
  {
    name: 'two standbys that are both waited for: either will do',
    of: failover({ ...synchronous, oldWal: { ...synchronous.oldWal, synchronousNames: '2 (PG2, pg3)' } }),
    kind: 'none',
    words: /^none: synchronous/,
  },
  {
    name: 'another server than the synchronous standby took over',
    of: failover({ ...synchronous, standbyName: 'pg3' }),
    kind: 'bytes',
    bytes: 0x400,
    words: /no answered commit is missing if pg2/,
  },
  {
    name: 'two standbys of one name: nobody knows which one was waited for',
    of: failover({
      ...synchronous,
      oldWal: {
        ...synchronous.oldWal,
        standbys: [
          { name: 'pg2', synchronous: true },
          { name: 'PG2', synchronous: false },
        ],
      },
    }),
    kind: 'bytes',
    bytes: 0x400,
    words: /no answered commit is missing if/,
  },
  {
    name: 'a listed standby that is not waited for yet proves nothing',
    of: failover({
      ...synchronous,
      oldWal: { ...synchronous.oldWal, standbys: [{ name: 'pg2', synchronous: false }] },
    }),
    kind: 'bytes',
    bytes: 0x400,
    words: /no answered commit is missing if/,
  },
  {
    name: 'a probe user without pg_monitor sees the list and not the standby',
    of: failover({ oldWal: { synchronousNames: 'pg2' } }),
    kind: 'bytes',
    bytes: 0x400,
    words: /to tell, the probe user needs pg_monitor on each server\)$/,
  },
  {
    name: 'synchronous_commit = local waits for no standby',
    of: failover({ ...synchronous, oldWal: { ...synchronous.oldWal, synchronousCommit: 'local' } }),
    kind: 'bytes',
    bytes: 0x400,
    words: `pg2 lacks 1,024 bytes of WAL that pg1 was seen to have; ${unseen}`,
  },
  {
    name: 'a standby that was promoted unseen, with more of the log than it can have had',
    of: failover({ promotedFrom: null }),
    kind: 'bytes',
    bytes: 0x400,
    words: /^pg2 lacks at least 1,024 bytes of WAL/,
  },
  {
    name: 'a standby that was promoted unseen may have crashed and recovered its own log since',
    of: failover({ promotedFrom: null, fork: '0/9000' }),
    kind: 'unknown',
    words: /^unknown: nobody saw pg2 being promoted/,
  },
  {
    name: 'two promotions on, the fork that is told is the second',
    of: failover({
      now: { timeline: 3 },
      promotedFrom: word('pg2', { role: 'replica', timeline: 2 }),
      fork: '0/9000',
    }),
    kind: 'unknown',
    words: /^unknown: nobody saw/,
  },
  {
    name: 'a restart since the promotion forgets the fork',
    of: failover({ fork: null }),
    kind: 'unknown',
    words: /^unknown: pg2 was restarted since it was promoted/,
  },
  {
    name: 'another cluster compares to nothing',
    of: failover({ now: { systemId: '8' } }),
    kind: 'unknown',
    words: /is not known to be of the cluster/,
  },
  {
    name: 'an old primary that never told its position',
    of: failover({ old: { position: null } }),
    kind: 'unknown',
    words: /pg1 was never seen to tell its position/,
  },
  {
    name: 'a standby that was restarted as a primary, without a promotion, may have less than its position tells',
    of: failover({
      now: { timeline: 1, position: '0/2000' },
      fork: null,
      witnesses: [word('pg2', { role: 'replica', position: '0/C00' })],
    }),
    kind: 'unknown',
    words: /^unknown: pg2 writes a timeline of the same number as that of pg1/,
  },
  {
    name: 'between the timelines was another: the new primary may have followed somebody that nobody saw',
    of: failover({ ...synchronous, now: { timeline: 3 }, fork: '0/1800' }),
    kind: 'unknown',
    words: /^unknown: nobody saw pg2 being promoted from the timeline of pg1/,
  },
  {
    name: 'the same server after a doubt',
    of: failover({ present: word('pg1', { position: '0/1400', wal: wal() }) }),
    kind: 'none',
    words: /^none: pg1 itself goes on with all that it was seen to have/,
  },
  {
    name: 'the same server after a crash that it recovered from whole',
    of: failover({ present: word('pg1', { position: '0/1440', wal: wal({ recoveredTo: '0/1400' }) }) }),
    kind: 'none',
    words: /^none: pg1 itself/,
  },
  {
    name: 'the same server after a crash that took a part of its log',
    of: failover({ present: word('pg1', { position: '0/1440', wal: wal({ recoveredTo: '0/F00' }) }) }),
    kind: 'bytes',
    bytes: 0x100,
    words: /^pg1 came back without 256 bytes of WAL that it was seen to have/,
  },
  {
    name: 'a primary that was once promoted and goes on was not set back to its own fork',
    of: failover({
      oldWal: { recoveredTo: '0/100' },
      present: word('pg1', { position: '0/1440', wal: wal({ recoveredTo: '0/100' }) }),
    }),
    kind: 'none',
    words: /^none: pg1 itself/,
  },
];

for (const { name, of, kind, bytes, words } of scenarios) {
  test(`loss (PostgreSQL): ${name}`, () => {
    const loss = lossOf(of, 800);
    assert.equal(loss.kind, kind, loss.words);
    if (bytes !== undefined) assert.equal(loss.kind === 'bytes' && loss.bytes, bytes);
    if (typeof words === 'string') assert.equal(loss.words, words);
    else assert.match(loss.words, words);
    assert.equal(loss.unseenMs, 800);
  });
}

const returns: readonly {
  readonly name: string;
  readonly of?: LossCase;
  readonly back: Partial<ServerFacts>;
  readonly becomes: readonly [kind: string, words: RegExp] | null;
}[] = [
  {
    name: 'with more than was seen',
    back: { position: '0/1480', wal: wal({ recoveredTo: '0/1400' }) },
    becomes: ['bytes', /^pg1 was asked since: it has 2,048 bytes of WAL that pg2 lacks$/],
  },
  {
    name: 'with nothing that the new one lacks',
    of: failover({ fork: '0/1040' }),
    back: { position: '0/1480', wal: wal({ recoveredTo: '0/1000' }) },
    becomes: ['none', /^none: pg1 was asked since: it has nothing that pg2 lacks$/],
  },
  {
    name: 'from a freeze, by its position',
    back: { position: '0/1400', wal: wal() },
    becomes: ['bytes', /has 2,048 bytes/],
  },
  { name: 'from an older copy', back: { position: '0/800', wal: wal() }, becomes: null },
  { name: 'as a replica: whose log it has by then is not certain', back: { role: 'replica' }, becomes: null },
  { name: 'on the new timeline', back: { timeline: 2, position: '0/9000' }, becomes: null },
  {
    name: 'after a loss that was ruled out',
    of: failover(synchronous),
    back: { position: '0/1400', wal: wal() },
    becomes: null,
  },
];

for (const { name, of = failover(), back, becomes } of returns) {
  test(`loss (PostgreSQL): the old primary is back ${name}`, () => {
    const loss = lossOnReturn(lossOf(of, 800), of, word('pg1', back, 5000), of.present);
    assert.equal(loss?.kind ?? null, becomes?.[0] ?? null, loss?.words);
    if (becomes !== null) assert.match(loss?.words ?? '', becomes[1]);
  });
}
