// The main job, on real servers: applications on one port survive the death of their PostgreSQL primary.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client } from 'pg';
import { debianBinaries, embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { performFailover, type FailoverOutcome } from '../support/failover.ts';
import { Newcomers, startPair, startWriters, type Pair } from '../support/pair.ts';
import { pace } from '../support/pace.ts';
import { sleep, until } from '../support/wait.ts';

const WRITERS = 8;
/** Timed assertions are generous here; bench/failover reports the figures. */
const GENEROUS_NOTICE_MS = 1500 * pace;
const GENEROUS_OVERHEAD_MS = 5000 * pace;
const CHECK_TIMEOUT_MS = Math.round(1000 * pace);
const FALL = 2;

function assertNobodyElseSuffered(outcome: FailoverOutcome): void {
  assert.equal(outcome.readOnlyAnswers, 0, 'no statement through the primary port answers 25006');
  assert.equal(outcome.refusedConnections, 0, 'no writer is refused');
  assert.equal(outcome.lost, 0, 'no acknowledged write is missing');
  assert.ok(
    outcome.brokenConnections <= WRITERS,
    `${outcome.brokenConnections} broken connections of ${WRITERS} writers`,
  );
}

describe('kill -9 of the primary (PostgreSQL 18)', () => {
  let pair: Pair;
  let outcome: FailoverOutcome;
  before(async () => {
    pair = await startPair(embeddedBinaries());
    outcome = await performFailover(pair, {
      how: 'kill',
      writers: WRITERS,
      warmUpMs: 500,
      promoteAfterMs: 700,
      afterDetection: false,
    });
  });
  after(() => pair.dispose());

  test('kill: it is noticed at once, by the lost session', () => {
    assert.ok(outcome.givenUpMs < GENEROUS_NOTICE_MS, `given up after ${outcome.givenUpMs} ms`);
    assert.ok(
      ['L4LOST', 'L4CON'].includes(outcome.incident.first_sign.code),
      outcome.incident.first_sign.code,
    );
  });

  test('kill: only the connections on the dying primary break, nobody is refused, nothing is lost', () => {
    assertNobodyElseSuffered(outcome);
    assert.deepEqual(outcome.newcomerErrors, [], 'who connects during the outage waits and is served');
    assert.ok(outcome.newcomersServed >= 3);
  });

  test('kill: writes go on soon after the new primary takes them', () => {
    assert.ok(outcome.overheadMs < GENEROUS_OVERHEAD_MS, `overhead ${outcome.overheadMs} ms`);
  });

  test('kill: the incident tells the story', () => {
    const { incident } = outcome;
    assert.deepEqual(
      [incident.old_primary, incident.new_primary, incident.outcome],
      ['pg1', 'pg2', 'failover'],
    );
    assert.ok(incident.clients_held.count > 0 && incident.clients_held.served > 0);
    assert.equal(incident.evidence.find(({ server }) => server === 'pg2')?.timeline, 2);
    assert.ok(incident.events.some(({ text }) => text.includes('without a primary')));
    assert.match(
      incident.loss?.words ?? '',
      /^none: synchronous: pg1 answered no commit before pg2 had it \(synchronous_standby_names = pg2;/,
    );
  });

  test('return: the old primary comes back writable on its old timeline; nobody reaches it and split brain is reported', async () => {
    const { pg1, pg2, pointsman, target } = pair;
    const writers = startWriters(target(), 2);
    const newcomers = new Newcomers(target());
    await pg1.start();
    const state = await until('split brain to be reported', async () => {
      const [backend] = (await pointsman.state()).backends;
      return backend?.split_brain === true && backend;
    });
    assert.equal(state.primary, 'pg2');
    assert.match(state.reasons.join('; '), /pg1 is refused: it is writable on the old timeline 1/);
    assert.match(await pointsman.metrics(), /pointsman_backend_split_brain\{backend="app"\} 1/);
    await sleep(1000);
    await newcomers.stop();
    await Promise.all(writers.map(writer => writer.stop()));
    assert.deepEqual([...newcomers.reached], [`${pg2.port} primary`]);
    assert.deepEqual(newcomers.errors, []);
    assert.deepEqual(
      writers.flatMap(writer => writer.errors),
      [],
    );
    const reached = await pg1.query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'pointsman' AND pid <> pg_backend_pid()`,
    );
    assert.equal(reached[0]?.['n'], 0);
  });
});

describe('the primary frozen (PostgreSQL 15)', () => {
  let pair: Pair;
  before(async () => {
    const check = { timeout: `${CHECK_TIMEOUT_MS}ms`, fall: FALL };
    pair = await startPair(debianBinaries(), { check });
  });
  after(() => pair.dispose());

  test('freeze: its sessions are closed within timeout × fall and a tick, and newcomers go to the promoted one', async () => {
    const outcome = await performFailover(pair, {
      how: 'freeze',
      writers: WRITERS,
      warmUpMs: 500,
      promoteAfterMs: 0,
      afterDetection: true,
    });
    const tick = 1100 + 50;
    const slack = 500 * pace;
    assert.ok(
      outcome.givenUpMs < CHECK_TIMEOUT_MS * FALL + tick + slack,
      `given up after ${outcome.givenUpMs} ms`,
    );
    assert.ok(
      outcome.incident.sessions_closed >= WRITERS,
      `${outcome.incident.sessions_closed} sessions closed`,
    );
    assertNobodyElseSuffered(outcome);
    assert.ok(outcome.overheadMs < GENEROUS_OVERHEAD_MS, `overhead ${outcome.overheadMs} ms`);
  });

  test('thaw: the old primary takes nothing that was sent to it while frozen, and gets nobody', async () => {
    const { pg1, pg2, pointsman, target } = pair;
    const before = await pg2.query('SELECT count(*)::int AS n FROM ledger');
    pg1.thaw();
    await until(
      'split brain to be reported',
      async () => (await pointsman.state()).backends[0]?.split_brain === true,
    );
    const client = new Client(target());
    await client.connect();
    const { rows } = await client.query<{ port: number }>('SELECT inet_server_port() AS port');
    await client.end();
    assert.equal(rows[0]?.port, pg2.port);
    const after = await pg2.query('SELECT count(*)::int AS n FROM ledger');
    assert.deepEqual(after, before);
  });
});
