// Backups as files: which count, when each was taken, and what a look into one tells. On files of a temporary directory.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { findBackup, inspectBackup, listBackups, manifestPath } from '../../../src/backup/files.ts';
import { type BackupFacts, type BackupWish } from '../../../src/backup/choose.ts';

const NOW_MS = Date.UTC(2026, 10, 28, 12);
const wish: BackupWish = { protocol: null, maxAgeMs: null, checksum: 'if-present' };

const PLAIN = `--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n${'insert into t values (1);\n'.repeat(2000)}
--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n`;
const MYSQL =
  '/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11\n--\ncreate table t (i int);\n-- Dump completed on 2026-11-28 12:00:00\n';
const OLD_MYSQL = '-- MySQL dump 10.13  Distrib 5.7\nselect 1;\n-- Dump completed\n';

const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex');

function directory(t: TestContext): (name: string, content: string | Buffer) => string {
  const path = mkdtempSync(join(tmpdir(), 'pointsman-backups-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return (name, content) => {
    writeFileSync(join(path, name), content);
    return join(path, name);
  };
}

const look = (path: string): Promise<BackupFacts> => inspectBackup({ path, bytes: 1, takenAtMs: 0 });

function manifest(content: string | Buffer, takenAt: string, more: object = {}): string {
  return JSON.stringify({
    format: 1,
    taken_at: takenAt,
    sha256: sha256(content),
    bytes: content.length,
    backend: 'app',
    server: 'pg1',
    database: 'app',
    position: '0/5000060',
    ...more,
  });
}

test('a look into a backup: each kind of dump is known by its first bytes, whole ones by their last', async t => {
  const put = directory(t);
  const cases: readonly (readonly [string | Buffer, BackupFacts['kind'], boolean | null, boolean])[] = [
    [PLAIN, 'pg-plain', true, false],
    [PLAIN.slice(0, 30_000), 'pg-plain', false, false],
    [gzipSync(PLAIN), 'pg-plain', true, true],
    [Buffer.from('PGDMP\u0001\u000e\u0000 and so on'), 'pg-custom', null, false],
    [MYSQL, 'mysql', true, false],
    [OLD_MYSQL, 'mysql', true, false],
    [gzipSync(MYSQL.slice(0, -60)), 'mysql', false, true],
    ['<html>502 Bad Gateway</html>', null, null, false],
    ['insert into coffees values (1); -- PostgreSQL database dump complete', null, null, false],
  ];
  for (const [content, kind, isComplete, isCompressed] of cases) {
    const facts = await look(put('x', content));
    assert.deepEqual(
      [facts.kind, facts.isComplete, facts.isCompressed, facts.checksum, facts.damage],
      [kind, isComplete, isCompressed, 'absent', null],
      content.toString().slice(0, 40),
    );
  }
});

test('a look into a backup: a compression that breaks off or is garbled is damage, and its checksum is told all the same', async t => {
  const put = directory(t);
  const whole = gzipSync(Buffer.from(PLAIN.repeat(20)));
  const garbled = Buffer.from(whole);
  garbled.fill(0xff, 200, 400);
  for (const content of [whole.subarray(0, -20), garbled]) {
    const path = put('x.gz', content);
    put('x.gz.sha256', `${sha256(content)}  x.gz\n`);
    const { damage, checksum } = await look(path);
    assert.match(damage ?? '', /compression breaks off/);
    assert.equal(checksum, 'matches');
  }
});

test('a look into a backup: the checksum beside it, ours or of sha256sum, holds or not', async t => {
  const put = directory(t);
  const ours = put('ours.dump', PLAIN);
  put('ours.dump.json', manifest(PLAIN, '2026-11-28T11:00:00.000Z'));
  const theirs = put('theirs.sql', MYSQL);
  put('theirs.sql.sha256', `${sha256(MYSQL).toUpperCase()}  theirs.sql\n`);
  const changed = put('changed.sql', `${MYSQL} `);
  put('changed.sql.sha256', sha256(MYSQL));
  const [one, two, three] = [await look(ours), await look(theirs), await look(changed)];
  assert.deepEqual([one.checksum, two.checksum, three.checksum], ['matches', 'matches', 'differs']);
  assert.deepEqual([one.position, two.position], ['0/5000060', null]);
  assert.match((await look(`${ours}.gone`)).damage ?? '', /cannot be read: ENOENT/);
});

test('the list of backups: by pattern, without what stands beside them, each with the moment it was taken', async t => {
  const put = directory(t);
  const ours = put('app-x.dump', PLAIN);
  put('app-x.dump.json', manifest(PLAIN, '2026-11-28T11:00:00.000Z'));
  put('app-20261128T103000Z.dump', PLAIN);
  const changed = put('app-yesterday.dump', PLAIN);
  utimesSync(changed, new Date(), new Date(Date.UTC(2026, 10, 27)));
  put('.app-hidden.dump', PLAIN);
  put('app-half.dump.tmp', PLAIN);
  put('other.dump', PLAIN);
  put('app-x.dump.sha256', 'x');
  const files = await listBackups(ours.replace('app-x', 'app-*'));
  const moments = Object.fromEntries(files.map(({ path, takenAtMs }) => [path.split('/').at(-1), takenAtMs]));
  assert.deepEqual(moments, {
    'app-20261128T103000Z.dump': Date.UTC(2026, 10, 28, 10, 30),
    'app-x.dump': Date.UTC(2026, 10, 28, 11),
    'app-yesterday.dump': Date.UTC(2026, 10, 27),
  });
  assert.deepEqual(await listBackups(`${ours}/nowhere/*`).catch(({ code }) => code), 'ENOTDIR');
  assert.deepEqual(await listBackups(ours.replace('app-x.dump', 'no-such-directory/*')), []);
});

test('a pattern is a pattern of names: what means something elsewhere means nothing here', async t => {
  const put = directory(t);
  const path = put('a+b(1).dump', PLAIN);
  put('aab1xdump', PLAIN);
  assert.deepEqual(
    (await listBackups(path)).map(file => file.path),
    [path],
  );
  assert.equal((await listBackups(path.replace('(1)', '?1?'))).length, 1);
});

test('the newest backup is corrupt: the one before is found, and why is said', async t => {
  const put = directory(t);
  put('app-1.dump', PLAIN);
  put('app-1.dump.json', manifest(PLAIN, '2026-11-28T10:00:00.000Z'));
  const newest = put('app-2.dump', PLAIN.replace('values (1)', 'values (2)'));
  put('app-2.dump.json', manifest(PLAIN, '2026-11-28T11:00:00.000Z'));
  const { backup, ageMs, words } = await findBackup(newest.replace('app-2', 'app-*'), wish, NOW_MS);
  assert.match(backup?.path ?? '', /app-1\.dump$/);
  assert.equal(ageMs, 2 * 3_600_000);
  assert.match(words, /app-1\.dump, 2 h old; .*app-2\.dump has another content than its checksum/);
  assert.equal(manifestPath('x'), 'x.json');
});
