// The prober on real MariaDB servers: roles, replication, own SQL, logins, TLS, and every way to go away.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type ReplicationChannel } from '../../src/health/result.ts';
import { accounts, MariadbNode } from '../support/mariadb.ts';
import { comingFrom, factsIn, plainTls, probeOnce, proberFor } from '../support/mysql-probe.ts';
import { makeCertificates } from '../support/postgres.ts';
import { sleep, until } from '../support/wait.ts';

/** `db1` and `db2` replicate from each other; `alone` has TLS, ed25519 and a talkative log. */
let db1: MariadbNode;
let db2: MariadbNode;
let alone: MariadbNode;
let caFile: string;
let otherCaFile: string;
const atEnd: (() => unknown)[] = [];

before(async () => {
  // The certificates outlive this hook: they are removed at the end of the file.
  const context = { after: (task: () => void) => void atEnd.push(task) } as unknown as TestContext;
  const certificates = makeCertificates(context);
  ({ caFile, otherCaFile } = certificates);
  [db1, db2, alone] = await Promise.all([
    MariadbNode.create({ name: 'db1', serverId: 1 }),
    MariadbNode.create({ name: 'db2', serverId: 2 }),
    MariadbNode.create({ name: 'alone', serverId: 3, options: { 'log-warnings': 9 } }),
  ]);
  alone.configure({
    'ssl-cert': alone.installFile('cert.pem', certificates.certificate),
    'ssl-key': alone.installFile('key.pem', certificates.key),
    'plugin-load-add': 'auth_ed25519',
    'max-connect-errors': 3,
    'performance-schema': true,
  });
  await Promise.all([db1.start(), db2.start(), alone.start()]);
  await Promise.all([db1.follow(db2), db2.follow(db1)]);
});

after(async () => {
  await Promise.all([db1, db2, alone].map(node => node?.dispose()));
  for (const task of atEnd) await task();
});

function channelIn(answer: Awaited<ReturnType<typeof probeOnce>>): ReplicationChannel {
  const [channel] = factsIn(answer).channels;
  return channel ?? assert.fail('no channel');
}

describe('mysql probe: roles', () => {
  it('a writable server of a master-master pair is a primary that replicates', async t => {
    await db1.sql('create table app.t (id int primary key)');
    await db2.untilCaughtUp(db1);
    const facts = factsIn(await probeOnce(t, db2));
    assert.equal(facts.role, 'primary');
    assert.ok(facts.writable);
    assert.match(facts.version ?? '', /^10\.11\.\d+$/);
    assert.equal(facts.replicating, null);
    assert.deepEqual(
      facts.channels.map(({ source, receiving, applying, caughtUp, applyError }) => ({
        source,
        receiving,
        applying,
        caughtUp,
        applyError,
      })),
      [
        {
          source: `127.0.0.1:${db1.port}`,
          receiving: 'yes',
          applying: true,
          caughtUp: true,
          applyError: null,
        },
      ],
    );
    assert.ok(facts.history?.kind === 'gtid' && facts.history.flavor === 'mariadb');
    assert.deepEqual(factsIn(await probeOnce(t, db1)).history, { ...facts.history, own: '1' });
    assert.equal(facts.position, '0-1-1');
  });

  for (const variable of ['read_only', 'tx_read_only']) {
    it(`an open session sees at once that ${variable} was switched`, async t => {
      const { prober } = proberFor(t, db2);
      assert.equal(factsIn(await prober.probe()).role, 'primary');
      await db2.sql(`set global ${variable} = 1`);
      t.after(() => db2.sql(`set global ${variable} = 0`));
      const answer = await prober.probe();
      const facts = factsIn(answer);
      assert.deepEqual(
        [facts.role, facts.writable, facts.replicating, facts.lagSeconds],
        ['replica', false, true, 0],
      );
      assert.equal(facts.upstream, `127.0.0.1:${db1.port}`);
      assert.match(answer.detail, new RegExp(`${variable} is on`));
      await db2.sql(`set global ${variable} = 0`);
      assert.equal(factsIn(await prober.probe()).role, 'primary');
    });
  }

  it('a user without the right to see replication is told so, and finds the role all the same', async t => {
    const { prober } = proberFor(t, db2, accounts.plain);
    await prober.probe();
    const answer = await prober.probe();
    assert.equal(factsIn(answer).role, 'primary');
    assert.deepEqual(factsIn(answer).channels, []);
    assert.match(answer.detail, /replication is not visible/);
  });
});

