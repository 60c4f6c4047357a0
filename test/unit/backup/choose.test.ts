// Which backup is restored, and why newer ones are not: decided from what is known of each file.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  chooseBackup,
  type BackupFacts,
  type BackupFile,
  type BackupWish,
} from '../../../src/backup/choose.ts';
import { formatAge } from '../../../src/backup/words.ts';

const NOW_MS = Date.UTC(2026, 10, 28, 12);
const HOUR_MS = 3_600_000;
const wish: BackupWish = { protocol: 'postgres', maxAgeMs: 24 * HOUR_MS, checksum: 'required' };
const good: BackupFacts = {
  kind: 'pg-custom',
  isCompressed: false,
  isComplete: null,
  checksum: 'matches',
  damage: null,
  position: '0/3000000',
};

const aged = (path: string, hours: number, bytes = 1000): BackupFile => ({
  path,
  bytes,
  takenAtMs: NOW_MS - hours * HOUR_MS,
});

/** Chooses among files of 1, 2, 3 … hours, of which the facts are given; remembers which were looked into. */
async function choose(facts: readonly Partial<BackupFacts>[], wished: Partial<BackupWish> = {}) {
  const looked: string[] = [];
  const files = facts.map((_, index) => aged(`b${index + 1}`, index + 1));
  const choice = await chooseBackup(files, { ...wish, ...wished }, NOW_MS, file => {
    looked.push(file.path);
    return Promise.resolve({ ...good, ...facts[Number(file.path.slice(1)) - 1] });
  });
  return { ...choice, looked };
}

test('choice of a backup: the newest fit one, whatever the order of the files; older ones are not read', async () => {
  const files = [aged('old', 3), aged('newest', 1), aged('older', 2)];
  const looked: string[] = [];
  const { backup, ageMs, refused, words } = await chooseBackup(files, wish, NOW_MS, ({ path }) => {
    looked.push(path);
    return Promise.resolve(good);
  });
  assert.equal(backup?.path, 'newest');
  assert.equal(backup.position, '0/3000000');
  assert.equal(ageMs, HOUR_MS);
  assert.deepEqual([looked, refused], [['newest'], []]);
  assert.equal(words, 'newest, 1 h old');
});

test('choice of a backup: of each that is not fit the reason is told, and the one before it is taken', async () => {
  const cases: readonly (readonly [Partial<BackupFacts>, RegExp, Partial<BackupWish>?])[] = [
    [{ checksum: 'differs' }, /another content than its checksum/],
    [{ checksum: 'absent' }, /has no checksum/],
    [{ kind: null }, /is no dump/],
    [{ kind: 'mysql', isComplete: true }, /a dump of mysql, and one of postgres is needed/],
    [{ kind: 'pg-plain', isComplete: false }, /is not whole/],
    [{ damage: 'cannot be read: EIO' }, /cannot be read: EIO/],
  ];
  for (const [facts, why] of cases) {
    const { backup, refused, words } = await choose([facts, {}]);
    assert.equal(backup?.path, 'b2', String(why));
    assert.deepEqual(
      refused.map(({ path }) => path),
      ['b1'],
    );
    assert.match(refused[0]?.why ?? '', why);
    assert.match(words, /^b2, 2 h old; b1 /);
  }
});

test('choice of a backup: a changed file is called that, even if it is no dump either', async () => {
  const { refused } = await choose([{ checksum: 'differs', kind: null, damage: 'is not whole' }]);
  assert.match(refused[0]?.why ?? '', /checksum/);
});

test('choice of a backup: without a checksum only where that is allowed', async () => {
  const foreign = { kind: 'pg-plain', isComplete: true, checksum: 'absent' } as const;
  assert.equal((await choose([foreign])).backup, null);
  assert.equal((await choose([foreign], { checksum: 'if-present' })).backup?.path, 'b1');
  assert.equal(
    (await choose([{ ...foreign, checksum: 'differs' }], { checksum: 'if-present' })).backup,
    null,
  );
});

test('choice of a backup: too old, empty and of the future are refused without a look into them', async () => {
  const never = (): Promise<BackupFacts> => assert.fail('looked into');
  const files = [aged('old', 25), aged('empty', 1, 0), aged('future', -1)];
  const { backup, refused, words } = await chooseBackup(files, wish, NOW_MS, never);
  assert.equal(backup, null);
  assert.deepEqual(refused, [
    { path: 'future', why: 'is of the future, by 1 h: the clocks disagree' },
    { path: 'empty', why: 'is empty' },
    { path: 'old', why: 'is 1 d 1 h old, and 1 d is the most' },
  ]);
  assert.match(words, /^no backup is fit; future is of the future/);
  const any = await chooseBackup([aged('old', 2500)], { ...wish, maxAgeMs: null }, NOW_MS, () =>
    Promise.resolve(good),
  );
  assert.equal(any.backup?.path, 'old');
});

test('choice of a backup: clocks that differ by a minute do no harm', async () => {
  const { backup, ageMs } = await chooseBackup([aged('ahead', -1 / 60)], wish, NOW_MS, () =>
    Promise.resolve(good),
  );
  assert.equal(backup?.path, 'ahead');
  assert.equal(ageMs, 0);
});

test('choice of a backup: none at all says so', async () => {
  const { backup, words } = await choose([]);
  assert.deepEqual([backup, words], [null, 'no backup is fit: there is none']);
});

test('ages: two units, the greater first', () => {
  const cases = [0, 850, 1000, 61_000, 3_600_000, 90_061_000, 725_000, -5].map(formatAge);
  assert.deepEqual(cases, ['0 ms', '850 ms', '1 s', '1 min 1 s', '1 h', '1 d 1 h', '12 min 5 s', '0 ms']);
});
