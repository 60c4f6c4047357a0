// The state file on a real file system: what is read, what is set aside, when it is written, and who may write.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { StateFile } from '../../../src/app/state-file.ts';
import { STATE_FILE_MAX_BYTES } from '../../../src/core/limits.ts';
import { silentLogger, type Logger } from '../../../src/core/logger.ts';
import { readState } from '../../../src/topology/saved.ts';
import { Topology, type BackendSpec } from '../../../src/topology/topology.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { pass, passReplica, up } from '../../support/views.ts';
import { until } from '../../support/wait.ts';

const spec: BackendSpec = {
  name: 'app',
  protocol: 'postgres',
  multipleWriters: 'newest',
  freshnessMs: 1000,
  slowStartMs: 0,
  settleMs: 0,
  servers: ['pg1', 'pg2'].map((name, index) => ({
    name,
    address: { host: '10.0.0.1', port: 5001 + index },
    weight: 100,
  })),
};

function stage(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-state-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'state.json');
  const clock = new FakeClock();
  const lines: string[] = [];
  const note =
    (level: string) =>
    (_fields: object, message: string): void =>
      void lines.push(`${level}: ${message}`);
  const log: Logger = { ...silentLogger, info: note('info'), warn: note('warn'), error: note('error') };
  const open = async (at = path): Promise<StateFile> => {
    const file = await StateFile.open(at, { clock, log });
    t.after(async () => {
      const closed = file.close();
      await closed;
    });
    return file;
  };
  const entries = (): readonly string[] => readdirSync(directory).sort();
  return { directory, path, clock, lines, open, entries };
}

type Stage = ReturnType<typeof stage>;

/** A file that is followed, with a count of failed writes. */
async function following(on: Stage) {
  const file = await on.open();
  const topology = new Topology([spec], on.clock, file.saved);
  const failures = { count: 0 };
  file.follow(topology, () => (failures.count += 1));
  return { file, topology, failures };
}

function contentOf({ path }: Stage) {
  const read = readState(readFileSync(path, 'utf8'));
  assert.ok(read.ok, JSON.stringify(read));
  return read.state.get('app');
}

const refusedWith =
  (code: string, words: RegExp) =>
  (thrown: unknown): boolean => {
    assert.ok(thrown instanceof Error);
    assert.equal((thrown as Error & { code: string }).code, code);
    assert.match(thrown.message, words);
    return true;
  };

test('state file: there need be none; a changed primary is written at once, for the owner alone, and read again', async t => {
  const on = stage(t);
  const { file, topology } = await following(on);
  assert.equal(file.saved.size, 0);
  topology.report('app', 'pg1', up, pass());
  topology.report('app', 'pg2', up, passReplica());
  await until('the primary on disk', () => existsSync(on.path) && contentOf(on)?.primary === 'pg1');
  assert.equal(statSync(on.path).mode & 0o777, 0o600);
  await file.close();
  assert.deepEqual(on.entries(), ['state.json'], 'neither lock nor temporary file is left');
  const again = await on.open();
  assert.equal(again.saved.get('app')?.epoch, 1);
  assert.deepEqual(on.lines, []);
});

test('state file: an admin state is written at once, a memory that moves after five seconds, and nothing new not at all', async t => {
  const on = stage(t);
  const { topology } = await following(on);
  topology.setAdmin('app', 'pg2', 'maintenance');
  await until(
    'it on disk',
    () => existsSync(on.path) && contentOf(on)?.servers.get('pg2')?.admin === 'maintenance',
  );
  topology.report('app', 'pg1', up, pass());
  await until('the primary on disk', () => contentOf(on)?.primary === 'pg1');
  topology.report('app', 'pg1', up, pass({ timeline: 2 }));
  await on.clock.advance(4999);
  assert.deepEqual(contentOf(on)?.memory, { systemId: '7000000000000000001', timeline: 1 });
  await on.clock.advance(1);
  await until('the timeline on disk', () => JSON.stringify(contentOf(on)?.memory).includes('"timeline":2'));
  const { ino } = statSync(on.path);
  topology.report('app', 'pg1', up, pass({ timeline: 2 }));
  await on.clock.advance(5000);
  topology.setAdmin('app', 'pg2', 'ready');
  await until('the next change on disk', () => contentOf(on)?.servers.get('pg2')?.admin === 'ready');
  assert.notEqual(statSync(on.path).ino, ino, 'each write is a file of its own');
});

