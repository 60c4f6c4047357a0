// System 004 on real servers: Main and its deputy A, tied by federated tables, behind one port that follows A's own word
// (VICE, ACTING_MASTER). The application knows one address and has no failover code.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createConnection } from 'mysql2/promise';
import { accounts } from '../support/mariadb.ts';
import {
  applicationsAt,
  firstWriteAfter,
  tellErrors,
  turns,
  type MysqlWriter,
} from '../support/mysql-writer.ts';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import {
  backendOf,
  startSystem004,
  startTitleWriter,
  titleId,
  titlesOf,
  type System004,
} from '../support/system-004.ts';
import { sleep, until } from '../support/wait.ts';

const WRITERS = 3;
const FAST_INTERVAL_MS = 50;
/** For a machine that does other things as well; the figures themselves are reported. */
const SLACK_MS = 400;
const MAIN = 1;
const A = 2;
/** `signal sqlstate '45000'`. */
const REFUSED_BY_A = 1644;

let system: System004;
let pointsman: PointsmanProcess;
const writers: MysqlWriter[] = [];

before(async () => {
  system = await startSystem004();
  pointsman = await runPointsman({
    frontends: { app: { bind: '127.0.0.1:0', backend: 'titles' } },
    backends: { titles: backendOf(system) },
  });
  await primaryIs('main');
  for (let writer = 1; writer <= WRITERS; writer += 1) {
    writers.push(startTitleWriter(pointsman.frontend('app'), writer));
  }
});

after(async () => {
  await Promise.all(writers.map(writer => writer.stop()));
  await pointsman?.stop();
  await system?.dispose();
});

async function backend() {
  const [view] = (await pointsman.state()).backends;
  assert.ok(view !== undefined);
  return view;
}

async function stateOf(name: 'main' | 'a') {
  const server = (await backend()).servers.find(server => server.name === name);
  assert.ok(server !== undefined);
  return server;
}

async function primaryIs(name: string | null): Promise<void> {
  await until(`${name ?? 'nobody'} to be the primary`, async () => (await backend()).primary === name);
}

async function held(): Promise<number> {
  return (await pointsman.state()).frontends[0]?.held ?? 0;
}

/** When the first write that was sent after `since` was acknowledged there; resolves when all writers have one. */
async function allWriteOn(serverId: number, since = performance.now()): Promise<number> {
  await until(`all to write on ${serverId}`, () =>
    writers.every(writer => firstWriteAfter([writer], since, serverId) !== null),
  );
  return firstWriteAfter(writers, since, serverId)?.at ?? Infinity;
}

const errorsSince = (since: number) =>
  writers.flatMap(({ errors }) => errors).filter(({ at }) => at >= since);

/** The words that a procedure answers with. */
async function call(node: System004['main'], procedure: string): Promise<string> {
  const [rows] = await node.sql<{ status: string }[]>(`call app.${procedure}()`);
  return rows?.[0]?.status ?? '';
}

