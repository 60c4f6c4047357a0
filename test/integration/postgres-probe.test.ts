// The prober against real servers: what each state of a server looks like from outside.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { Client } from 'pg';
import {
  debianBinaries,
  embeddedBinaries,
  type PostgresBinaries,
} from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { type CheckConfig } from '../../src/config/schema.ts';
import { factsIn, makeCertificates, probeOnce, proberFor, startedNode } from '../support/postgres.ts';
import { until } from '../support/wait.ts';

const SHORT_MS = 500;
const PROBE_ROLE = "create role probe login password 'probe-secret'";
const as = (user: string, password: string | null = null): Partial<CheckConfig<'postgres'>> => ({
  user,
  password,
});

for (const [label, find] of [
  ['PostgreSQL 15 (Debian)', (): PostgresBinaries => debianBinaries(15)],
  ['PostgreSQL 18 (npm)', embeddedBinaries],
] as const) {
  describe(label, () => {
    let binaries: PostgresBinaries;
    before(() => {
      binaries = find();
    });

    test('logins: trust, clear text, md5 and SCRAM get in; a wrong password or database is told apart', async t => {
      const methods = { trust: 'trust', plain: 'password', md5: 'md5', scram: 'scram-sha-256' };
      const hba = Object.entries(methods).map(([user, method]) => `host all ${user} 127.0.0.1/32 ${method}`);
      const node = await startedNode(t, { binaries, hba });
      for (const user of Object.keys(methods)) {
        const encryption = user === 'md5' ? 'md5' : 'scram-sha-256';
        await node.query(
          `set password_encryption = '${encryption}'; create role ${user} login password 'Pa$swörd'`,
        );
        const facts = factsIn(await probeOnce(t, node, as(user, 'Pa$swörd')));
        assert.deepEqual([facts.role, facts.writable, facts.timeline], ['primary', true, 1], user);
        if (user === 'trust') continue;
        const refused = await probeOnce(t, node, as(user, 'not the password'));
        assert.equal(refused.code, 'L7AUTH', user);
        assert.ok(!refused.detail.includes('not the password'));
      }
      assert.equal((await probeOnce(t, node, as('scram'))).code, 'L7AUTH', 'no password');
      assert.equal((await probeOnce(t, node, as('stranger'))).code, 'L7AUTH', 'no line in pg_hba.conf');
      assert.equal((await probeOnce(t, node, { ...as('trust'), database: 'nowhere' })).code, 'L7DB');
    });

    test('TLS: every mode of libpq, with the right authority and name and with wrong ones', async t => {
      const { caFile, otherCaFile, certificate, key } = makeCertificates(t);
      const node = await startedNode(t, { binaries });
      const tls = (
        mode: CheckConfig<'postgres'>['tls']['mode'],
        ca: string | null = null,
        serverName: string | null = null,
      ): Partial<CheckConfig<'postgres'>> => ({ tls: { mode, caFile: ca, serverName } });
      assert.equal((await probeOnce(t, node, tls('prefer'))).code, 'L7OK', 'prefer takes plain text');
      assert.equal((await probeOnce(t, node, tls('require'))).code, 'L6RSP', 'require does not');

      node.installFile('server.crt', certificate);
      node.installFile('server.key', key);
      node.configure({ ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' });
      await until('TLS is on', async () => (await node.query('show ssl'))[0]?.['ssl'] === 'on');
      node.installFile('pg_hba.conf', 'local all postgres trust\nhostssl all all 127.0.0.1/32 trust\n');
      await node.query('select pg_reload_conf()');
      await until(
        'plain text is refused',
        async () => (await probeOnce(t, node, tls('disable'))).code === 'L7AUTH',
      );

      for (const fine of [
        tls('prefer'),
        tls('require'),
        tls('verify-ca', caFile),
        tls('verify-full', caFile, 'db.test'),
      ]) {
        const answer = await probeOnce(t, node, fine);
        assert.equal(answer.code, 'L7OK', `${fine.tls?.mode}: ${answer.detail}`);
      }
      for (const wrong of [
        tls('verify-ca', otherCaFile),
        tls('verify-full', otherCaFile, 'db.test'),
        tls('verify-full', caFile),
        tls('verify-full', caFile, 'other.test'),
        tls('verify-full', '/no/such/file', 'db.test'),
        tls('verify-ca'),
      ]) {
        const answer = await probeOnce(t, node, wrong);
        assert.equal(answer.code, 'L6RSP', `${JSON.stringify(wrong.tls)}: ${answer.detail}`);
      }
    });

    test('a pair: roles, lag, upstream and timeline, for a role with and without pg_monitor, through a promotion', async t => {
      const primary = await startedNode(t, { binaries });
      await primary.query(PROBE_ROLE);
      await primary.query('create role watcher login in role pg_monitor');
      const standby = await PostgresNode.cloneAsStandby(primary, { name: 'standby' });
      t.after(() => standby.dispose());
      await standby.start();
      await until(
        'the standby streams',
        async () => (await primary.query('select from pg_stat_replication')).length === 1,
      );
      // The roles are in the standby's copy or on their way to it.
      await until(
        'the roles have arrived',
        async () => (await standby.query("select from pg_roles where rolname = 'watcher'")).length === 1,
      );

      const upper = factsIn(await probeOnce(t, primary, as('probe')));
      assert.deepEqual(
        [upper.role, upper.writable, upper.timeline, upper.lagSeconds, upper.replicating, upper.upstream],
        ['primary', true, 1, null, null, null],
      );
      assert.match(upper.position ?? '', /^[0-9A-F]+\/[0-9A-F]+$/);
      const { prober } = proberFor(t, standby, as('probe'));
      const lower = factsIn(await prober.probe());
      assert.deepEqual(
        [lower.role, lower.writable, lower.timeline, lower.lagSeconds, lower.replicating, lower.upstream],
        ['replica', false, 1, 0, true, null],
      );
      assert.equal(lower.systemId, upper.systemId);
      const watched = factsIn(await probeOnce(t, standby, as('watcher')));
      assert.deepEqual(
        [watched.timeline, watched.lagSeconds, watched.replicating, watched.upstream],
        [1, 0, true, `127.0.0.1:${primary.port}`],
      );

      await standby.query('select pg_wal_replay_pause()');
      await primary.query('create table t as select 1');
      await until('the lag is unknown before the first replayed commit', async () => {
        const facts = factsIn(await prober.probe());
        return facts.replicating === true && facts.lagSeconds === null;
      });
      await standby.query('select pg_wal_replay_resume()');
      await until('it has caught up', async () => factsIn(await prober.probe()).lagSeconds === 0);
      await standby.query('select pg_wal_replay_pause()');
      await primary.query('drop table t');
      await until('a paused replica lags', async () => (factsIn(await prober.probe()).lagSeconds ?? 0) > 0);
      await standby.query('select pg_wal_replay_resume()');
      await until('it has caught up', async () => factsIn(await prober.probe()).lagSeconds === 0);

      await primary.kill();
      await until('it no longer receives', async () => {
        const facts = factsIn(await prober.probe());
        return facts.replicating === false && facts.lagSeconds === null;
      });
      // Asked as fast as it goes all through the promotion: not one answer may be an error.
      const promoted = standby.promote();
      await until('it is writable', async () => factsIn(await prober.probe()).writable, { everyMs: 0 });
      const facts = factsIn(await prober.probe());
      await promoted;
      assert.deepEqual(
        [facts.role, facts.timeline, facts.replicating, facts.lagSeconds],
        ['primary', 2, null, null],
      );
    });

    test('read-only by default: the open session sees the setting come and go', async t => {
      const node = await startedNode(t, { binaries });
      const { prober } = proberFor(t, node);
      assert.equal(factsIn(await prober.probe()).writable, true);
      node.configure({ default_transaction_read_only: 'on' });
      await until('it is read-only', async () => {
        const facts = factsIn(await prober.probe());
        return !facts.writable && facts.role === 'primary';
      });
      node.configure({ default_transaction_read_only: 'off' });
      await until('it is writable', async () => factsIn(await prober.probe()).writable);
    });

    test('a full server: busy for a new prober, fine for one with an open session', async t => {
      const node = await startedNode(t, {
        binaries,
        settings: { max_connections: '6', max_wal_senders: '0' },
      });
      await node.query(PROBE_ROLE);
      const { prober } = proberFor(t, node, { ...as('probe'), reconnectIntervalMs: 1 });
      factsIn(await prober.probe());
      const clients: Client[] = [];
      t.after(() => Promise.all(clients.map(client => client.end())));
      await until('no slot is left', async () => {
        const client = new Client({
          host: '127.0.0.1',
          port: node.port,
          user: 'probe',
          database: 'postgres',
        });
        client.on('error', () => undefined);
        const full = await client.connect().then(
          () => false,
          () => true,
        );
        if (!full) clients.push(client);
        return full;
      });
      assert.equal((await probeOnce(t, node, as('probe'))).code, 'L7BUSY');
      const answer = await prober.probe();
      factsIn(answer);
      assert.match(answer.detail, /53300/);
    });

    for (const ssl of ['off', 'on'] as const) {
      test(`60 probes with reconnects leave not one line in the server log (ssl=${ssl})`, async t => {
        const node = await PostgresNode.create({ name: 'primary', binaries, password: 'super-secret' });
        t.after(() => node.dispose());
        if (ssl === 'on') {
          const { certificate, key } = makeCertificates(t);
          node.installFile('server.crt', certificate);
          node.installFile('server.key', key);
          node.configure({ ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' });
        }
        await node.start();
        await node.query(PROBE_ROLE);
        const before = node.logText();
        const options = {
          ...as('probe', 'probe-secret'),
          tls: { mode: 'prefer', caFile: null, serverName: null } as const,
        };
        const { prober } = proberFor(t, node, { ...options, reconnectIntervalMs: 20 });
        for (let i = 0; i < 60; i += 1) factsIn(await prober.probe());
        for (let i = 0; i < 6; i += 1) {
          const { prober: single } = proberFor(t, node, options);
          factsIn(await single.probe());
          single.close();
        }
        prober.close();
        await until('every session has ended', async () => {
          const rows = await node.query("select from pg_stat_activity where application_name = 'pointsman'");
          return rows.length === 0;
        });
        assert.equal(node.logText().slice(before.length), '');
        assert.ok(
          !readFileSync(`${node.dataDirectory}/node.conf`, 'utf8').includes('log_'),
          'logging is at its defaults',
        );
      });
    }
  });
}

describe('PostgreSQL, whatever its version', () => {
  test('a server that does not accept connections yet is starting', async t => {
    const primary = await PostgresNode.create({ name: 'primary', binaries: embeddedBinaries() });
    t.after(() => primary.dispose());
    const standby = await PostgresNode.cloneAsStandby(primary, {
      name: 'standby',
      settings: { hot_standby: 'off' },
    });
    t.after(() => standby.dispose());
    await standby.start('spawned');
    await until('it says so', async () => (await probeOnce(t, standby)).code === 'L7START');
  });

  test('frozen: the open session times out, and so does a new one; thawed, it is as before', async t => {
    const node = await startedNode(t, { binaries: embeddedBinaries() });
    const { prober, lost } = proberFor(t, node, { timeoutMs: SHORT_MS });
    factsIn(await prober.probe());
    node.freeze();
    assert.equal((await prober.probe()).code, 'L7TOUT');
    assert.equal((await prober.probe()).code, 'L7TOUT', 'a new connection is accepted by the kernel only');
    node.thaw();
    await until('it answers', async () => (await prober.probe()).code === 'L7OK');
    assert.deepEqual(lost, [], 'sessions that we ended are not lost');
  });

  test('a stalled event loop of ours is not taken for a silent server', async t => {
    const node = await startedNode(t, { binaries: embeddedBinaries() });
    const { prober } = proberFor(t, node, { timeoutMs: SHORT_MS });
    factsIn(await prober.probe());
    const probing = prober.probe();
    const stalledUntil = performance.now() + 2 * SHORT_MS;
    while (performance.now() < stalledUntil);
    factsIn(await probing);
  });

  test('a frozen postmaster: hung, though the open session answers', async t => {
    const node = await startedNode(t, { binaries: embeddedBinaries() });
    const { prober } = proberFor(t, node, { timeoutMs: SHORT_MS, reconnectIntervalMs: 1 });
    factsIn(await prober.probe());
    node.freezePostmaster();
    await until('it is found out', async () => (await prober.probe()).code === 'L7HUNG');
    assert.equal((await prober.probe()).code, 'L7HUNG');
    node.thaw();
    await until('it is fine', async () => (await prober.probe()).code === 'L7OK');
  });

  test('kill -9: the open session says so by itself, at once; then the port refuses', async t => {
    const node = await startedNode(t, { binaries: embeddedBinaries() });
    const { prober, lost } = proberFor(t, node);
    factsIn(await prober.probe());
    const killedAt = performance.now();
    await node.killAll();
    await until('the loss is reported', () => lost.length > 0, { everyMs: 1 });
    assert.ok(performance.now() - killedAt < 1000, 'long before any timeout');
    assert.equal((await prober.probe()).code, 'L4CON');
    await node.start();
    assert.equal((await prober.probe()).code, 'L7OK');
  });
});
