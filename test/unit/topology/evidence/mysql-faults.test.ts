// What is said about broken replication, and when: as data.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ProbeResult, type ReplicationChannel } from '../../../../src/health/result.ts';
import { mysqlFaults } from '../../../../src/topology/evidence/mysql-faults.ts';
import { type MysqlMemory } from '../../../../src/topology/evidence/mysql.ts';
import { remember } from '../../../../src/topology/evidence/mysql-memory.ts';
import { describeChange } from '../../../../src/topology/describe.ts';
import { type Ballot } from '../../../../src/topology/evidence.ts';
import { type Fault, type ServerView } from '../../../../src/topology/model.ts';
import { brokenBy, channel, master } from '../../../support/mysql-views.ts';
import { backend, down, fail, FRESHNESS_MS, server, up } from '../../../support/views.ts';

const ORDER =
  'An attempt was made to binlog GTID 0-2-5 which would create an out-of-order sequence number with existing GTID 0-1-6, and gtid strict mode is enabled';
const DUPLICATE_ROW =
  "Could not execute Write_rows_v1 event on table app.t; Duplicate entry '500' for key 'PRIMARY', Error_code: 1062; handler error HA_ERR_FOUND_DUPP_KEY; the event's master log bin.000001, end_log_pos 7766";
const DUPLICATE_STATEMENT =
  "Error 'Duplicate entry '500' for key 'PRIMARY'' on query. Default database: 'app'. Query: 'insert into t values(500,'hunter2')'";
const PURGED =
  "Got fatal error 1236 from master when reading data from binary log: 'Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old and required binlog files have been purged.'";
const FOREIGN =
  "Got fatal error 1236 from master when reading data from binary log: 'Error: connecting slave requested to start from GTID 0-1-11, which is not in the master's binlog'";

const unreceived = (errno: number, message: string): Partial<ReplicationChannel> => ({
  receiving: 'connecting',
  receiveError: { errno, message },
});

const at = (result: ProbeResult, moment: number): ProbeResult => ({ ...result, at: moment, wallAt: moment });

/** The faults after each round of words; the same words twice are two results in a row. */
function faultsAfter(
  rounds: readonly (readonly ServerView[])[],
  given: Partial<Ballot<MysqlMemory>> = {},
): readonly Fault[] {
  let memory: MysqlMemory | null = null;
  let ballot: Ballot<MysqlMemory> | null = null;
  rounds.forEach((views, index) => {
    const now = (index + 1) * 100;
    const servers = views.map(view => stamped(view, now));
    ballot = {
      servers,
      current: 'db1',
      memory,
      policy: 'ordered',
      opinion: null,
      directive: null,
      settleMs: 0,
      now,
      freshnessMs: FRESHNESS_MS,
      ...given,
    };
    const first = servers[0];
    const facts = first?.lastAnswer?.facts;
    const chosen =
      first && facts && first.health.kind === 'up' ? { name: first.name, server: first, facts } : null;
    memory = remember(ballot, chosen);
    ballot = { ...ballot, memory };
  });
  return ballot === null ? [] : mysqlFaults(ballot);
}

function stamped(view: ServerView, now: number): ServerView {
  if (view.result === null || view.lastAnswer === null) return view;
  const result = at(view.result, now);
  return { ...view, result, lastAnswer: { ...view.lastAnswer, at: now, wallAt: now } };
}

const db = (name: string, gtids: string | null, follows: readonly ReplicationChannel[]): ServerView =>
  server(name, master(name, gtids, { follows }));
const well1 = (gtids = '0-1-100'): ServerView => db('db1', gtids, [channel('db2')]);
const well2 = (gtids = '0-1-100'): ServerView => db('db2', gtids, [channel('db1')]);

interface Case {
  readonly name: string;
  readonly servers: readonly ServerView[];
  /** In how many results in a row; 1 if left out. */
  readonly seen?: number;
  readonly faults: readonly {
    readonly server: string;
    readonly code: string;
    readonly what?: RegExp;
    readonly mend?: number;
  }[];
}

