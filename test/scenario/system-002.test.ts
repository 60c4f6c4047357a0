// System 002, whole: a real pg_auto_failover cluster behind Pointsman, one port for the primary and one for reads. The
// primary is killed, switched over and frozen while applications write and read; nothing is lost, and nobody but those on the
// dying primary notices more than a wait. Two Pointsmans stand in front of it at once: one has its servers learned from the
// monitor, the other has them configured.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { formatAddress } from '../../src/core/address.ts';
import { Newcomers } from '../support/pair.ts';
import { pace } from '../support/pace.ts';
import { PgafCluster, WATCHER } from '../support/pgaf-cluster.ts';
import { bringBack, oust, portsReached, Reader, type PgafFault } from '../support/pgaf-failover.ts';
import { type KeptPostgres } from '../support/pgaf-node.ts';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { Traffic, type FailoverFigures } from '../support/traffic.ts';
import { until } from '../support/wait.ts';

const WRITERS = 3;
const READERS = 2;
/** Generous here; bench/failover reports the figures. */
const OVERHEAD_MAX_MS = 8000 * pace;
const LOG_LINES_SHOWN = 60;

let cluster: PgafCluster;
let nextWriter = 1;

/** A Pointsman, and what is asked of it all the time. */
interface Front {
  readonly name: string;
  readonly pointsman: PointsmanProcess;
  readonly readers: readonly Reader[];
}
const fronts: Front[] = [];

async function startFront(name: string, servers: object): Promise<void> {
  const pointsman = await runPointsman({
    frontends: {
      // On a slow machine the monitor, patient too, may promote only after the default of 30 s.
      rw: { bind: '127.0.0.1:0', backend: 'app', route: 'primary', hold: '120s' },
      ro: { bind: '127.0.0.1:0', backend: 'app', route: 'replica-or-primary', balance: 'leastconn' },
    },
    backends: {
      app: {
        protocol: 'postgres',
        check: { user: 'postgres' },
        pg_auto_failover: { monitor: formatAddress(cluster.monitor.address), ...WATCHER },
        ...servers,
      },
    },
  });
  const readers = Array.from({ length: READERS }, () => new Reader(pointsman.frontend('ro')));
  fronts.push({ name, pointsman, readers });
}

/** Name that this Pointsman knows a node by. */
async function nameOf({ pointsman }: Front, node: KeptPostgres): Promise<string> {
  const [backend] = (await pointsman.state()).backends;
  const server = backend?.servers.find(({ address }) => address === formatAddress(node.address));
  return server?.name ?? assert.fail(`${node.name} is not among ${JSON.stringify(backend?.servers)}`);
}

async function follows(front: Front, primary: KeptPostgres): Promise<void> {
  const members = cluster.members.map(({ address }) => formatAddress(address));
  await until(`${front.name} to see every node as it is`, async () => {
    const [backend] = (await front.pointsman.state()).backends;
    if (backend === undefined || backend.primary !== (await nameOf(front, primary))) return false;
    const known = backend.servers.filter(({ address }) => members.includes(address));
    const replicas = known.filter(({ role, health }) => role === 'replica' && health === 'up');
    return replicas.length === members.length - 1;
  });
}

interface Outcome {
  readonly old: KeptPostgres;
  readonly present: KeptPostgres;
  readonly figures: readonly FailoverFigures[];
}

/** The primary is lost and comes back while everybody writes and reads, through both. */
async function failOver(how: PgafFault): Promise<Outcome> {
  const old = await cluster.settled(cluster.members.length);
  for (const front of fronts) await follows(front, old);
  const traffic: Traffic[] = [];
  const later: Newcomers[] = [];
  try {
    for (const { pointsman } of fronts) {
      const target = cluster.target(pointsman.frontend('rw'));
      traffic.push(await Traffic.start(target, { writers: WRITERS, first: nextWriter }));
      nextWriter += WRITERS;
    }
    const { fault, takeover, done } = await oust(cluster, old, how);
    await Promise.all(traffic.map(t => t.firstWriteAfter(fault, takeover)));
    // From now on, the return of the old one included, nobody is led to any other than the new one.
    later.push(...fronts.map(({ pointsman }) => new Newcomers(cluster.target(pointsman.frontend('rw')))));
    await done;
    await bringBack(cluster, old, how);
    for (const front of fronts) await follows(front, takeover.node);
    const figures: FailoverFigures[] = [];
    for (const t of traffic) {
      // Until it was found out, newcomers came to the old primary too: their sessions are of those that end with it.
      const doneAt = t.lastSessionEnd(fault) ?? fault.doneAt;
      figures.push(await t.end({ ...fault, doneAt }, takeover, sql => takeover.node.query(sql)));
    }
    for (const newcomers of later) {
      await newcomers.stop();
      assert.deepEqual([...newcomers.reached], [`${takeover.node.port} primary`]);
      assert.deepEqual(newcomers.errors, []);
    }
    return { old, present: takeover.node, figures };
  } catch (thrown) {
    traffic.forEach(t => t.abandon());
    for (const newcomers of later) void newcomers.stop();
    throw new Error(`${String(thrown)}\n${fronts.map(logOf).join('\n')}`, { cause: thrown });
  }
}

/** The end of what it logged, without the clients that just left. */
const logOf = ({ name, pointsman }: Front): string => {
  const lines = pointsman.log().filter(({ reason }) => reason !== 'client');
  return [`${name}:`, ...lines.slice(-LOG_LINES_SHOWN).map(line => JSON.stringify(line))].join('\n');
};

