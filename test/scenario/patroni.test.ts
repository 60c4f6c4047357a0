// System 002 under Patroni and etcd: a real cluster behind two Pointsmen, for which Patroni is the second signal. Whatever
// is done to it, applications work on through the same ports. Writes are synchronous, so none that was acknowledged is lost.

import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { pace } from '../support/pace.ts';
import { type PatroniNode } from '../support/patroni-node.ts';
import { known, startStage, whileWorking, WRITERS, type Seen, type Stage } from '../support/patroni-stage.ts';
import { sleep, until } from '../support/wait.ts';

/** The figure itself is for bench; machines that run tests are slow. Never going on is what this is to catch. */
const GENEROUS_OVERHEAD_MS = 8000 * pace;
/** Longer than the lock's ttl (9 s). */
const ETCD_AWAY_MS = 10_000;

/** What holds whatever happened: only connections to a server that died were broken, and each once. */
function assertUnharmed(seen: Seen, { broken }: { broken: number }): void {
  assert.equal(seen.lost, 0, 'no acknowledged write is missing');
  assert.equal(seen.readOnlyAnswers, 0, 'no statement through the primary port answers 25006');
  assert.ok(
    seen.broken.length <= broken,
    `${seen.broken.length} broken: ${JSON.stringify(seen.broken.slice(0, 20))}`,
  );
  assert.deepEqual(seen.refused, [], 'no writer is refused');
  assert.ok(seen.refusedByTheDying.length <= broken, JSON.stringify(seen.refusedByTheDying));
  assert.deepEqual(seen.newcomerErrors, [], 'who connects has only to wait');
  assert.deepEqual(seen.readerErrors, []);
  assert.equal(seen.hung, 0);
  const wrong = seen.newcomersReached.filter(where => !where.endsWith('primary'));
  assert.deepEqual(wrong, [], 'nobody reaches a replica through the primary port');
}

function assertSoon(t: TestContext, what: string, seen: Seen): void {
  const shown = seen.overheadsMs.map(ms => ms.toFixed(0)).join(' and ');
  t.diagnostic(
    `${what}: ${shown} ms from the new primary to a write, gap ${seen.longestGapMs.toFixed(0)} ms, ${seen.acknowledged} writes`,
  );
  assert.equal(seen.overheadsMs.length, 2);
  for (const ms of seen.overheadsMs) assert.ok(ms < GENEROUS_OVERHEAD_MS, `${ms} ms`);
}

/** Newcomers for a while: the old primary is back, and gets readers only. */
async function assertReadsOnly(stage: Stage, returned: PatroniNode, leader: PatroniNode): Promise<void> {
  await known(stage, leader);
  const seen = await whileWorking(stage, scene => {
    scene.faultDone();
    return scene.everybodyWrites();
  });
  assertUnharmed(seen, { broken: 0 });
  assert.deepEqual(seen.newcomersReached, [`${leader.port} primary`]);
  assert.deepEqual(seen.readersReached, [`${returned.port} replica`]);
}

const epochs = (stage: Stage): Promise<readonly (number | undefined)[]> =>
  Promise.all(stage.both.map(async run => (await run.state()).backends[0]?.epoch));

/** What each has logged last of who the orchestrator names. */
const everyLastWord = (stage: Stage, words: RegExp): boolean =>
  stage.both.every(run => {
    const lines = run.log().map(({ msg }) => String(msg));
    return words.test(lines.filter(line => /^(Patroni names|no word from Patroni$)/.test(line)).at(-1) ?? '');
  });

