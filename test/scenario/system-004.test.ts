// System 004 on real servers, with the SQL and the configuration of examples/system-004: Main, its deputy A, the copy B, one port.
// The runbook fences Main and promotes A; failback brings all of it back. The four failure cases, and 0 rows missing anywhere.
// The application knows one address and has no failover code.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type MariadbNode } from '../support/mariadb.ts';
import {
  applicationsAt,
  firstWriteAfter,
  tellErrors,
  turns,
  type MysqlWriter,
} from '../support/mysql-writer.ts';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import {
  configOf,
  sharedId,
  startSystem004,
  startTitleWriter,
  titleId,
  titlesOf,
  TOKEN,
  type System004,
} from '../support/system-004.ts';
import { until } from '../support/wait.ts';

const WRITERS = 3;
const MAIN = 1;
const A = 2;
/** `signal sqlstate '45000'`. */
const REFUSED = 1644;
const insert = "call app.distributed_insert('direct', 'x', 1, 1, 1, 1)";

let directory: string;
let system: System004;
let pointsman: PointsmanProcess;
const writers: MysqlWriter[] = [];

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pointsman-004-'));
  system = await startSystem004();
  pointsman = await runPointsman(configOf(system, join(directory, 'state.json')));
  await primaryIs('main');
  for (let writer = 1; writer <= WRITERS; writer += 1) {
    writers.push(startTitleWriter(pointsman.frontend('titles'), writer));
  }
});

after(async () => {
  await Promise.all(writers.map(writer => writer.stop()));
  await pointsman?.stop();
  await system?.dispose();
  rmSync(directory, { recursive: true, force: true });
});

async function backend() {
  const [view] = (await pointsman.state()).backends;
  assert.ok(view !== undefined);
  return view;
}

async function primaryIs(name: string): Promise<void> {
  await until(`${name} to be the primary`, async () => (await backend()).primary === name, {
    deadlineMs: 60_000,
  });
}

async function server(name: string) {
  const found = (await backend()).servers.find(one => one.name === name);
  assert.ok(found !== undefined);
  return found;
}

/** Resolves when each writer has had an answer there to something sent after `since`. */
async function allWriteOn(serverId: number, since = performance.now()): Promise<number> {
  await until(`all to write on ${serverId}`, () =>
    writers.every(writer => firstWriteAfter([writer], since, serverId) !== null),
  );
  return firstWriteAfter(writers, since, serverId)?.at ?? Infinity;
}

async function failback(): Promise<void> {
  const response = await fetch(`${pointsman.admin}/api/v1/backends/titles/failback`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, connection: 'close' },
  });
  assert.equal(response.status, 202, await response.text());
  await until('failback to be over', async () => {
    const { runbook } = await backend();
    assert.ok(runbook !== null);
    assert.ok(runbook.run === null || runbook.run.status === 'running', JSON.stringify(runbook.run));
    return runbook.run === null && runbook.last?.book === 'failback' && runbook.last.outcome === 'done';
  });
}

const acknowledged = () =>
  writers.flatMap((writer, i) =>
    writer.acknowledged.filter(({ seq }) => seq % 2 === 1).map(({ seq }) => titleId(i + 1, seq)),
  );

/** What a node lacks of the titles that were acknowledged when it was asked for. */
async function missingOn(
  node: MariadbNode,
  ids: readonly string[] = acknowledged(),
): Promise<readonly string[]> {
  const titles = await titlesOf(node);
  return ids.filter(id => !titles.has(id));
}

