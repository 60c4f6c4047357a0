// The prober against MySQL servers of other versions than can be run here, and against peers that are no MySQL, half of
// one, or a hostile one: scripted, all of them.

import assert from 'node:assert/strict';
import { type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { factsIn, plainTls, probeOnce, proberFor } from '../support/mysql-probe.ts';
import {
  column,
  eof,
  err,
  greeting,
  mysqlPeer,
  ok,
  packet,
  resultset,
  serveMysql,
  text,
  type MysqlScript,
} from '../support/mysql-peer.ts';
import { scriptedPeer } from '../support/scripted-peer.ts';
import { sleep, until } from '../support/wait.ts';

const UUID = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const OTHER = '4f22fa47-71ca-11e1-9e33-c80aa9429562';

const mysql8: MysqlScript = {
  version: '8.0.36',
  variables: {
    read_only: '0',
    super_read_only: '0',
    innodb_read_only: '0',
    transaction_read_only: '0',
    gtid_executed: `${UUID}:1-77,\n${OTHER}:1-5`,
    gtid_mode: 'ON',
    log_bin: '1',
    server_uuid: UUID,
    max_execution_time: '0',
  },
  answers: { 'show replica status': resultset([], ['Replica_IO_State']) },
};
const replicaStatus = {
  Source_Host: '10.0.0.1',
  Source_Port: '3306',
  Replica_IO_Running: 'Connecting',
  Replica_SQL_Running: 'Yes',
  Seconds_Behind_Source: null,
  Last_IO_Errno: '2003',
  Last_IO_Error: 'error connecting to source',
  Last_SQL_Errno: '0',
  Last_SQL_Error: '',
  Retrieved_Gtid_Set: `${OTHER}:3-5`,
  Executed_Gtid_Set: `${UUID}:1-77,\n${OTHER}:1-5`,
  Channel_Name: 'east',
};
const readOnly = { ...mysql8.variables, read_only: '1', super_read_only: '1' };

describe('mysql probe: MySQL as it is scripted', () => {
  for (const auth of ['native', 'sha2-fast', 'sha2-full', 'switch-to-sha2'] as const) {
    it(`a login by ${auth}, without TLS`, async t => {
      const peer = await mysqlPeer(t, { ...mysql8, auth });
      const facts = factsIn(await probeOnce(t, peer));
      assert.deepEqual([facts.role, facts.writable, facts.version], ['primary', true, '8.0.36']);
      if (auth === 'native') return;
      const refused = await probeOnce(t, peer, { password: 'wrong' });
      assert.equal(refused.code, 'L7AUTH', refused.detail);
    });
  }

  it('8.0: executed transactions, channels by their new names', async t => {
    const answers = { 'show replica status': resultset([replicaStatus]) };
    const peer = await mysqlPeer(t, { ...mysql8, variables: readOnly, answers });
    const answer = await probeOnce(t, peer);
    const facts = factsIn(answer);
    assert.deepEqual(facts.history, {
      kind: 'gtid',
      flavor: 'mysql',
      transactions: { [UUID]: [[1, 77]], [OTHER]: [[1, 5]] },
      own: UUID,
    });
    assert.deepEqual([facts.role, facts.replicating, facts.upstream], ['replica', false, '10.0.0.1:3306']);
    assert.deepEqual(facts.channels, [
      {
        name: 'east',
        source: '10.0.0.1:3306',
        receiving: 'connecting',
        applying: true,
        caughtUp: true,
        lagSeconds: null,
        receiveError: { errno: 2003, message: 'error connecting to source' },
        applyError: null,
      },
    ]);
  });

  it('5.7: SHOW SLAVE STATUS, tx_read_only', async t => {
    const variables = Object.fromEntries(
      Object.entries(mysql8.variables).filter(([name]) => name !== 'transaction_read_only'),
    );
    const asked: string[] = [];
    const peer = await mysqlPeer(t, {
      version: '5.7.44-log',
      variables: { ...variables, tx_read_only: '1' },
      answers: { 'show slave status': resultset([], ['Slave_IO_State']) },
      asked,
    });
    const facts = factsIn(await probeOnce(t, peer));
    assert.deepEqual([facts.role, facts.replicating, facts.version], ['replica', false, '5.7.44']);
    assert.ok(!asked.includes('show replica status'));
  });

  it('9.x: SHOW REPLICA STATUS only; tagged GTIDs', async t => {
    const peer = await mysqlPeer(t, {
      ...mysql8,
      version: '9.1.0',
      auth: 'sha2-fast',
      variables: { ...mysql8.variables, gtid_executed: `${UUID}:1-7:blue:1-2` },
    });
    const { history } = factsIn(await probeOnce(t, peer));
    assert.deepEqual(history?.kind === 'gtid' && history.transactions, {
      [UUID]: [[1, 7]],
      [`${UUID}:blue`]: [[1, 2]],
    });
  });

  it('without GTIDs there is no history; without the right to see them, no channels, asked once a session', async t => {
    const asked: string[] = [];
    const peer = await mysqlPeer(t, {
      ...mysql8,
      variables: { ...mysql8.variables, gtid_mode: 'OFF', gtid_executed: '' },
      answers: { 'show replica status': err(1, 1227, 'Access denied; you need REPLICATION CLIENT', '42000') },
      asked,
    });
    const { prober } = proberFor(t, peer);
    for (let i = 0; i < 3; i += 1) assert.equal(factsIn(await prober.probe()).history, null);
    assert.equal(asked.filter(sql => sql === 'show replica status').length, 1);
    assert.equal(asked.filter(sql => sql.startsWith('show global variables')).length, 1);
  });

  it('Group Replication: only the primary that is online, amid a majority, is writable', async t => {
    const member = (id: string, state: string, role: string): Record<string, string> => ({
      MEMBER_ID: id,
      MEMBER_STATE: state,
      MEMBER_ROLE: role,
      own_id: UUID,
    });
    const cases: readonly (readonly [Record<string, string>[], string])[] = [
      [[member(UUID, 'ONLINE', 'PRIMARY'), member(OTHER, 'ONLINE', 'SECONDARY')], 'primary'],
      [[member(UUID, 'ONLINE', 'SECONDARY'), member(OTHER, 'ONLINE', 'PRIMARY')], 'replica'],
      [[member(UUID, 'RECOVERING', 'SECONDARY'), member(OTHER, 'ONLINE', 'PRIMARY')], 'unknown'],
      [[member(UUID, 'ERROR', '')], 'unknown'],
      [[member(UUID, 'ONLINE', 'PRIMARY'), member(OTHER, 'UNREACHABLE', 'SECONDARY')], 'unknown'],
      [[], 'unknown'],
    ];
    for (const [members, role] of cases) {
      const peer = await mysqlPeer(t, {
        ...mysql8,
        variables: { ...mysql8.variables, group_replication_group_name: OTHER },
        answers: {
          ...mysql8.answers,
          'select m.*': resultset(members, ['MEMBER_ID', 'MEMBER_STATE', 'MEMBER_ROLE', 'own_id']),
        },
      });
      const facts = factsIn(await probeOnce(t, peer));
      assert.deepEqual([facts.role, facts.writable, facts.systemId], [role, role === 'primary', OTHER]);
    }
  });

  it('bytes one by one are the same server', async t => {
    const peer = await scriptedPeer(t, socket => {
      const write = socket.write.bind(socket);
      const slowly = (bytes: Uint8Array): boolean => {
        for (const byte of bytes) write(Uint8Array.of(byte));
        return true;
      };
      socket.setNoDelay(true);
      socket.write = slowly as typeof socket.write;
      serveMysql(socket, mysql8);
    });
    const { prober } = proberFor(t, peer);
    for (let i = 0; i < 2; i += 1) assert.equal(factsIn(await prober.probe()).role, 'primary');
  });
});

describe('mysql probe: errors in place of a greeting', () => {
  for (const [errno, message, code] of [
    [1040, 'Too many connections', 'L7BUSY'],
    [1129, "Host 'x' is blocked", 'L7BLOCK'],
    [1130, "Host 'x' is not allowed to connect", 'L7AUTH'],
    [1053, 'Server shutdown in progress', 'L7START'],
    [1203, 'User already has more than max_user_connections', 'L7BUSY'],
  ] as const) {
    for (const sqlState of [null, '08004']) {
      it(`${errno} ${sqlState === null ? 'without' : 'with'} an SQLSTATE is ${code}`, async t => {
        const peer = await scriptedPeer(t, socket => void socket.end(err(0, errno, message, sqlState)));
        const answer = await probeOnce(t, peer);
        assert.equal(answer.code, code);
        assert.ok(answer.detail.startsWith(`${errno}: ${message}`), answer.detail);
      });
    }
  }
});

describe('mysql probe: sessions that end', () => {
  const served = async (
    t: Parameters<typeof scriptedPeer>[0],
  ): Promise<{ sockets: Socket[]; port: number; host: string }> => {
    const sockets: Socket[] = [];
    const peer = await scriptedPeer(t, socket => {
      sockets.push(socket);
      serveMysql(socket, mysql8);
    });
    return { sockets, port: peer.port, host: peer.host };
  };
  const endings: Readonly<Record<string, readonly [(socket: Socket) => void, RegExp]>> = {
    'a FIN': [socket => void socket.end(), /closed the connection/],
    'a reset': [socket => void socket.resetAndDestroy(), /ECONNRESET|closed the connection/],
    'words of MySQL 8': [
      socket =>
        void socket.end(err(0, 4031, 'The client was disconnected by the server because of inactivity')),
      /4031: The client was disconnected/,
    ],
    'words of MariaDB': [socket => void socket.end(err(1, 1927, 'Connection was killed')), /1927/],
    'a packet that nothing asked for': [socket => void socket.write(ok(0)), /nothing asked for/],
    'bytes that are no packet': [socket => void socket.write(Buffer.alloc(10)), /not MySQL/],
  };
  for (const [name, [end, words]] of Object.entries(endings)) {
    it(`${name} on the idle session is reported at once, and the next probe connects anew`, async t => {
      const peer = await served(t);
      const { prober, lost } = proberFor(t, peer);
      factsIn(await prober.probe());
      const [socket] = peer.sockets;
      assert.ok(socket);
      end(socket);
      await until('the loss is reported', () => lost.length === 1, { everyMs: 1 });
      assert.match(lost[0] ?? '', words);
      factsIn(await prober.probe());
    });
  }

  it('one that answers while new connections are not greeted is hung; the one login is waited for', async t => {
    let greet = true;
    const waiting: Socket[] = [];
    const peer = await scriptedPeer(t, socket => {
      if (greet) serveMysql(socket, mysql8);
      else waiting.push(socket);
    });
    const { prober, lost } = proberFor(t, peer, { reconnectIntervalMs: 1, timeoutMs: 300 });
    factsIn(await prober.probe());
    greet = false;
    await sleep(2); // so that the reconnection is due
    assert.match((await prober.probe()).detail, /a new connection is served slowly/);
    await until('it is found out', async () => (await prober.probe()).code === 'L7HUNG');
    assert.equal((await prober.probe()).code, 'L7HUNG', 'every probe tells, so that fall is reached');
    assert.equal(waiting.length, 1, 'a handshake was broken off');
    greet = true;
    for (const socket of waiting) serveMysql(socket, mysql8);
    await until('it passes again', async () => (await prober.probe()).code === 'L7OK');
    assert.deepEqual(lost, []);
  });

  it('a probe that is closed settles, whatever it waits for', async t => {
    const peer = await scriptedPeer(t, () => undefined);
    const { prober } = proberFor(t, peer);
    const answer = prober.probe();
    prober.close();
    assert.equal((await answer).code, 'L4LOST');
    assert.equal((await prober.probe()).code, 'L4LOST');
  });
});

describe('mysql probe: peers that are no MySQL, or a bad one', () => {
  const login = greeting('8.0.36', 'mysql_native_password');
  const MALFORMED_GREETING = packet(0, Buffer.from([10]), 'x'.repeat(300));
  const greetings: Readonly<Record<string, Buffer>> = {
    'an SSH server': Buffer.from('SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n'),
    'an HTTP error': Buffer.from('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
    'a Redis error': Buffer.from('-ERR unknown command\r\n'),
    'a length of 16 MiB': Buffer.from([0xff, 0xff, 0xff, 0, 10]),
    'an empty packet': Buffer.from([0, 0, 0, 0]),
    'a greeting without end': MALFORMED_GREETING,
    'a greeting that is cut short': packet(0, login.subarray(4, 30)),
    'a greeting with number 5': packet(5, login.subarray(4)),
    'protocol 9': packet(0, Buffer.from([9]), login.subarray(5)),
    'an error of one byte': packet(0, Buffer.from([0xff])),
    'two greetings': Buffer.concat([login, login]),
  };
  for (const [name, bytes] of Object.entries(greetings)) {
    it(`${name} in place of a greeting is no answer of this protocol`, async t => {
      const peer = await scriptedPeer(t, socket => void socket.write(bytes));
      const answer = await probeOnce(t, peer, { timeoutMs: 2000 });
      assert.equal(answer.code, 'L7RSP', answer.detail);
    });
  }

  /** One packet for each of ours. */
  const logins: Readonly<Record<string, readonly [readonly Buffer[], string]>> = {
    'an unknown mark': [[packet(2, Buffer.from([0x55, 1, 2]))], 'L7RSP'],
    'a second factor': [[packet(2, Buffer.from([0x02]), 'x\0')], 'L7RSP'],
    'a wrong number': [[ok(7)], 'L7RSP'],
    'data for a plugin that is not there': [[packet(2, Buffer.from([1, 9, 9]))], 'L7AUTH'],
    'a switch without a name': [[packet(2, Buffer.from([0xfe, 0x41, 0x42]))], 'L7RSP'],
    'a key that is none': [
      [
        packet(2, Buffer.from([0xfe]), 'sha256_password\0', 'abcdefghijklmnopqrst\0'),
        packet(4, Buffer.from([1]), 'no key at all'),
      ],
      'L7AUTH',
    ],
  };
  for (const [name, [packets, code]] of Object.entries(logins)) {
    it(`${name} amid the login is ${code}`, async t => {
      const peer = await scriptedPeer(t, socket => {
        const left = packets.values();
        socket.write(login);
        socket.on('data', () => {
          const next = left.next();
          if (next.done !== true) socket.write(next.value);
        });
      });
      const answer = await probeOnce(t, peer, { timeoutMs: 2000 });
      assert.equal(answer.code, code, answer.detail);
      assert.ok(!answer.detail.includes('probe-secret'));
    });
  }

  it('a plugin that is not supported is refused by the server, and named', async t => {
    const peer = await scriptedPeer(t, socket => {
      socket.write(login);
      socket.once('data', () => {
        socket.write(packet(2, Buffer.from([0xfe]), 'mysql_clear_password\0'));
        socket.once('data', answer => {
          assert.ok(!answer.includes('probe-secret'));
          socket.end(err(4, 1045, 'Access denied', '28000'));
        });
      });
    });
    const answer = await probeOnce(t, peer);
    assert.equal(answer.code, 'L7AUTH');
    assert.match(answer.detail, /mysql_clear_password/);
  });

  const asked = (bytes: Buffer): MysqlScript => ({ ...mysql8, answers: { 'show global variables': bytes } });
  const one = packet(1, Buffer.from([1]));
  const answers: Readonly<Record<string, Buffer>> = {
    'a request for a file of ours': packet(1, Buffer.from([0xfb]), '/etc/passwd'),
    'a row before the columns': Buffer.concat([one, packet(2, text('x'))]),
    'more columns than there may be': packet(1, Buffer.from([0xfc, 0xff, 0xff])),
    'a column whose name is longer than it': Buffer.concat([
      one,
      packet(2, Buffer.from([3]), 'def', Buffer.from([0xfd, 255, 255, 255])),
    ]),
    'a row that is too short': Buffer.concat([
      one,
      column(2, 'a'),
      eof(3),
      packet(4, Buffer.from([5, 0x41])),
    ]),
    'a row that is too long': Buffer.concat([
      one,
      column(2, 'a'),
      eof(3),
      packet(4, Buffer.from([1, 0x41, 0x42])),
    ]),
    'a length of 2^63': Buffer.concat([
      one,
      column(2, 'a'),
      eof(3),
      packet(4, Buffer.from([0xfe, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x41])),
    ]),
    'a wrong number': Buffer.concat([one, column(9, 'a')]),
    'a packet after the answer': Buffer.concat([ok(1), ok(2)]),
  };
  for (const [name, bytes] of Object.entries(answers)) {
    it(`${name} is no answer of this protocol`, async t => {
      const peer = await mysqlPeer(t, asked(bytes));
      const answer = await probeOnce(t, peer, { timeoutMs: 2000 });
      assert.equal(answer.code, 'L7RSP', answer.detail);
    });
  }

  it('rows without an end are cut off, and not held', async t => {
    const peer = await scriptedPeer(t, socket => {
      let sequence = 3;
      const row = text('x'.repeat(60_000));
      const pour = (): void => {
        while (!socket.destroyed && socket.write(packet((sequence = (sequence + 1) & 0xff), row)));
      };
      socket.on('drain', pour);
      serveMysql(socket, {
        ...mysql8,
        answers: { 'show global variables': Buffer.concat([one, column(2, 'a'), eof(3)]) },
      });
      const write = socket.write.bind(socket);
      socket.write = ((bytes: Buffer) => {
        const more = write(bytes);
        if (bytes.includes('def')) setImmediate(pour);
        return more;
      }) as typeof socket.write;
    });
    const held = process.memoryUsage().rss;
    const answer = await probeOnce(t, peer, { timeoutMs: 5000 });
    assert.equal(answer.code, 'L7RSP');
    assert.match(answer.detail, /more than 4194304 bytes/);
    assert.ok(process.memoryUsage().rss - held < 200 * 1024 * 1024);
  });

  it('silence is told by where it fell: before the greeting, amid TLS, amid the login', async t => {
    const mute = await scriptedPeer(t, () => undefined);
    assert.match((await probeOnce(t, mute, { timeoutMs: 150 })).detail, /greeting/);
    const secured = greeting('8.0.36', 'mysql_native_password');
    secured.writeUInt16LE(0xffff, secured.indexOf('8.0.36') + 7 + 4 + 8 + 1);
    const stuck = await scriptedPeer(t, socket => void socket.write(secured));
    const tls = { ...plainTls, mode: 'require' } as const;
    assert.equal((await probeOnce(t, stuck, { timeoutMs: 150, tls })).code, 'L6TOUT');
    const answer = await probeOnce(t, stuck, { timeoutMs: 150 });
    assert.equal(answer.code, 'L7TOUT');
    assert.match(answer.detail, /login/);
  });

  it('bytes in the clear amid the TLS handshake are none of the server', async t => {
    const secured = greeting('8.0.36', 'mysql_native_password');
    secured.writeUInt16LE(0xffff, secured.indexOf('8.0.36') + 7 + 4 + 8 + 1);
    const peer = await scriptedPeer(t, socket => {
      socket.write(secured);
      socket.once('data', () => socket.write(ok(2)));
    });
    const answer = await probeOnce(t, peer, { tls: { ...plainTls, mode: 'prefer' } });
    assert.equal(answer.code, 'L6RSP', answer.detail);
  });

  it('a half-closed connection is lost, wherever it stops', async t => {
    const whole = Buffer.concat([login, ok(2)]);
    for (const length of [0, 1, 4, 20, login.length]) {
      const peer = await scriptedPeer(t, socket => void socket.end(whole.subarray(0, length)));
      const answer = await probeOnce(t, peer);
      assert.equal(answer.code, 'L4LOST', `${length}: ${answer.detail}`);
    }
  });
});