const cases: readonly Case[] = [
  { name: 'nothing is wrong with a pair that replicates', servers: [well1(), well2()], seen: 2, faults: [] },
  {
    name: 'lag is no fault',
    servers: [well1('0-1-5000'), db('db2', '0-1-3', [channel('db1', { caughtUp: false, lagSeconds: 60 })])],
    seen: 3,
    faults: [],
  },
  {
    name: 'a source that is away is no fault',
    servers: [
      server('db1', fail(), down()),
      db('db2', '0-1-3', [channel('db1', unreceived(2003, 'Can’t connect'))]),
    ],
    seen: 3,
    faults: [],
  },
  {
    name: 'GTIDs out of order: both lack something, and the statements fetch it',
    servers: [
      db('db1', '0-1-6,0-2-4', [channel('db2', brokenBy(1950, ORDER))]),
      db('db2', '0-1-3,0-2-7', [channel('db1', brokenBy(1950, ORDER))]),
    ],
    faults: [
      {
        server: 'db1',
        code: 'gtid-order',
        what: /^db1 does not apply db2’s .* it lacks 3 transactions \(0-2-5\.\.7\) of db2, db2 lacks 2 .* gtid_domain_id/,
        mend: 15,
      },
      { server: 'db2', code: 'gtid-order', what: /db2 can’t take over without loss/, mend: 15 },
      { server: 'db1', code: 'diverged', what: /neither has all rows/, mend: 0 },
    ],
  },
  {
    name: 'a row in the way: the one that gives way is kept',
    servers: [well1('0-1-101'), db('db2', '0-1-100', [channel('db1', brokenBy(1062, DUPLICATE_ROW))])],
    faults: [
      { server: 'db2', code: 'duplicate-key', what: /PRIMARY 500 in app\.t.*app\.t_kept_on_db2/, mend: 17 },
    ],
  },
  {
    name: 'a row in the way, told by a statement: its text is not shown',
    servers: [well1('0-1-101'), db('db2', '0-1-100', [channel('db1', brokenBy(1062, DUPLICATE_STATEMENT))])],
    faults: [
      { server: 'db2', code: 'duplicate-key', what: /^(?!.*hunter2).*PRIMARY 500 in app\.t/, mend: 17 },
    ],
  },
  {
    name: 'a key that could carry SQL gets into no statement',
    servers: [
      well1('0-1-101'),
      db('db2', '0-1-100', [
        channel('db1', brokenBy(1062, DUPLICATE_ROW.replace('500', `x\\'; drop table t; --`))),
      ]),
    ],
    faults: [{ server: 'db2', code: 'duplicate-key', mend: 0 }],
  },
  {
    name: 'a missing row is left to a person',
    servers: [
      well1('0-1-101'),
      db('db2', '0-1-100', [
        channel(
          'db1',
          brokenBy(
            1032,
            "Could not execute Update_rows_v1 event on table app.t; Can't find record in 't', Error_code: 1032; handler error",
          ),
        ),
      ]),
    ],
    faults: [{ server: 'db2', code: 'row-missing', what: /app\.t/, mend: 0 }],
  },
  {
    name: 'purged logs: a fresh copy, after what only it has is elsewhere',
    servers: [well1('0-1-101'), db('db2', '0-1-50,0-2-52', [channel('db1', unreceived(1236, PURGED))])],
    faults: [
      {
        server: 'db2',
        code: 'binlog-gone',
        what: /fresh copy of db1 .* after db1 has fetched the 2 transactions \(0-2-51\.\.52\)/,
        mend: 0,
      },
      { server: 'db2', code: 'diverged', mend: 0 },
    ],
  },
  {
    name: 'a position of its own that the source does not have: gone apart, and mended',
    servers: [well1('0-1-8,0-2-9'), db('db2', '0-1-8,0-2-11', [channel('db1', unreceived(1236, FOREIGN))])],
    faults: [{ server: 'db2', code: 'diverged', what: /current_pos/, mend: 14 }],
  },
  {
    name: 'a refused replication user is a fault of receiving',
    servers: [
      well1(),
      db('db2', '0-1-100', [channel('db1', unreceived(1045, 'error connecting to master: secrets'))]),
    ],
    faults: [{ server: 'db2', code: 'receive-error', what: /does not let its user in/, mend: 0 }],
  },
  {
    name: 'any other error of applying is shown without its statement',
    servers: [
      well1('0-1-101'),
      db('db2', '0-1-100', [
        channel(
          'db1',
          brokenBy(
            1146,
            "Error 'Table 'app.x' doesn't exist' on query. Default database: ''. Query: 'update x set p=hunter2'",
          ),
        ),
      ]),
    ],
    faults: [
      {
        server: 'db2',
        code: 'apply-error',
        what: /^(?!.*hunter2).*error 1146: Error 'Table 'app\.x'/,
        mend: 0,
      },
    ],
  },
  {
    name: 'a deadlock is tried once more',
    servers: [well1('0-1-101'), db('db2', '0-1-100', [channel('db1', brokenBy(1213))])],
    faults: [{ server: 'db2', code: 'apply-error', mend: 1 }],
  },
  {
    name: 'a stopped thread seen once is no fault yet',
    servers: [well1(), db('db2', '0-1-100', [channel('db1', { applying: false })])],
    faults: [],
  },
  {
    name: 'a stopped applying thread seen twice is one',
    servers: [well1(), db('db2', '0-1-100', [channel('db1', { applying: false })])],
    seen: 2,
    faults: [{ server: 'db2', code: 'apply-stopped', mend: 1 }],
  },
  {
    name: 'a stopped receiving thread seen twice is one',
    servers: [well1(), db('db2', '0-1-100', [channel('db1', { receiving: 'no' })])],
    seen: 2,
    faults: [{ server: 'db2', code: 'receive-stopped', mend: 1 }],
  },
  {
    name: 'a pair gone apart while a thread is stopped is named and mended',
    servers: [
      well1('0-1-103'),
      db('db2', '0-1-100,0-2-104', [channel('db1', { applying: false, receiving: 'no' })]),
    ],
    seen: 2,
    faults: [
      { server: 'db2', code: 'apply-stopped', mend: 1 },
      { server: 'db2', code: 'diverged', mend: 0 },
    ],
  },
  {
    name: 'a writable member that follows nobody is named once that lasts',
    servers: [well1('0-1-103'), db('db2', '0-1-100', [])],
    seen: 2,
    faults: [{ server: 'db2', code: 'not-replicating', what: /lacks 3 transactions/, mend: 0 }],
  },
];

