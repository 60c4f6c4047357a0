// System 001 on real servers: an active machine and a cold standby, with the configuration of examples/cold-standby.yaml. The active
// one is lost: the standby serves production rows of the newest fit backup, never its seeds; what is written meanwhile is on the
// active one after the failback. Pointsman is killed at every step that does something, and started again as a service manager does.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { System001, TOKEN } from '../support/system-001.ts';
import { until } from '../support/wait.ts';

const LOG_LINES_SHOWN = 30;
const FAILED_STARTS_MAX = 3;

let system: System001;
let pointsman: PointsmanProcess;
let restarts = 0;
let isOver = false;

before(async () => {
  system = await System001.start();
  await startPointsman();
  await primaryIs('vcl2');
});

after(async () => {
  isOver = true;
  await pointsman?.stop();
  await system?.dispose();
});

/** As a service manager: whatever ends it, it is started again. It may be killed before it says that it runs. */
async function startPointsman(failures = 0): Promise<void> {
  const again = (failed: number): Promise<void> | undefined => {
    if (isOver) return;
    restarts += 1;
    return startPointsman(failed);
  };
  try {
    pointsman = await runPointsman(system.config);
  } catch (thrown) {
    if (failures === FAILED_STARTS_MAX) throw thrown;
    return again(failures + 1);
  }
  void pointsman.exited.then(() => again(0));
}

/** `null` while Pointsman is being started again. */
async function coffee() {
  const state = await pointsman.state().catch(() => null);
  return state?.backends.find(({ name }) => name === 'coffee') ?? null;
}

async function primaryIs(name: string): Promise<void> {
  await seen(`${name} to be the primary`, async () => (await coffee())?.primary === name);
}

async function bookIsOver(book: string): Promise<void> {
  await seen(`${book} to be done`, async () => {
    const runbook = (await coffee())?.runbook ?? null;
    assert.ok(
      runbook?.run?.status !== 'stopped' && runbook?.run?.status !== 'asking',
      JSON.stringify(runbook?.run),
    );
    return runbook?.run === null && runbook.last?.book === book && runbook.last.outcome === 'done';
  });
}

/** A failure tells what Pointsman was about. */
async function seen(what: string, isSo: () => Promise<boolean>): Promise<void> {
  await until(what, isSo, { deadlineMs: 120_000, everyMs: 50 }).catch(async (thrown: unknown) => {
    const log = pointsman.log().slice(-LOG_LINES_SHOWN);
    const told = [await coffee(), ...log].map(part => JSON.stringify(part)).join('\n');
    throw new Error(`${String(thrown)}\n${told}`, { cause: thrown });
  });
}

async function failback(): Promise<void> {
  const response = await fetch(`${pointsman.admin}/api/v1/backends/coffee/failback`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, connection: 'close' },
  });
  assert.equal(response.status, 202, await response.text());
  await bookIsOver('failback');
  await primaryIs('vcl2');
}

async function vcl2IsUp(): Promise<void> {
  const isUp = async (): Promise<boolean> =>
    (await coffee())?.servers.find(({ name }) => name === 'vcl2')?.health === 'up';
  await until('vcl2 to be up', isUp);
}

describe('system 001', () => {
  test('the active machine serves, nothing runs on the standby, and a backup is made without anybody asking', async () => {
    await system.drink('production 1');
    assert.deepEqual(await system.menu(), ['production 1']);
    await system.backupsMade(1);
    assert.equal(system.isStandbyRunning(), false);
  });

  test('the active machine is lost and the newest backup is corrupt: the one before is served, never seeds, and that is said', async () => {
    const [first = ''] = await system.backupsMade(1);
    await system.drink('production 2, after the backup');
    const newest = await system.backupNow();
    system.corrupt(newest);
    await system.killActive();
    await primaryIs('vcl3');
    await bookIsOver('on_primary_lost');
    assert.deepEqual(await system.menu(), ['production 1']);
    const steps = (await coffee())?.runbook?.last?.steps ?? [];
    const { detail } =
      steps.find(({ step }) => step === 'restore') ?? assert.fail('there is no step restore');
    assert.match(
      detail,
      new RegExp(`restored ${first}, [\\dmin ]+ s old: what was written since is not in it`),
    );
    assert.match(detail, new RegExp(`${newest} has another content than its checksum`));
  });

  test('failback: what was written on the standby is on the active machine, what only that had is put aside, and the standby stops', async () => {
    await system.drink('written during the failover');
    await system.returnActive();
    await vcl2IsUp();
    assert.equal((await coffee())?.primary, 'vcl3', 'nobody goes back by himself');
    await failback();
    const expected = ['production 1', 'written during the failover'];
    assert.deepEqual(await system.menu(), expected);
    assert.deepEqual(await system.namesAt(system.active), expected);
    const aside = (
      await system.ask(
        system.active,
        "select datname from pg_database where datname like 'coffee_before%'",
        'postgres',
      )
    )[0];
    assert.deepEqual(await system.namesAt(system.active, String(aside?.['datname'])), [
      'production 1',
      'production 2, after the backup',
    ]);
    assert.equal(system.isStandbyRunning(), false);
  });

  test('Pointsman is killed at every step of the failover, before its work or after it: the end is the same', async () => {
    const before = await system.menu();
    await system.backupNow();
    restarts = 0;
    for (const [step, when] of [
      ['start-database', 'after'],
      ['restore', 'before'],
      ['restore', 'after'],
      ['start-app', 'before'],
    ] as const) {
      system.killPointsmanAt(step, when);
    }
    await system.killActive();
    await primaryIs('vcl3');
    await bookIsOver('on_primary_lost');
    assert.deepEqual(await system.menu(), before);
  });

  test('and at every step of the failback: the end is the same', async () => {
    const before = await system.menu();
    await system.drink('written during the second failover');
    for (const [step, when] of [
      ['dump-standby', 'after'],
      ['copy-back', 'before'],
      ['copy-back', 'after'],
      ['stop-app', 'before'],
      ['stop-database', 'after'],
    ] as const) {
      system.killPointsmanAt(step, when);
    }
    await system.returnActive();
    await vcl2IsUp();
    await failback();
    const expected = [...before, 'written during the second failover'];
    assert.deepEqual(await system.menu(), expected);
    assert.deepEqual(await system.namesAt(system.active), expected);
    await until('the standby to be stopped', () => !system.isStandbyRunning());
    assert.deepEqual(system.killsLeft(), []);
    assert.equal(restarts, 9);
  });
});
