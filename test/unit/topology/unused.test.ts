import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Standing } from '../../../src/topology/model.ts';
import { initialStanding } from '../../../src/topology/standing.ts';
import { unusedServers } from '../../../src/topology/unused.ts';
import { backend, fail, FRESHNESS_MS, pass, passReplica, server, up } from '../../support/views.ts';

const terms = {
  route: 'replica-or-primary',
  maxLagMs: 10_000,
  maxLagBytes: 2 ** 20,
  synchronousOnly: false,
  zone: null,
} as const;

const standing = (given: Partial<Standing>) => ({ standing: { ...initialStanding, ...given } });

test('unused: each rule that keeps readers away is told in words', () => {
  const late = passReplica({ lagSeconds: 12.3 }, FRESHNESS_MS);
  const rows: [Parameters<typeof backend>[0][number], string | null][] = [
    [server('pg2', late), null],
    [{ ...server('pg2', late), admin: 'drain' }, 'in drain (operator)'],
    [server('pg2', null), 'not asked yet'],
    [server('pg2', fail('L4CON')), 'down: L4CON'],
    [server('pg2', fail('L7BUSY'), up), 'can’t be seen well: L7BUSY'],
    [server('pg2', passReplica({}, -1)), 'not heard for too long'],
    [server('pg2', pass({}, FRESHNESS_MS)), 'says that it is a primary, and is not followed'],
    [
      { ...server('pg2', late), ...standing({ beyond: ['10000 ms'] }) },
      '12.3 s behind: max_lag is 10s, and the way back is at 5s',
    ],
    [
      { ...server('pg2', late), ...standing({ beyond: ['1048576 bytes'], lagBytes: 3_500_000 }) },
      '3.3MiB behind: max_lag_bytes is 1MiB, and the way back is at 512KiB',
    ],
    [
      {
        ...server('pg2', passReplica({ replicating: false }, FRESHNESS_MS)),
        ...standing({ beyond: ['10000 ms'] }),
      },
      'does not replicate',
    ],
  ];
  for (const [pg2, why] of rows) {
    const view = backend([server('pg1', pass({}, FRESHNESS_MS)), pg2], { primary: 'pg1' });
    const expected = why === null ? [] : [{ server: 'pg2', why }];
    assert.deepEqual(unusedServers(terms, view, FRESHNESS_MS), expected);
    assert.deepEqual(unusedServers({ ...terms, route: 'primary' }, view, FRESHNESS_MS), []);
  }
});

test('unused: without pg_monitor that is what it says', () => {
  const view = backend([
    { ...server('pg2', passReplica()), ...standing({ synchronous: 'hidden' }) },
    { ...server('pg3', passReplica()), ...standing({ synchronous: 'yes' }) },
  ]);
  assert.deepEqual(unusedServers({ ...terms, synchronousOnly: true }, view, 0), [
    { server: 'pg2', why: 'not known to be synchronous: the probe user needs pg_monitor on each server' },
  ]);
});

test('unused: backups and other zones are told of while they wait', () => {
  const near = { ...server('pg2', passReplica()), zone: 'a' };
  const far = server('pg3', passReplica());
  const spare = { ...server('pg4', passReplica()), backup: true };
  const said = (servers: Parameters<typeof backend>[0]): string =>
    unusedServers({ ...terms, zone: 'a' }, backend(servers), 0)
      .map(({ server: name, why }) => `${name} ${why}`)
      .join(' | ');
  const backupWaits = 'pg4 a backup: used while no other is left';
  assert.equal(
    said([near, far, spare]),
    `pg3 in no zone: used while none of zone a is left | ${backupWaits}`,
  );
  assert.equal(said([far, spare]), backupWaits);
  assert.equal(said([spare]), '');
});