for (const { name, servers, seen = 1, faults } of cases) {
  test(`mysql faults: ${name}`, () => {
    const found = faultsAfter(Array.from({ length: seen }, () => servers));
    assert.deepEqual(
      found.map(fault => `${fault.server} ${fault.code}`),
      faults.map(fault => `${fault.server} ${fault.code}`),
    );
    found.forEach((fault, index) => {
      const expected = faults[index];
      if (expected?.what) assert.match(fault.what, expected.what);
      if (expected?.mend !== undefined)
        assert.equal(fault.mend.length, expected.mend, JSON.stringify(fault.mend, null, 1));
    });
  });
}

test('mysql faults: a missed probe neither clears nor adds one', () => {
  const broken = db('db2', '0-1-100', [channel('db1', brokenBy(1950, ORDER))]);
  const missed = { ...broken, result: fail('L7TOUT'), health: up };
  assert.deepEqual(
    faultsAfter([[well1(), missed]]).map(({ code }) => code),
    ['gtid-order'],
  );
});

test('mysql faults: told when they appear and are over, not at every new count', () => {
  const fault = (count: number): Fault => ({
    server: 'db2',
    code: 'gtid-order',
    what: `db2 lacks ${count} transactions (0-1-5..${count})`,
    mend: [],
  });
  const views = [well1(), well2()];
  const told = (before: readonly Fault[], after: readonly Fault[]): readonly string[] =>
    describeChange({
      before: backend(views, { faults: before }),
      after: backend(views, { faults: after }),
      at: 0,
    });
  assert.deepEqual(told([], [fault(7)]), ['db2: gtid-order: db2 lacks 7 transactions (0-1-5..7)']);
  assert.deepEqual(told([fault(7)], [fault(8)]), []);
  assert.deepEqual(told([fault(7)], []), ['db2: gtid-order is over']);
});

test('mysql faults: MySQL gets the statements of its version', () => {
  const stopped = [channel('db1', { name: 'from-db1', applying: false })];
  const mendOn = (version: string): readonly string[] => {
    const uuid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
    const history = {
      kind: 'gtid' as const,
      flavor: 'mysql' as const,
      transactions: { [uuid]: [[1, 5]] as const },
    };
    const of = (name: string, follows: readonly ReplicationChannel[]): ServerView =>
      server(name, master(name, null, { follows, version, history }));
    const views = [of('db1', []), of('db2', stopped)];
    return faultsAfter([views, views]).flatMap(({ mend }) => mend.map(({ statement }) => statement));
  };
  assert.deepEqual(mendOn('8.4.3'), ["START REPLICA SQL_THREAD FOR CHANNEL 'from-db1'"]);
  assert.deepEqual(mendOn('5.7.44'), ["START SLAVE SQL_THREAD FOR CHANNEL 'from-db1'"]);
});