describe('mysql probe: replication', () => {
  it('each thread is told apart when it is stopped', async t => {
    const { prober } = proberFor(t, db2);
    t.after(() => db2.run('stop slave', 'start slave'));
    await db2.sql('stop slave sql_thread');
    let answer = await prober.probe();
    assert.deepEqual([channelIn(answer).receiving, channelIn(answer).applying], ['yes', false]);
    assert.match(answer.detail, /applying from 127\.0\.0\.1:\d+ is stopped/);
    await db1.sql('insert into app.t values (1)');
    await until(
      'it has received what it does not apply',
      async () => channelIn(await prober.probe()).caughtUp === false,
    );
    await db2.run('start slave sql_thread', 'stop slave io_thread');
    answer = await prober.probe();
    assert.deepEqual([channelIn(answer).receiving, channelIn(answer).applying], ['no', true]);
    await db2.sql('start slave');
    await until('both run', async () => {
      const channel = channelIn(await prober.probe());
      return channel.receiving === 'yes' && channel.applying && channel.caughtUp === true;
    });
  });

  it('an error of the applying thread is told with its number, and the history shows what is missing', async t => {
    await db2.run('set sql_log_bin = 0', 'insert into app.t values (2)');
    await db1.sql('insert into app.t values (2)');
    const { prober } = proberFor(t, db2);
    const channel = await until('the applying thread to fail', async () => {
      const found = channelIn(await prober.probe());
      return found.applyError === null ? null : found;
    });
    assert.equal(channel.applyError?.errno, 1062);
    assert.match(channel.applyError?.message ?? '', /Duplicate entry/);
    assert.equal(channel.applying, false);
    await db2.run('set sql_log_bin = 0', 'delete from app.t where id = 2', 'start slave');
    await db2.untilCaughtUp(db1);
    assert.equal(channelIn(await prober.probe()).applyError, null);
  });

  it('a source that is away is being connected to', async t => {
    await db1.stop();
    const { prober } = proberFor(t, db2);
    await until('the receiving thread to notice', async () => {
      const channel = channelIn(await prober.probe());
      return channel.receiving === 'connecting' && channel.applying;
    });
    await db1.start();
    await until('it to come back', async () => channelIn(await prober.probe()).receiving === 'yes');
  });
});

describe('mysql probe: own SQL', () => {
  const answers: readonly (readonly [string, 'primary' | 'replica'])[] = [
    ["select 'MASTER'", 'primary'],
    ['select true', 'primary'],
    ["select b'1'", 'primary'],
    ['select 1.0', 'replica'],
    ["select 'VICE'", 'replica'],
    ['select null', 'replica'],
    ['select id from app.t where id < 0', 'replica'],
    ['do 1', 'replica'],
  ];
  for (const [writable, role] of answers) {
    it(`${writable}: ${role}`, async t => {
      const facts = factsIn(await probeOnce(t, db2, { ...accounts.app, writable }));
      assert.deepEqual([facts.role, facts.writable], [role, role === 'primary']);
    });
  }

  it('is asked in the database of the check, and may call a procedure', async t => {
    await db1.sql("create procedure app.mode() begin select 'ACTING' as mode; select 1 as second; end");
    await db2.untilCaughtUp(db1);
    const { prober } = proberFor(t, db2, { ...accounts.app, database: 'app', writable: 'call mode()' });
    for (let i = 0; i < 3; i += 1) assert.equal(factsIn(await prober.probe()).role, 'replica');
  });

  it('an error in it is the state of the server, with its words, and never "writable"', async t => {
    const { prober } = proberFor(t, db2, { ...accounts.app, writable: 'select mode from app.nonesuch' });
    for (let i = 0; i < 2; i += 1) {
      const answer = await prober.probe();
      assert.equal(answer.code, 'L7STS');
      assert.match(answer.detail, /^check\.writable: 1146: .*nonesuch/);
    }
  });

  it('one that hangs ends by itself, and the session goes on', async t => {
    const { prober, lost } = proberFor(t, db2, { writable: 'select sleep(30)', timeoutMs: 400 });
    for (let i = 0; i < 2; i += 1) assert.equal((await prober.probe()).code, 'L7STS');
    await until('none is left on the server', async () => {
      const rows = await db2.sql(
        "select 1 from information_schema.processlist where info like 'select sleep(30)%'",
      );
      return rows.length === 0;
    });
    assert.deepEqual(lost, []);
  });

  it('a read-only server is never writable, whatever it says', async t => {
    await db2.sql('set global read_only = 1');
    t.after(() => db2.sql('set global read_only = 0'));
    assert.equal(factsIn(await probeOnce(t, db2, { writable: 'select 1' })).writable, false);
  });
});