test('state file: the last state is written at the end, even if it is not due', async t => {
  const on = stage(t);
  const { file, topology } = await following(on);
  topology.report('app', 'pg1', up, pass());
  topology.report('app', 'pg2', up, passReplica());
  topology.report('app', 'pg1', up, pass({ timeline: 5 }));
  await file.close();
  assert.deepEqual(contentOf(on)?.memory, { systemId: '7000000000000000001', timeline: 5 });
  assert.equal(on.clock.pending, 0, 'no timer is left');
});

test('state file: many changes at once are few writes, and the newest wins', async t => {
  const on = stage(t);
  const { file, topology } = await following(on);
  for (let i = 0; i < 500; i += 1) topology.setAdmin('app', 'pg1', i % 2 === 0 ? 'drain' : 'ready');
  topology.setAdmin('app', 'pg1', 'maintenance');
  await file.close();
  assert.equal(contentOf(on)?.servers.get('pg1')?.admin, 'maintenance');
  assert.equal(await file.close(), undefined, 'closing twice is closing once');
});

for (const [what, content] of [
  ['garbage', 'garbage'],
  ['nothing', ''],
  ['another format', '{"version":2,"backends":{}}'],
  ['zeros, as after a power cut', '\0'.repeat(4096)],
] as const) {
  test(`state file: a file of ${what} is set aside with a warning, and a new one begun`, async t => {
    const on = stage(t);
    writeFileSync(on.path, content);
    const { file } = await following(on);
    assert.equal(file.saved.size, 0);
    const aside = on.entries().find(name => name.startsWith('state.json.damaged-'));
    assert.match(aside ?? '', /^state\.json\.damaged-2023-11-14T22-13-20\.000Z$/);
    assert.equal(readFileSync(join(on.directory, aside ?? ''), 'utf8'), content);
    assert.match(
      on.lines.join('\n'),
      /warn: the state file is not believed \(it .*set aside as .*damaged-2023/,
    );
    await file.close();
    assert.equal(contentOf(on)?.epoch, 0);
  });
}

test('state file: one too large to be ours is not read', async t => {
  const on = stage(t);
  const handle = openSync(on.path, 'w');
  ftruncateSync(handle, STATE_FILE_MAX_BYTES + 1);
  closeSync(handle);
  const file = await on.open();
  assert.equal(file.saved.size, 0);
  assert.match(on.lines.join(), /it is larger than 67108864 bytes/);
});

test('state file: where nothing can be written the start is refused, with the reason', async t => {
  const on = stage(t);
  const nowhere = join(on.directory, 'missing', 'state.json');
  await assert.rejects(on.open(nowhere), refusedWith('STATE_FILE_UNUSABLE', /missing does not exist$/));
  mkdirSync(on.path);
  await assert.rejects(on.open(), refusedWith('STATE_FILE_UNUSABLE', /it is not an ordinary file$/));
  await assert.rejects(
    on.open('/dev/null'),
    refusedWith('STATE_FILE_UNUSABLE', /it is not an ordinary file$/),
  );
  await assert.rejects(
    on.open('/proc/state.json'),
    refusedWith('STATE_FILE_UNUSABLE', /^state_file \/proc\/state\.json: /),
  );
  assert.deepEqual(on.entries(), ['state.json'], 'no lock is left');
});

test('state file: a link stays a link, and what it points to is written', async t => {
  const on = stage(t);
  const target = join(on.directory, 'real.json');
  writeFileSync(target, '{"version":1,"backends":{}}');
  symlinkSync(target, on.path);
  const { file } = await following(on);
  await file.close();
  assert.ok(lstatSync(on.path).isSymbolicLink());
  assert.equal(contentOf(on)?.epoch, 0);
});

test('state file: a second Pointsman on the same file is refused, and welcome when the first has ended', async t => {
  const on = stage(t);
  const first = await on.open();
  await assert.rejects(
    on.open(),
    refusedWith('STATE_FILE_IN_USE', new RegExp(`another Pointsman uses it, process ${process.pid};`)),
  );
  await first.close();
  await (await on.open()).close();
});

test('state file: what a killed Pointsman leaves blocks nobody and is cleared away', async t => {
  const on = stage(t);
  await on.open();
  const lock = readFileSync(`${on.path}.lock`, 'utf8');
  const dead = spawnSync('/bin/true').pid;
  const leftover = `${on.path}.00000000-0000-4000-8000-000000000000.tmp`;
  for (const left of [
    lock.replace(`"pid":${process.pid}`, `"pid":${dead}`),
    lock.replace(/"startedAt":"\d+"/, '"startedAt":"1"'),
    lock.replace(/"bootId":"[^"]+"/, '"bootId":"another"'),
    lock.replace(/"pidNamespace":"[^"]+"/, '"pidNamespace":"another"'),
    lock.replace(/"process":\{.*\}\}/, '"process":null}'),
    '{"owner":',
    '',
  ]) {
    assert.notEqual(left, lock);
    writeFileSync(`${on.path}.lock`, left);
    writeFileSync(leftover, 'half a sta');
    const file = await on.open();
    assert.ok(!existsSync(leftover));
    await file.close();
  }
});