describe('system 004', () => {
  test('while all is well the port leads to Main; A is VICE and refuses writes', async () => {
    await allWriteOn(MAIN);
    assert.equal(await applicationsAt(system.main), WRITERS);
    assert.equal(await applicationsAt(system.a), 0);
    await assert.rejects(system.a.sql(insert), { errno: REFUSED });
    const [row] = (await system.a.sql<{ main: string }[]>('call app.check_main_health()'))[0] ?? [];
    assert.equal(row?.main, 'UP');
  });

  test('cases 1 and 3, Main is killed: after three failed checks the runbook asks A, fences, promotes; clients wait and go on at A', async t => {
    const since = performance.now();
    await system.main.kill();
    const firstAt = await allWriteOn(A, since);
    t.diagnostic(`first write at A ${Math.round(firstAt - since)} ms after Main was killed`);
    await primaryIs('a');
    const last = await until('the runbook to be over', async () => (await backend()).runbook?.last);
    assert.deepEqual(
      last.steps.map(({ step, ok }) => [step, ok]),
      ['a-sees-it-too', 'fence-main', 'promote-a'].map(step => [step, true]),
    );
    const told = writers.flatMap(({ errors }) => errors).filter(({ at }) => at >= since);
    // Who was on the dying server loses that connection; nobody who came later saw an error.
    assert.ok(told.length <= WRITERS && told.every(({ during }) => during === 'write'), tellErrors(told));
  });

  test('Main returns: it is fenced, takes no write even past the port, and gets nobody', async () => {
    await system.main.start();
    await until('Main to be up', async () => (await server('main')).health === 'up');
    await assert.rejects(system.main.sql(insert), { errno: REFUSED });
    await allWriteOn(A);
    assert.equal((await backend()).primary, 'a');
    assert.equal(await applicationsAt(system.main), 0);
  });

  test('case 2, failback: Main has all that A wrote before it is the primary again, with A’s updates, not its own older ones', async () => {
    await failback();
    await primaryIs('main');
    const before = acknowledged();
    await allWriteOn(MAIN);
    assert.deepEqual(await missingOn(system.main, before), []);
    assert.equal(await applicationsAt(system.a), 0);
    await assert.rejects(system.a.sql(insert), { errno: REFUSED });
  });

  test('case 4, B and then A are away while Main writes: each fetches by itself what it missed', async () => {
    for (const away of [system.b, system.a]) {
      await away.kill();
      await allWriteOn(MAIN);
      await away.start();
      const ids = acknowledged();
      await until(`${away.name} to have caught up`, async () => (await missingOn(away, ids)).length === 0);
    }
    await until('A to be seen', async () => (await server('a')).health === 'up');
  });

  test('Main is frozen, not dead: A takes over all the same, and a Main that thaws can not write', async t => {
    const since = performance.now();
    system.main.freeze();
    const firstAt = await allWriteOn(A, since);
    t.diagnostic(`first write at A ${Math.round(firstAt - since)} ms after Main was frozen`);
    system.main.thaw();
    await assert.rejects(system.main.sql(insert), { errno: REFUSED });
    await until('Main to be up', async () => (await server('main')).health === 'up');
    await allWriteOn(A);
    assert.equal(await applicationsAt(system.main), 0);
    await failback();
    await allWriteOn(MAIN);
  });

  test('servers took turns; 0 acknowledged rows are missing on Main, A and B, and the three are equal', async () => {
    await Promise.all(writers.map(writer => writer.stop()));
    assert.deepEqual(turns(writers), [MAIN, A, MAIN, A, MAIN]);
    const nodes = [system.main, system.a, system.b];
    const same = async (): Promise<boolean> => {
      const [main, ...others] = await Promise.all(nodes.map(titlesOf));
      return others.every(
        titles => JSON.stringify([...titles].sort()) === JSON.stringify([...(main ?? [])].sort()),
      );
    };
    await until('the three to be equal', same);
    for (const node of nodes) assert.deepEqual(await missingOn(node), [], `missing on ${node.name}`);
    const titles = await titlesOf(system.main);
    for (const [i, { acknowledged: all }] of writers.entries()) {
      const last = Math.max(...all.map(({ seq }) => seq).filter(seq => seq % 2 === 0));
      // The last one may have been done without an answer.
      assert.ok(Number(titles.get(sharedId(i + 1))) >= last, `an update of writer ${i + 1} was put back`);
    }
    assert.ok(!titles.has('direct'), 'what was refused is nowhere');
  });

  test('the story is on record: the incidents have the steps of the runbook and what they answered', async () => {
    const incidents = await pointsman.incidents();
    assert.ok(incidents.length >= 2);
    assert.match(JSON.stringify(incidents), /fence-main/);
    assert.match(JSON.stringify(incidents), /Main can not be reached/);
  });
});
