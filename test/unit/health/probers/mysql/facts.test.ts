import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  galeraMembership,
  groupMembership,
  isGaleraNode,
} from '../../../../../src/health/probers/mysql/clusters.ts';
import { readFacts, type Reading, type Told } from '../../../../../src/health/probers/mysql/facts.ts';
import { sessionSettings, variablesQuestion } from '../../../../../src/health/probers/mysql/variables.ts';

const texts = (values: Record<string, string | null>): ReadonlyMap<string, string | null> =>
  new Map(Object.entries(values));

const mariadb = {
  read_only: '0',
  innodb_read_only: '0',
  tx_read_only: '0',
  log_bin: '1',
  gtid_slave_pos: '',
};

function read(variables: Record<string, string | null>, told: Partial<Told> = {}): Reading {
  return readFacts({
    version: '10.11.19-MariaDB',
    variables: texts({ ...mariadb, ...variables }),
    membership: null,
    channels: [],
    ...told,
  });
}

describe('facts of a MySQL server: who is the primary', () => {
  it('one that is read-only by any of its variables is a replica', () => {
    for (const name of [
      'read_only',
      'super_read_only',
      'innodb_read_only',
      'tx_read_only',
      'transaction_read_only',
    ]) {
      for (const on of ['1', 'ON']) {
        const { facts, remark } = read({ [name]: on });
        assert.deepEqual([facts.role, facts.writable], ['replica', false], name);
        assert.match(remark ?? '', new RegExp(name));
      }
      for (const off of ['0', 'OFF', null]) assert.equal(read({ [name]: off }).facts.writable, true, name);
    }
  });
  it('one of MariaDB 12 says how it is read-only in words', () => {
    assert.equal(read({ read_only: 'NO_LOCK_NO_ADMIN' }).facts.writable, false);
  });
});

describe('facts of a MySQL server: history', () => {
  const transactionsOf = ({ facts }: Reading): unknown =>
    facts.history?.kind === 'gtid' ? facts.history.transactions : facts.history;
  it('is the binary log and what the position says beyond it', () => {
    assert.deepEqual(transactionsOf(read({ gtid_binlog_state: '0-1-5,0-2-7', gtid_slave_pos: '0-2-7' })), {
      '0-1': [[1, 5]],
      '0-2': [[1, 7]],
    });
    assert.deepEqual(transactionsOf(read({ gtid_binlog_state: '', gtid_slave_pos: '0-2-7' })), {
      '0-2': [[1, 7]],
      '0-*': [[1, 7]],
    });
  });
  it('of a server that has nothing is empty, and of one that logs nothing unknown', () => {
    assert.deepEqual(transactionsOf(read({ gtid_binlog_state: '' })), {});
    assert.equal(transactionsOf(read({ log_bin: '0' })), null);
    assert.equal(transactionsOf(read({ gtid_binlog_state: 'nonsense' })), null);
  });
});

describe('facts of a MySQL server: Galera', () => {
  const on = texts({
    wsrep_on: '1',
    wsrep_provider: '/usr/lib/galera/libgalera_smm.so',
    wsrep_reject_queries: 'NONE',
  });
  const synced = {
    wsrep_ready: 'ON',
    wsrep_local_state: '4',
    wsrep_local_state_comment: 'Synced',
    wsrep_cluster_status: 'Primary',
    wsrep_cluster_state_uuid: '72562861-e5dd-11f1-b533-07c4022a6616',
    wsrep_last_committed: '12',
  };
  const member = (change: Record<string, string>) => galeraMembership(texts({ ...synced, ...change }), on);

  it('is on where a provider is loaded', () => {
    assert.ok(isGaleraNode(on));
    assert.ok(!isGaleraNode(texts({ wsrep_on: '0', wsrep_provider: '/x' })));
    assert.ok(!isGaleraNode(texts({ wsrep_on: '1', wsrep_provider: 'none' })));
    assert.ok(!isGaleraNode(texts({})));
  });
  it('a member in step is a primary, known by the cluster and its place in it; its own GTIDs are no history', () => {
    const { facts } = read({ gtid_binlog_state: '0-1-5' }, { membership: member({}) });
    assert.deepEqual(
      [facts.role, facts.systemId, facts.position, facts.history],
      ['primary', synced.wsrep_cluster_state_uuid, `${synced.wsrep_cluster_state_uuid}:12`, null],
    );
  });
  it('any other is neither primary nor replica, and says why', () => {
    for (const [change, words] of [
      [{ wsrep_cluster_status: 'non-Primary' }, /quorum/],
      [{ wsrep_local_state: '2', wsrep_local_state_comment: 'Donor/Desynced' }, /Donor/],
      [{ wsrep_local_state: '1' }, /state 1/],
      [{ wsrep_ready: 'OFF' }, /not ready/],
    ] as const) {
      const { facts, remark } = read({}, { membership: member(change) });
      assert.deepEqual([facts.role, facts.writable], ['unknown', false]);
      assert.match(remark ?? '', words);
    }
    const rejecting = galeraMembership(texts(synced), new Map([...on, ['wsrep_reject_queries', 'ALL']]));
    assert.equal(rejecting.role, 'none');
  });
  it('a member in step that is read-only is a replica', () => {
    assert.equal(read({ read_only: '1' }, { membership: member({}) }).facts.role, 'replica');
  });
});

describe('facts of a MySQL server: Group Replication', () => {
  it('that may not be seen makes nobody a primary', () => {
    const { role, remark } = groupMembership(null, texts({ group_replication_group_name: 'g' }));
    assert.equal(role, 'none');
    assert.match(remark ?? '', /GRANT SELECT/);
  });
});

describe('the questions of a MySQL probe', () => {
  it('name only what the server knows, each once', () => {
    const question = variablesQuestion(
      new Set(['read_only', 'tx_read_only', 'transaction_read_only', 'max_statement_time']),
    );
    assert.equal(
      question,
      'select @@global.read_only as read_only, @@global.transaction_read_only as transaction_read_only',
    );
  });
  it('read the position before the log, which is never behind it', () => {
    const question = variablesQuestion(new Set(['gtid_binlog_state', 'gtid_slave_pos']));
    assert.ok(question.indexOf('gtid_slave_pos') < question.indexOf('gtid_binlog_state'));
  });
  it('limit statements in the unit of each flavor, below the timeout', () => {
    assert.match(sessionSettings(new Set(['max_statement_time']), 1000), /max_statement_time = 0\.900$/);
    assert.match(sessionSettings(new Set(['max_execution_time']), 1000), /max_execution_time = 900$/);
    assert.match(sessionSettings(new Set(), 1), /autocommit = 1, lock_wait_timeout = 1$/);
  });
});