test('state file: one whose file was taken over writes no more, and says so once', async t => {
  const on = stage(t);
  const { file, topology, failures } = await following(on);
  await until('the first state on disk', () => existsSync(on.path));
  const lock = readFileSync(`${on.path}.lock`, 'utf8');
  const taken = lock.replace(/"owner":"[^"]+"/, '"owner":"another"');
  writeFileSync(`${on.path}.lock`, taken);
  writeFileSync(on.path, 'of the other');
  topology.setAdmin('app', 'pg1', 'drain');
  await until('it to be noticed', () => failures.count === 1);
  topology.setAdmin('app', 'pg1', 'ready');
  await file.close();
  assert.equal(readFileSync(on.path, 'utf8'), 'of the other');
  assert.equal(readFileSync(`${on.path}.lock`, 'utf8'), taken, 'the lock is the other’s');
  assert.equal(on.lines.filter(line => line.startsWith('error: another Pointsman writes')).length, 1);
});

test('state file: writes that fail are counted, told once, tried again, and told when they are over', async t => {
  const on = stage(t);
  const { file, topology, failures } = await following(on);
  await until('the first state on disk', () => existsSync(on.path));
  const away = `${on.directory}-away`;
  renameSync(on.directory, away);
  t.after(() => rmSync(away, { recursive: true, force: true }));
  topology.setAdmin('app', 'pg1', 'drain');
  await until('the first failure', () => failures.count === 1);
  await until('a second try', async () => {
    await on.clock.advance(5000);
    return failures.count >= 2;
  });
  renameSync(away, on.directory);
  await until('it to be written again', async () => {
    await on.clock.advance(5000);
    return contentOf(on)?.servers.get('pg1')?.admin === 'drain';
  });
  await file.close();
  const told = on.lines.filter(line => line.includes('the state file'));
  assert.equal(told.length, 2, told.join('\n'));
  assert.match(told[0] ?? '', /^warn: the state file cannot be written: .*traffic is not affected$/);
  assert.equal(told[1], 'info: the state file is written again');
});