function assertOnlyTheDyingPrimarySuffered({ figures }: Outcome): void {
  for (const [index, seen] of figures.entries()) {
    const told = `${fronts[index]?.name}: ${JSON.stringify(seen)}`;
    assert.equal(seen.lost, 0, `no acknowledged write is missing (${told})`);
    assert.equal(seen.readOnlyAnswers, 0, `no statement on the primary port answers 25006 (${told})`);
    assert.equal(seen.refusedConnections, 0, `no writer is refused (${told})`);
    assert.ok(seen.brokenConnections <= WRITERS, `each writer loses one session at most (${told})`);
    assert.deepEqual(seen.newcomerErrors, [], `who connects in the outage waits and is served (${told})`);
    assert.equal(seen.newcomersHung, 0, told);
    assert.ok(seen.overheadMs < OVERHEAD_MAX_MS, `writes go on soon (${told})`);
  }
}

/** The newest incident of each tells of it: from whom to whom, and in the monitor's words why. */
async function assertTold({ old, present }: Outcome, why: RegExp): Promise<void> {
  for (const front of fronts) {
    const names = [await nameOf(front, old), await nameOf(front, present)];
    const incident = await until('the incident to be closed', async () =>
      (await front.pointsman.incidents()).find(
        ({ outcome, old_primary, new_primary }) =>
          outcome === 'failover' && old_primary === names[0] && new_primary === names[1],
      ),
    );
    const text = JSON.stringify(incident);
    assert.match(text, why, `${front.name} tells the story`);
    assert.ok(incident.clients_held.served > 0, text);
  }
}

async function assertReadsOnly(returned: KeptPostgres): Promise<void> {
  for (const { pointsman } of fronts) {
    await portsReached(pointsman.frontend('ro'), ports => ports.has(returned.port));
  }
}

describe('system 002: pg_auto_failover with three nodes', () => {
  before(async () => {
    cluster = await PgafCluster.start({ nodes: 3 });
    await startFront('learned', {});
    const servers = cluster.nodes.map(({ name, address }) => [name, formatAddress(address)]);
    await startFront('configured', { servers: Object.fromEntries(servers) as object });
  });
  after(async () => {
    try {
      await Promise.all(fronts.flatMap(({ readers }) => readers.map(reader => reader.stop())));
      await Promise.all(fronts.map(({ pointsman }) => pointsman.stop()));
    } finally {
      await cluster.dispose();
    }
  });

  test('the primary killed: nothing is lost, writers go on at the promoted node, the returned one takes reads only', async () => {
    const outcome = await failOver('kill');
    assertOnlyTheDyingPrimarySuffered(outcome);
    await assertTold(outcome, /is lost/);
    await assertReadsOnly(outcome.old);
  });

  test('a planned switchover: writers wait for the new primary, nobody is told that it is read-only', async () => {
    const outcome = await failOver('switchover');
    assertOnlyTheDyingPrimarySuffered(outcome);
    await assertTold(outcome, /pg_auto_failover monitor has/);
    await assertReadsOnly(outcome.old);
  });

  test('the primary frozen: the thawed one, writable for a moment, gets nobody', async () => {
    const outcome = await failOver('freeze');
    assertOnlyTheDyingPrimarySuffered(outcome);
    await assertTold(outcome, /is lost|pg_auto_failover monitor has/);
    await assertReadsOnly(outcome.old);
  });

  test('its postmaster killed: whoever is sooner, its pg_autoctl or the monitor, writes go on and nothing is lost', async () => {
    assertOnlyTheDyingPrimarySuffered(await failOver('crash'));
  });

  test('two nodes are left, and switched over: a reader’s session on the promoted standby lives on', async t => {
    const primary = await cluster.settled(3);
    const [third] = cluster.members.filter(node => node !== primary);
    assert.ok(third !== undefined);
    await cluster.drop(third);
    await cluster.settled(2);
    const standby = cluster.members.find(node => node !== primary) ?? assert.fail('no standby');
    const readers = fronts.flatMap(({ pointsman }) =>
      Array.from({ length: 2 * READERS }, () => new Reader(pointsman.frontend('ro'))),
    );
    t.after(() => Promise.all(readers.map(reader => reader.stop())));
    const isThere = ({ sessions }: Reader): boolean => sessions.at(-1)?.port === standby.port;
    await until(
      'a reader of each to be at the standby',
      () => readers.filter(isThere).length >= fronts.length,
    );
    const atStandby = readers.filter(isThere);
    const before = atStandby.map(({ answers, errors }) => ({ answers, errors: errors.length }));
    const outcome = await failOver('switchover');
    assertOnlyTheDyingPrimarySuffered(outcome);
    assert.equal(outcome.present, standby);
    for (const [index, { answers, errors }] of atStandby.entries()) {
      assert.equal(errors.length, before[index]?.errors, JSON.stringify(errors.at(-1)));
      assert.ok(answers > (before[index]?.answers ?? 0));
    }
  });

  test('the learned servers are those of the monitor: the dropped node is none of them any more', async () => {
    const [learned] = fronts;
    const members = cluster.members.map(({ address }) => formatAddress(address));
    await until('the dropped node to be gone', async () => {
      const [backend] = (await learned?.pointsman.state())?.backends ?? [];
      const known = backend?.servers.map(({ address }) => address) ?? [];
      return known.length === members.length && members.every(address => known.includes(address));
    });
  });
});
