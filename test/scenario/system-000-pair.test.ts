// System 000, its databases: MariaDB master-master with GTID behind one port. A server is killed, frozen, returns, flaps,
// under writers that keep their connections and writers that renew them.

import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { pace } from '../support/pace.ts';
import { type PointsmanProcess } from '../support/pointsman.ts';
import {
  acknowledgeOnlyReceived,
  assertSameRows,
  backendOf,
  longestGap,
  mendAll,
  missingOn,
  overlaps,
  pointsmanFor,
  startMasterPair,
  startWriters,
  stopWriters,
  type MasterPair,
  type Writer,
} from '../support/system-000.ts';
import { sleep, until } from '../support/wait.ts';

const WRITERS = 4;
const INTERVAL_MS = 500;
const TIMEOUT_MS = 300;
const FALL = 2;
/** Timed assertions are generous here: quiet, a kill costs tens of milliseconds. */
const GENEROUS_KILL_GAP_MS = 1000 * pace;
const GENEROUS_SLACK_MS = 700 * pace;
/** As a pool does, but more often: in a test, two seconds are long. */
const RENEW_MS = 300;

describe('master-master behind one port', () => {
  let pair: MasterPair;
  let pointsman: PointsmanProcess;
  let writers: readonly Writer[] = [];
  let firstId = 1;

  before(async () => {
    pair = await startMasterPair();
    pointsman = await pointsmanFor(pair, {
      interval: `${INTERVAL_MS}ms`,
      timeout: `${TIMEOUT_MS}ms`,
      fall: FALL,
    });
  });
  after(async () => {
    await stopWriters(writers);
    await pointsman?.stop();
    await pair?.dispose();
  });

  async function write(): Promise<void> {
    writers = startWriters(pointsman.frontend('db'), WRITERS, firstId, RENEW_MS);
    firstId += WRITERS;
    await until('every writer to write', () => writers.every(({ acknowledged }) => acknowledged.length > 20));
    await sleep(1200);
  }

  const primary = async (): Promise<string | null> => (await backendOf(pointsman)).primary;

  async function backTo(t: TestContext, name: string, node: number): Promise<void> {
    const mended = await mendAll(pair, pointsman);
    t.diagnostic(`mended: ${mended.join(', ') || 'nothing was broken'}`);
    await until(`${name} to have everything`, async () => {
      const backend = await backendOf(pointsman);
      return backend.servers.find(server => server.name === name)?.missing_transactions === 0;
    });
    assert.ok(pair.node(node).running);
  }

  test('kill: the other takes writes soon, no acknowledged row is missing there, never both at once', async t => {
    await acknowledgeOnlyReceived(pair.db1, true);
    await write();
    const at = performance.now();
    await pair.db1.kill();
    await until('db2 to be the primary', async () => (await primary()) === 'db2');
    await sleep(1000);
    const end = performance.now();
    await stopWriters(writers);
    const gap = longestGap(writers, at, end);
    t.diagnostic(`gap after the kill: ${gap.toFixed(0)} ms`);
    assert.ok(gap < GENEROUS_KILL_GAP_MS, `gap of ${gap} ms`);
    assert.deepEqual(await missingOn(pair.db2, writers), []);
    // Rows of db1 that db2 never got don't matter here: nobody was told of them.
    assert.deepEqual(await overlaps([pair.db2], writers, [1, 2]), []);
  });

  test('rejoin: the returned server gets nothing while it lacks what the other has, nor afterwards', async t => {
    await write();
    // With a row that db2 never got, as a killed server may have: db2 has written since, and the two have gone apart.
    await pair.db1.start('login', { 'skip-slave-start': true });
    await pair.db1.sql('insert into app.ledger values (0, 1, @@server_id, now(6))');
    await pair.db1.sql('start slave');
    await until('db1 to be up', async () => (await backendOf(pointsman)).servers[0]?.health === 'up');
    await sleep(3 * RENEW_MS);
    assert.equal(await primary(), 'db2');
    await stopWriters(writers);
    await backTo(t, 'db1', 1);
    assert.deepEqual(await overlaps([pair.db1, pair.db2], writers, [2]), []);
    await assertSameRows(pair);
    assert.equal((await pair.db2.sql('select * from app.ledger where writer = 0')).length, 1);
  });

  test('flapping: nobody notices a server that comes and goes five times', async t => {
    await write();
    const at = performance.now();
    for (let round = 0; round < 5; round += 1) {
      await pair.db1.kill();
      await pair.db1.start();
      await until('db1 to be up', async () => (await backendOf(pointsman)).servers[0]?.health === 'up');
    }
    const end = performance.now();
    await stopWriters(writers);
    t.diagnostic(`longest gap while db1 flapped: ${longestGap(writers, at, end).toFixed(0)} ms`);
    assert.deepEqual(
      writers.flatMap(({ errors }) => errors),
      [],
    );
    assert.deepEqual(await overlaps([pair.db1, pair.db2], writers, [2]), []);
    await backTo(t, 'db1', 1);
    await assertSameRows(pair);
  });

  test('freeze: the other takes over within timeout × fall and a tick; thawed, it gets nothing', async t => {
    await acknowledgeOnlyReceived(pair.db2, true);
    await write();
    const at = performance.now();
    pair.db2.freeze();
    await until('db1 to be the primary', async () => (await primary()) === 'db1');
    await sleep(1000);
    const end = performance.now();
    pair.db2.thaw();
    await until('db2 to be up', async () => (await backendOf(pointsman)).servers[1]?.health === 'up');
    await sleep(1000);
    await stopWriters(writers);
    const gap = longestGap(writers, at, end);
    t.diagnostic(`gap after the freeze: ${gap.toFixed(0)} ms`);
    assert.ok(gap < TIMEOUT_MS * FALL + INTERVAL_MS * 1.1 + GENEROUS_SLACK_MS, `gap of ${gap} ms`);
    assert.deepEqual(await missingOn(pair.db1, writers), []);
    assert.deepEqual(await overlaps([pair.db1, pair.db2], writers, [2, 1]), []);
    await backTo(t, 'db2', 2);
    assert.equal(await primary(), 'db1');
    await assertSameRows(pair);
  });
});