describe('mysql probe: logins', () => {
  it('ed25519 is signed, in the clear and under TLS', async t => {
    await alone.sql(
      "create user ed@'%' identified via ed25519 using password('a longer password than 32 bytes, with ü')",
    );
    const ed = { user: 'ed', password: 'a longer password than 32 bytes, with ü' };
    for (const mode of ['disable', 'require'] as const) {
      factsIn(await probeOnce(t, alone, { ...ed, tls: { ...plainTls, mode } }));
    }
    assert.equal((await probeOnce(t, alone, { ...ed, password: 'wrong' })).code, 'L7AUTH');
  });

  it('an account without a password is let in without one', async t => {
    await alone.sql("create user free@'%'");
    factsIn(await probeOnce(t, alone, { user: 'free', password: null }));
  });

  it('whoever is not let in is told in the words of the server', async t => {
    await alone.sql("create user sock@'%' identified via unix_socket");
    const refusals: readonly (readonly [Parameters<typeof probeOnce>[2], string, RegExp])[] = [
      [{ password: 'wrong-secret' }, 'L7AUTH', /^1045: Access denied for user 'probe'/],
      [{ user: 'sock', password: 'x' }, 'L7AUTH', /^(1698|1045): Access denied/],
      [{ database: 'nonesuch' }, 'L7AUTH', /^1044: /],
      [{ ...accounts.root, database: 'nonesuch' }, 'L7DB', /^1049: Unknown database/],
    ];
    for (const [overrides, code, words] of refusals) {
      const answer = await probeOnce(t, alone, overrides);
      assert.equal(answer.code, code, answer.detail);
      assert.match(answer.detail, words);
      assert.ok(!answer.detail.includes('-secret'));
    }
  });

  it('TLS is used as its mode says', async t => {
    const usable = [
      { mode: 'disable' },
      { mode: 'prefer' },
      { mode: 'require' },
      { mode: 'verify-ca', caFile },
      { mode: 'verify-full', caFile, serverName: 'db.test' },
    ] as const;
    for (const tls of usable) {
      const writable = `select variable_value ${tls.mode === 'disable' ? '=' : '<>'} '' from information_schema.session_status where variable_name = 'ssl_cipher'`;
      assert.ok(factsIn(await probeOnce(t, alone, { writable, tls: { ...plainTls, ...tls } })).writable);
    }
    const refused = [
      { mode: 'verify-ca', caFile: otherCaFile },
      { mode: 'verify-full', caFile },
      { mode: 'verify-ca', caFile: '/nonexistent/ca.pem' },
    ] as const;
    for (const tls of refused) {
      const answer = await probeOnce(t, alone, { tls: { ...plainTls, ...tls } });
      assert.equal(answer.code, 'L6RSP', answer.detail);
    }
  });

  it('an account that demands TLS gets in under "prefer", which falls back where there is none', async t => {
    await alone.sql("create user tls@'%' identified by 'tls-secret' require ssl");
    const account = { user: 'tls', password: 'tls-secret' };
    factsIn(await probeOnce(t, alone, { ...account, tls: { ...plainTls, mode: 'prefer' } }));
    assert.equal((await probeOnce(t, alone, { ...account, tls: plainTls })).code, 'L7AUTH');
    factsIn(await probeOnce(t, db2, { tls: { ...plainTls, mode: 'prefer' } }));
    const answer = await probeOnce(t, db2, { tls: { ...plainTls, mode: 'require' } });
    assert.equal(answer.code, 'L6RSP');
    assert.match(answer.detail, /offers no TLS/);
  });
});