describe('a cluster of Patroni and etcd', () => {
  let stage: Stage;
  before(async () => {
    stage = await startStage();
  });
  after(() => stage.dispose());

  test('patroni: the primary is killed with its Patroni, and returns for reads only', async t => {
    const { cluster } = stage;
    const { leader, others } = await cluster.settled();
    const [heir] = others as [PatroniNode];
    const seen = await whileWorking(stage, async scene => {
      const writable = scene.willWrite(heir);
      await leader.kill();
      await scene.givenUp();
      await writable;
      await scene.everybodyWrites();
      scene.returning();
      await leader.start();
      await cluster.settled();
    });
    assertUnharmed(seen, { broken: 2 * WRITERS });
    assertSoon(t, 'kill', seen);
    await assertReadsOnly(stage, leader, heir);
  });

  test('patroni: a switchover breaks the sessions of the old primary and nothing else', async t => {
    const { cluster } = stage;
    const { leader, others } = await cluster.settled();
    const [heir] = others as [PatroniNode];
    const seen = await whileWorking(stage, async scene => {
      const writable = scene.willWrite(heir);
      const done = cluster.switchover(leader, heir);
      await scene.givenUp();
      await writable;
      scene.returning();
      await done;
      await cluster.settled();
    });
    assertUnharmed(seen, { broken: 2 * WRITERS });
    assertSoon(t, 'switchover', seen);
    await known(stage, heir);
  });

  test('patroni: while etcd is away nothing changes', async () => {
    const { cluster } = stage;
    const { leader } = await cluster.settled();
    const before = await epochs(stage);
    const seen = await whileWorking(stage, async scene => {
      scene.faultDone();
      await cluster.stopEtcd();
      await until('both to be without Patroni’s word', () => everyLastWord(stage, /^no word from Patroni$/));
      await sleep(ETCD_AWAY_MS);
      await scene.everybodyWrites();
      await cluster.startEtcd();
      await until('Patroni to be heard again', () =>
        everyLastWord(stage, new RegExp(`^Patroni names ${leader.name} `)),
      );
    });
    assertUnharmed(seen, { broken: 0 });
    assert.deepEqual(await epochs(stage), before);
  });

  test('patroni: the primary is frozen, and when it thaws gets nobody', async t => {
    const { cluster } = stage;
    const { leader, others } = await cluster.settled();
    const [heir] = others as [PatroniNode];
    const seen = await whileWorking(stage, async scene => {
      const writable = scene.willWrite(heir);
      leader.freeze();
      await scene.givenUp();
      await writable;
      await scene.everybodyWrites();
      scene.returning();
      leader.thaw();
      await scene.everybodyWrites();
    });
    assertUnharmed(seen, { broken: 2 * WRITERS });
    assertSoon(t, 'freeze', seen);
    await cluster.settled();
    await assertReadsOnly(stage, leader, heir);
  });

  test('patroni: in a pause a primary goes on without its Patroni; dead, nobody takes its place, and clients wait until it is over', async t => {
    const { cluster } = stage;
    const { leader, others } = await cluster.settled();
    const [heir] = others as [PatroniNode];
    await cluster.pause(true);
    await until('both to hear of the pause', () => everyLastWord(stage, /, and is paused$/));
    const before = await epochs(stage);
    const seen = await whileWorking(stage, async scene => {
      await leader.killPatroni();
      await until('the lock to run out', () => everyLastWord(stage, /^Patroni names nobody, and is paused$/));
      await scene.everybodyWrites();
      assert.deepEqual(await epochs(stage), before);
      const writable = scene.willWrite(heir);
      await leader.kill();
      await scene.givenUp();
      const written = scene.acknowledged();
      await until('clients to wait', async () =>
        (await Promise.all(stage.both.map(run => run.state()))).every(
          ({ backends, frontends }) =>
            backends[0]?.primary === null &&
            (frontends.find(({ name }) => name === 'rw')?.held ?? 0) > WRITERS,
        ),
      );
      assert.equal(scene.acknowledged(), written, 'nothing is written meanwhile');
      await cluster.pause(false);
      await writable;
      await scene.everybodyWrites();
      scene.returning();
      await leader.start();
      await cluster.settled();
    });
    assertUnharmed(seen, { broken: 2 * WRITERS });
    assertSoon(t, 'resume', seen);
    await known(stage, heir);
  });
});