test('state file: what goes on from before is told at the start', async t => {
  const on = stage(t);
  const { file, topology } = await following(on);
  topology.report('app', 'pg1', up, pass());
  topology.report('app', 'pg2', up, passReplica());
  topology.setAdmin('app', 'pg2', 'drain');
  await file.close();
  const text = readFileSync(on.path, 'utf8');
  writeFileSync(
    on.path,
    text.replace('"backends": {', `"backends": {"old": ${JSON.stringify(JSON.parse(text).backends.app)},`),
  );
  await following(on);
  assert.deepEqual(on.lines, [
    'info: pg1 was the primary before the restart: it is followed once it says so itself',
    'info: pg2 is in drain, as before the restart',
    'info: no backend any more: what was saved of it is forgotten',
  ]);
});

test('state file: what another Pointsman is about to write beside it is not taken for a leftover', async t => {
  const on = stage(t);
  const token = '00000000-0000-4000-8000-000000000000';
  const theirs = [`state.json.b.${token}.tmp`, `state.json.b.lock.${token}.tmp`, `state.json.${token}.tmp.b`];
  const ours = [`state.json.${token}.tmp`, `state.json.lock.${token}.tmp`];
  for (const name of [...theirs, ...ours]) writeFileSync(join(on.directory, name), '');
  await on.open();
  for (const name of theirs) assert.ok(on.entries().includes(name), name);
  for (const name of ours) assert.ok(!on.entries().includes(name), name);
});

test('state file: through a directory that is a link it is the same file, and the same lock', async t => {
  const on = stage(t);
  const real = join(on.directory, 'real');
  mkdirSync(real);
  symlinkSync(real, join(on.directory, 'link'));
  await on.open(join(on.directory, 'link', 'state.json'));
  const other = join(real, 'state.json');
  assert.deepEqual(readdirSync(real), ['state.json.lock']);
  const own = JSON.parse(readFileSync(`${other}.lock`, 'utf8')) as { process: { pid: number } };
  assert.equal(own.process.pid, process.pid);
  await assert.rejects(on.open(other), refusedWith('STATE_FILE_IN_USE', /another Pointsman uses it/));
});

test('state file: a lock of a process id that another program has by now blocks nobody', async t => {
  const on = stage(t);
  const first = await on.open();
  const lock = JSON.parse(readFileSync(`${on.path}.lock`, 'utf8')) as { process: object };
  await first.close();
  writeFileSync(`${on.path}.lock`, JSON.stringify({ ...lock, process: { ...lock.process, startedAt: '1' } }));
  const second = await on.open();
  assert.equal(second.saved.size, 0);
});

test('state file: a change in the very turn in which it is closed is in it', async t => {
  const on = stage(t);
  const { file, topology } = await following(on);
  topology.report('app', 'pg1', up, pass());
  topology.report('app', 'pg2', up, passReplica());
  await until('a first write', () => existsSync(on.path));
  topology.setAdmin('app', 'pg2', 'maintenance');
  const closed = file.close();
  topology.setAdmin('app', 'pg1', 'drain');
  await closed;
  assert.equal(contentOf(on)?.servers.get('pg2')?.admin, 'maintenance');
  assert.equal(contentOf(on)?.servers.get('pg1')?.admin, 'drain', 'written while the last write was awaited');
  assert.deepEqual(on.entries(), ['state.json']);
});

for (const target of ['absolute', 'relative']) {
  test(`state file: a link that leads to nothing yet stays a link at the first start, too (${target})`, async t => {
    const on = stage(t);
    const real = join(on.directory, 'real');
    mkdirSync(real);
    symlinkSync(target === 'absolute' ? join(real, 'state.json') : 'real/state.json', on.path);
    const { file } = await following(on);
    await file.close();
    assert.ok(lstatSync(on.path).isSymbolicLink());
    assert.deepEqual(readdirSync(real), ['state.json']);
  });
}

test('state file: a link into a directory that is not there is refused, with the directory', async t => {
  const on = stage(t);
  symlinkSync(join(on.directory, 'gone', 'state.json'), on.path);
  await assert.rejects(
    on.open(),
    refusedWith('STATE_FILE_UNUSABLE', /the directory .*\/gone does not exist/),
  );
});