describe('mysql probe: a server that is full, or has had enough', () => {
  it('no free slot is busy to a new session, and no matter to an open one', async t => {
    const { prober } = proberFor(t, db2, { reconnectIntervalMs: 1 });
    factsIn(await prober.probe());
    const [row] = await db2.sql<{ n: number }>('select @@global.max_connections as n');
    await db2.sql('set global max_connections = 10');
    t.after(() => db2.sql(`set global max_connections = ${row?.n ?? 151}`));
    const clients = [];
    try {
      for (;;) {
        clients.push(await db2.connect());
        assert.ok(clients.length < 20);
      }
    } catch (thrown) {
      assert.equal((thrown as { errno?: number }).errno, 1040);
    }
    assert.equal((await probeOnce(t, db2)).code, 'L7BUSY');
    const answer = await prober.probe();
    factsIn(answer);
    assert.match(answer.detail, /L7BUSY/);
    await Promise.all(clients.map(client => client.end()));
  });

  it('probes never count as connection errors; a host that was blocked by others is told how to be let in', async t => {
    const ours = await comingFrom(t, '127.0.0.7', alone.port);
    const theirs = await comingFrom(t, '127.0.0.8', alone.port);
    const errorsOf = async (ip: string): Promise<number | null> => {
      const [row] = await alone.sql<{ n: number }>(
        'select sum_connect_errors as n from performance_schema.host_cache where ip = ?',
        [ip],
      );
      return row === undefined ? null : Number(row.n);
    };
    for (const overrides of [
      {},
      { password: 'wrong-secret' },
      { tls: { ...plainTls, mode: 'require' } as const },
      { tls: { ...plainTls, mode: 'verify-ca', caFile: otherCaFile } as const },
      { database: 'nonesuch' },
    ]) {
      for (let i = 0; i < 4; i += 1) await probeOnce(t, { port: ours }, overrides);
    }
    // Ended after some milliseconds, amid the login at one of them: the handshake is finished all the same.
    for (let i = 0; i < 12; i += 1) {
      const { prober } = proberFor(t, { port: ours });
      const answer = prober.probe();
      await sleep(i / 2);
      prober.close();
      await answer;
    }
    const allGone = async (): Promise<boolean> => {
      const rows = await alone.sql(
        "select 1 from information_schema.processlist where host like '127.0.0._:%'",
      );
      return rows.length === 0;
    };
    await until('their sessions have ended', allGone);
    assert.equal(await errorsOf('127.0.0.7'), 0);

    for (let i = 0; i < 4; i += 1) {
      const client = connect({ host: '127.0.0.1', port: alone.port, localAddress: '127.0.0.8' });
      client.on('error', () => undefined); // the server may reset it: it is the rude one
      const closed = new Promise(resolve => client.once('close', resolve));
      client.once('data', () => client.end('garbage'));
      client.resume();
      await closed;
    }
    assert.ok(Number(await errorsOf('127.0.0.8')) >= 3);
    const blocked = await probeOnce(t, { port: theirs });
    assert.equal(blocked.code, 'L7BLOCK');
    assert.match(blocked.detail, /1129: .*127\.0\.0\.8.*FLUSH HOSTS/);
    factsIn(await probeOnce(t, { port: ours }));
    await alone.sql('flush hosts');
    factsIn(await probeOnce(t, { port: theirs }));
    await until('their sessions have ended', allGone);
  });
});

describe('mysql probe: the log of the server', () => {
  it('stays as it was through hundreds of probes, their reconnections and their ends', async t => {
    const before = alone.logText();
    for (const tls of [plainTls, { ...plainTls, mode: 'require' } as const]) {
      const { prober } = proberFor(t, alone, { tls, reconnectIntervalMs: 10 });
      for (let i = 0; i < 150; i += 1) factsIn(await prober.probe());
      for (let i = 0; i < 20; i += 1) factsIn(await probeOnce(t, alone, { tls }));
      prober.close();
    }
    const { prober } = proberFor(t, alone);
    const answer = prober.probe();
    prober.close();
    assert.equal((await answer).code, 'L4LOST');
    await until('every session has ended', async () => {
      const rows = await alone.sql("select 1 from information_schema.processlist where user = 'probe'");
      return rows.length === 0;
    });
    assert.equal(alone.logText().slice(before.length), '');
    // The log is one that would tell: a client that just hangs up is there.
    const rude = await alone.connect();
    rude.destroy();
    await until('the log to tell of it', () =>
      /Aborted connection/.test(alone.logText().slice(before.length)),
    );
  });
});

describe('mysql probe: a server that goes away', () => {
  it('frozen, it is silent; the login that it owes is waited for, and goes on when it thaws', async t => {
    const { prober, lost } = proberFor(t, db2, { timeoutMs: 300 });
    factsIn(await prober.probe());
    const { prober: late } = proberFor(t, db2, { timeoutMs: 300 });
    db2.freeze();
    try {
      for (const each of [prober, late, late, late]) {
        const started = performance.now();
        assert.equal((await each.probe()).code, 'L7TOUT');
        assert.ok(performance.now() - started < 2000);
      }
    } finally {
      db2.thaw();
    }
    await until('it answers again', async () => (await prober.probe()).code === 'L7OK');
    factsIn(await late.probe());
    assert.deepEqual(lost, []);
    const [row] = await db2.sql<{ v: string }>(
      `select variable_value as v from information_schema.global_status where variable_name = 'aborted_connects'`,
    );
    await probeOnce(t, db2);
    assert.ok(Number(row?.v) < 20, `${row?.v} aborted`);
  });

  it('shut down in order, it is lost', async t => {
    const { prober, lost } = proberFor(t, db1);
    factsIn(await prober.probe());
    await db1.stop();
    await until('the loss is reported', () => lost.length === 1);
    assert.equal((await prober.probe()).code, 'L4CON');
    await db1.start();
    factsIn(await prober.probe());
  });

  it('killed, it is lost at once, without being asked', async t => {
    const { prober, lost } = proberFor(t, db1);
    factsIn(await prober.probe());
    const started = performance.now();
    await db1.kill();
    await until('the loss is reported', () => lost.length === 1, { everyMs: 1 });
    assert.ok(performance.now() - started < 1000, 'it took more than a second');
    assert.equal((await prober.probe()).code, 'L4CON');
  });
});