describe('system 004', () => {
  test('while A is VICE, the port leads to Main, and A, which refuses writes, gets nobody', async () => {
    const { main, a } = system;
    await allWriteOn(MAIN);
    assert.equal(await applicationsAt(main), WRITERS);
    assert.equal(await applicationsAt(a), 0);
    assert.match(await call(a, 'check_main_health'), /Main is healthy/);
    await assert.rejects(a.sql("call app.distributed_insert('x', 'x', 1, 1, 1, 1)"), { errno: REFUSED_BY_A });
    const { role, writable } = await stateOf('a');
    assert.deepEqual([role, writable], ['replica', false]);
  });

  test('Main is killed and A is still VICE: nobody is refused, nobody is led to A, all wait', async () => {
    const { main, a } = system;
    const since = performance.now();
    await main.kill();
    await primaryIs(null);
    await until('all writers to wait', async () => (await held()) === WRITERS);
    await sleep(4 * FAST_INTERVAL_MS); // several probes of A, each of which must say no
    assert.equal(await held(), WRITERS);
    assert.equal(await applicationsAt(a), 0);
    const told = errorsSince(since);
    assert.ok(told.length <= WRITERS && told.every(({ during }) => during === 'write'), tellErrors(told));
  });

  test('check_main_health promotes A: the port follows within two fast intervals, and distributed_insert works through it', async t => {
    const { a } = system;
    const calledAt = performance.now();
    assert.match(await call(a, 'check_main_health'), /Promoting Node A to ACTING_MASTER/);
    const promotedAt = performance.now();
    const firstAt = await allWriteOn(A, calledAt);
    t.diagnostic(
      `first write ${Math.round(firstAt - promotedAt)} ms after the procedure that changes the role had returned (it took ${Math.round(promotedAt - calledAt)} ms)`,
    );
    assert.ok(firstAt - promotedAt < 2 * FAST_INTERVAL_MS + SLACK_MS, `${firstAt - promotedAt} ms`);
    const told = errorsSince(calledAt);
    assert.deepEqual(told, [], tellErrors(told));
    assert.doesNotMatch(
      (await backend()).reasons.join('; '),
      /lost/,
      'no tale of lost transactions: nothing replicates here',
    );
  });

  test('Main returns and takes writes while A is acting: the port stays at A, and no session reaches Main', async () => {
    const { main } = system;
    await main.start();
    await until('Main to be seen as writable', async () => (await stateOf('main')).writable);
    const since = performance.now();
    for (let newcomer = 0; newcomer < 10; newcomer += 1) {
      const client = await createConnection({
        ...pointsman.frontend('app'),
        ...accounts.app,
        database: 'app',
      });
      const [rows] = await client.query('select @@server_id as id');
      assert.deepEqual(rows, [{ id: A }]);
      await client.end();
    }
    await allWriteOn(A, since);
    assert.equal((await backend()).primary, 'a');
    assert.equal(await applicationsAt(main), 0);
    assert.equal((await stateOf('main')).sessions, 0);
  });

  test('the own SQL fails on A: its message is the state, who comes waits and is not led to Main; it clears', async () => {
    const { main, a } = system;
    await a.run('rename table app.node_config to app.node_config_away');
    await until('the state to say so', async () => {
      const { last_check: check } = await stateOf('a');
      return check?.code === 'L7STS' && /1146: Table 'app\.node_config' doesn't exist/.test(check.detail);
    });
    assert.equal((await stateOf('a')).writable, false);
    const newcomer = createConnection({ ...pointsman.frontend('app'), ...accounts.app, database: 'app' });
    await until('the newcomer to wait', async () => (await held()) === 1);
    await sleep(4 * FAST_INTERVAL_MS); // several probes of both, none of which may let it in
    assert.equal(await held(), 1);
    assert.equal(await applicationsAt(main), 0);

    await a.run('rename table app.node_config_away to app.node_config');
    const client = await newcomer;
    const [rows] = await client.query('select @@server_id as id');
    assert.deepEqual(rows, [{ id: A }]);
    await client.end();
    assert.equal((await stateOf('a')).last_check?.code, 'L7OK');
    await allWriteOn(A);
  });

  test('Main recovers and A is demoted: the port goes back to Main, and the sessions to A are closed', async t => {
    const { main, a } = system;
    assert.match(await call(main, 'recover_from_node_a'), /Replayed [1-9]\d* transactions/);
    const calledAt = performance.now();
    assert.match(await call(a, 'demote_to_vice'), /demoted back to VICE/);
    const demotedAt = performance.now();
    const firstAt = await allWriteOn(MAIN, calledAt);
    t.diagnostic(
      `first write ${Math.round(firstAt - demotedAt)} ms after the procedure that changes the role had returned (it took ${Math.round(demotedAt - calledAt)} ms)`,
    );
    assert.ok(firstAt - demotedAt < 2 * FAST_INTERVAL_MS + SLACK_MS, `${firstAt - demotedAt} ms`);
    assert.equal((await backend()).primary, 'main');
    assert.equal(await applicationsAt(a), 0);
    // What A took while Main recovered: the document's procedure, once more.
    await call(main, 'recover_from_node_a');

    const told = errorsSince(calledAt);
    t.diagnostic(`what the writers saw: ${tellErrors(told)}`);
    assert.ok(
      told.every(({ during, errno }) => during === 'write' && (errno === null || errno === REFUSED_BY_A)),
      tellErrors(told),
    );
  });

  test('servers took turns, and every acknowledged title is on Main, on A and on B', async () => {
    await Promise.all(writers.map(writer => writer.stop()));
    assert.deepEqual(turns(writers), [MAIN, A, MAIN]);
    const acknowledged = writers.flatMap(({ acknowledged }, i) =>
      acknowledged.map(({ seq }) => titleId(i + 1, seq)),
    );
    for (const node of [system.main, system.a, system.b]) {
      const titles = await titlesOf(node);
      assert.deepEqual(
        acknowledged.filter(id => !titles.has(id)),
        [],
        `missing on ${node.name}`,
      );
    }
  });
});
