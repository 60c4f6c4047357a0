import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { channelQuestions, readChannels } from '../../../../../src/health/probers/mysql/channels.ts';
import { type ReplicationChannel } from '../../../../../src/health/result.ts';

const mariadb = {
  Connection_name: '',
  Master_Host: 'db1',
  Master_Port: '3306',
  Slave_IO_Running: 'Yes',
  Slave_SQL_Running: 'Yes',
  Slave_SQL_State: '',
  Seconds_Behind_Master: '0',
  Last_IO_Errno: '0',
  Last_IO_Error: '',
  Last_SQL_Errno: '0',
  Last_SQL_Error: '',
  Using_Gtid: 'Slave_Pos',
  Gtid_IO_Pos: '0-1-9',
  Master_Log_File: 'b.2',
  Read_Master_Log_Pos: '100',
  Relay_Master_Log_File: 'b.2',
  Exec_Master_Log_Pos: '100',
};

function channel(
  row: Record<string, string | null>,
  variables: Record<string, string> = {},
): ReplicationChannel {
  const texts = new Map(Object.entries(row).map(([name, value]) => [name.toLowerCase(), value]));
  const [found] = readChannels([texts], new Map(Object.entries(variables)));
  return found ?? assert.fail();
}

describe('replication channels: which question', () => {
  for (const [version, first] of [
    ['10.5.8-MariaDB', 'show all slaves status'],
    ['11.4.2-MariaDB-log', 'show all slaves status'],
    ['5.7.44', 'show slave status'],
    ['8.0.21', 'show slave status'],
    ['8.0.22', 'show replica status'],
    ['8.4.0', 'show replica status'],
    ['9.1.0-commercial', 'show replica status'],
    ['unheard of', 'show slave status'],
  ] as const) {
    it(`${version}: ${first}`, () => assert.equal(channelQuestions(version)[0], first));
  }
});

describe('replication channels: all is applied', () => {
  it('when the position in the domain has reached what was received', () => {
    assert.equal(channel(mariadb, { gtid_slave_pos: '0-1-9' }).caughtUp, true);
    assert.equal(channel(mariadb, { gtid_slave_pos: '0-1-8' }).caughtUp, false);
    assert.equal(channel(mariadb, { gtid_slave_pos: '1-1-9' }).caughtUp, false);
    assert.equal(channel(mariadb, { gtid_slave_pos: '0-2-12' }).caughtUp, true);
  });
  it('when the log has the very transaction: our own, come back to us', () => {
    assert.equal(
      channel(mariadb, { gtid_slave_pos: '0-2-5', gtid_binlog_state: '0-2-5,0-1-9' }).caughtUp,
      true,
    );
  });
  it('without GTIDs, by the words of the applying thread, else by places in the log', () => {
    const plain = { ...mariadb, Using_Gtid: 'No', Gtid_IO_Pos: '', Read_Master_Log_Pos: '200' };
    assert.equal(channel(plain).caughtUp, false);
    const said = { ...plain, Slave_SQL_State: 'Slave has read all relay log; waiting for more updates' };
    assert.equal(channel(said).caughtUp, true);
    assert.equal(channel({ ...said, Slave_SQL_Running: 'No' }).caughtUp, false);
    assert.equal(channel({ ...plain, Exec_Master_Log_Pos: '200' }).caughtUp, true);
    assert.equal(channel({ Slave_IO_Running: 'Yes' }).caughtUp, null);
  });
});

describe('replication channels: what is told', () => {
  it('errors with their numbers; none where the number is 0', () => {
    const broken = {
      ...mariadb,
      Slave_SQL_Running: 'No',
      Last_SQL_Errno: '1950',
      Last_SQL_Error: 'out of order',
    };
    const found = channel(broken);
    assert.deepEqual(found.applyError, { errno: 1950, message: 'out of order' });
    assert.equal(found.receiveError, null);
    assert.equal(found.applying, false);
  });
  it('lag is unknown, not 0, where the server says NULL', () => {
    assert.equal(channel({ ...mariadb, Seconds_Behind_Master: null }).lagSeconds, null);
    assert.equal(channel({ ...mariadb, Seconds_Behind_Master: '7' }).lagSeconds, 7);
  });
  it('a receiving thread may be on its way', () => {
    assert.equal(channel({ ...mariadb, Slave_IO_Running: 'Connecting' }).receiving, 'connecting');
    assert.equal(channel({ ...mariadb, Slave_IO_Running: 'Preparing' }).receiving, 'connecting');
    assert.equal(channel({ ...mariadb, Slave_IO_Running: 'No' }).receiving, 'no');
  });
  it('channels of Group Replication are none from a source', () => {
    const texts = new Map([['channel_name', 'group_replication_applier']]);
    assert.deepEqual(readChannels([texts], new Map()), []);
  });
});
