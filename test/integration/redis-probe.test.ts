// The Redis prober against real servers: roles, replication, logins, TLS, and every state that is busy but not dead.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { systemClock } from '../../src/core/clock.ts';
import { SentinelClient } from '../../src/health/probers/sentinel/client.ts';
import { type SentinelAnswer } from '../../src/health/result.ts';
import { makeCertificates } from '../support/postgres.ts';
import {
  factsIn,
  probeRedis,
  RedisClient,
  RedisNode,
  redisProberFor,
  replicatedRedis,
  SentinelNode,
} from '../support/redis.ts';
import { until } from '../support/wait.ts';

test('redis probe: a primary and its replica tell role, versions, offsets and the same history', async t => {
  const [primary, replica] = await replicatedRedis(t, 1);
  assert.ok(replica !== undefined);
  await primary.command('SET', 'a', '1');
  await until('the replica to have it', () => replica.command('GET', 'a'));
  const [one, other] = [factsIn(await probeRedis(t, primary)), factsIn(await probeRedis(t, replica))];
  assert.equal(one.role, 'primary');
  assert.equal(one.writable, true);
  assert.match(one.version ?? '', /^\d+\.\d+\.\d+$/);
  assert.equal(one.lagSeconds, null);
  assert.equal(one.replicating, null);
  assert.equal(other.role, 'replica');
  assert.equal(other.writable, false);
  assert.equal(other.replicating, true);
  assert.equal(other.lagSeconds, 0);
  assert.equal(other.upstream, `127.0.0.1:${primary.port}`);
  assert.ok(one.history?.kind === 'redis' && other.history?.kind === 'redis');
  assert.equal(other.history.replicationId, one.history.replicationId);
  assert.equal(other.position, String(other.history.offset));
  assert.ok(other.history.offset > 0 && other.history.offset <= one.history.offset);
  assert.notEqual(other.history.runId, one.history.runId);

  await replica.command('REPLICAOF', 'NO', 'ONE');
  const promoted = factsIn(await probeRedis(t, replica));
  assert.equal(promoted.writable, true);
  assert.ok(promoted.history?.kind === 'redis');
  assert.equal(promoted.history.previous?.replicationId, one.history.replicationId);
  assert.ok(promoted.history.previous.until >= other.history.offset);
  assert.equal(promoted.history.runId, other.history.runId);
});

test('redis probe: a replica that lost its primary says so, and one that may not serve old data is no answer', async t => {
  const [primary, replica] = await replicatedRedis(t, 1);
  assert.ok(replica !== undefined);
  const { prober } = redisProberFor(t, replica);
  factsIn(await prober.probe());
  await primary.stop();
  await until('the link to be down', async () => factsIn(await prober.probe()).replicating === false);
  assert.equal(factsIn(await prober.probe()).lagSeconds, null);
  await replica.command('CONFIG', 'SET', 'replica-serve-stale-data', 'no');
  const answer = await prober.probe();
  assert.equal(answer.code, 'L7STS');
  assert.match(answer.detail, /^MASTERDOWN /);
});

test('redis probe: a primary that wants more good replicas than it has takes no writes', async t => {
  const [primary] = await replicatedRedis(t, 1);
  const { prober } = redisProberFor(t, primary);
  const writable = async (): Promise<boolean> => factsIn(await prober.probe()).writable;
  await primary.command('CONFIG', 'SET', 'min-replicas-to-write', '1');
  // The server counts its good replicas once a second.
  await until('one to be enough', writable);
  await primary.command('CONFIG', 'SET', 'min-replicas-to-write', '2');
  const answer = await prober.probe();
  assert.equal(factsIn(answer).writable, false);
  assert.match(answer.detail, /too few good replicas/);
  await assert.rejects(primary.command('SET', 'a', '1'), /NOREPLICAS/);
});

test('redis probe: a primary that cannot save refuses writes, and the probe knows it', async t => {
  const node = await RedisNode.create(t, {
    directives: { save: '3600 1', 'enable-protected-configs': 'yes' },
  });
  await node.start();
  await node.command('SET', 'a', '1');
  // A directory of that name stands in the way of the file.
  mkdirSync(join(node.directory, 'blocked.rdb'));
  await node.command('CONFIG', 'SET', 'dbfilename', 'blocked.rdb');
  await node.command('BGSAVE');
  await until('a write to be refused', () =>
    node.command('SET', 'a', '2').then(
      () => false,
      () => true,
    ),
  );
  const answer = await probeRedis(t, node);
  assert.equal(factsIn(answer).writable, false);
  assert.match(answer.detail, /MISCONF/);
});

test('redis probe: passwords and ACL users are let in, wrong ones are L7AUTH, and no secret is told', async t => {
  const node = await RedisNode.create(t, { directives: { requirepass: 'sesame' } });
  await node.start();
  const admin = await RedisClient.connect(node.address);
  t.after(() => admin.close());
  await admin.command('AUTH', 'sesame');
  await admin.command('ACL', 'SETUSER', 'probe', 'on', '>hush', '+ping', '+info');
  await admin.command('ACL', 'SETUSER', 'mute', 'on', '>hush', '+ping');

  assert.equal(factsIn(await probeRedis(t, node, { password: 'sesame' })).writable, true);
  assert.equal(factsIn(await probeRedis(t, node, { user: 'probe', password: 'hush' })).writable, true);
  const refused = [
    await probeRedis(t, node),
    await probeRedis(t, node, { password: 'wrong-secret' }),
    await probeRedis(t, node, { user: 'probe', password: 'wrong-secret' }),
    await probeRedis(t, node, { user: 'mute', password: 'hush' }),
  ];
  assert.deepEqual(
    refused.map(({ code }) => code),
    ['L7AUTH', 'L7AUTH', 'L7AUTH', 'L7AUTH'],
  );
  const words = refused.map(({ detail }) => detail).join('\n');
  assert.match(words, /^NOAUTH.*\nWRONGPASS.*\nWRONGPASS.*\nNOPERM/);
  assert.doesNotMatch(words, /wrong-secret|hush/);
});

test('redis probe: no free slot for clients is busy, not dead', async t => {
  const node = await RedisNode.create(t, { directives: { maxclients: '2' } });
  await node.start();
  const { prober, lost } = redisProberFor(t, node, { reconnectIntervalMs: 1 });
  factsIn(await prober.probe());
  const crowd = [await RedisClient.connect(node.address)];
  t.after(() => crowd.forEach(client => client.close()));
  await crowd[0]?.command('PING');
  const noted = await prober.probe();
  assert.equal(factsIn(noted).writable, true, 'the open session still answers');
  assert.match(noted.detail, /L7BUSY.*max number of clients/);
  crowd.push(await RedisClient.connect(node.address));
  const answer = await probeRedis(t, node);
  assert.equal(answer.code, 'L7BUSY');
  assert.match(answer.detail, /max number of clients reached/);
  assert.deepEqual(lost, []);
});

test('redis probe: a server that loads its data is starting, and one that runs a long script is busy', async t => {
  const node = await RedisNode.create(t, {
    directives: {
      'key-load-delay': '2000',
      'loading-process-events-interval-bytes': '1024',
      'busy-reply-threshold': '1',
    },
  });
  await node.start();
  await node.command('DEBUG', 'POPULATE', '500');
  await node.command('SAVE');
  const client = await RedisClient.connect(node.address);
  t.after(() => client.close());
  const script = client.command('EVAL', 'while true do end', '0');
  script.catch(() => undefined);
  const { prober } = redisProberFor(t, node);
  const busy = await until('the script to be noticed', async () => {
    const answer = await prober.probe();
    return answer.code === 'L7BUSY' && answer;
  });
  assert.match(busy.detail, /^BUSY /);
  await node.command('SCRIPT', 'KILL');
  await assert.rejects(script);
  assert.equal((await prober.probe()).code, 'L7OK');

  await node.stop();
  node.launch();
  const loading = await until('it to be loading', async () => {
    const answer = await probeRedis(t, node);
    return answer.code === 'L7START' && answer;
  });
  assert.match(loading.detail, /^LOADING /);
});

test('redis probe: TLS from the first byte; the name is checked under verify-full, the authority under verify-ca', async t => {
  const certificates = makeCertificates(t);
  const node = await RedisNode.create(t);
  const [cert, key] = [join(node.directory, 'server.pem'), join(node.directory, 'server.key')];
  writeFileSync(cert, certificates.certificate);
  writeFileSync(key, certificates.key);
  const directives = {
    port: '0',
    'tls-port': String(node.port),
    'tls-cert-file': cert,
    'tls-key-file': key,
    'tls-auth-clients': 'no',
    'tls-ca-cert-file': certificates.caFile,
  };
  await node.restartWith(directives);
  const { caFile, otherCaFile } = certificates;
  const probe = (
    mode: 'disable' | 'require' | 'verify-ca' | 'verify-full',
    file: string,
    name: string | null,
  ) => probeRedis(t, node, { tls: { mode, caFile: file, serverName: name }, timeoutMs: 2000 });
  assert.equal(factsIn(await probe('require', otherCaFile, null)).writable, true);
  assert.equal(factsIn(await probe('verify-ca', caFile, null)).writable, true);
  assert.equal(factsIn(await probe('verify-full', caFile, 'db.test')).writable, true);
  assert.equal((await probe('verify-ca', otherCaFile, null)).code, 'L6RSP');
  assert.equal((await probe('verify-full', caFile, 'other.test')).code, 'L6RSP');
  assert.equal((await probe('verify-full', '/nowhere/ca.pem', 'db.test')).code, 'L6RSP');
  assert.notEqual((await probe('disable', caFile, null)).code, 'L7OK');
});

test('redis probe: a killed server is lost at once, and a frozen one does not answer in time', async t => {
  const node = await RedisNode.create(t);
  await node.start();
  const { prober, lost } = redisProberFor(t, node, { timeoutMs: 300 });
  factsIn(await prober.probe());
  node.signal('SIGSTOP');
  assert.equal((await prober.probe()).code, 'L7TOUT');
  node.signal('SIGCONT');
  await until('it to answer again', async () => (await prober.probe()).code === 'L7OK');
  await node.stop('SIGKILL');
  await until('the loss', () => lost.length > 0);
  assert.equal((await prober.probe()).code, 'L4CON');
});

test('redis probe: an open session that answers does not hide that new connections are not served', async t => {
  const node = await RedisNode.create(t);
  await node.start();
  const { prober, lost } = redisProberFor(t, node, { reconnectIntervalMs: 20 });
  let sessions = 0;
  await until('several fresh connections', async () => {
    factsIn(await prober.probe());
    sessions = Number((await node.info('stats')).get('total_connections_received'));
    return sessions > 12;
  });
  assert.deepEqual(lost, [], 'a session that we end ourselves is not lost');
  prober.close();
  await until(
    'our sessions to be gone',
    async () => (await node.info('clients')).get('connected_clients') === '1',
  );
});

test('redis probe: a Sentinel is no server', async t => {
  const [primary] = await replicatedRedis(t, 0);
  const sentinel = await SentinelNode.create(t, { primary, quorum: 1 });
  await sentinel.start();
  const answer = await probeRedis(t, sentinel);
  assert.equal(answer.code, 'L7STS');
  assert.match(answer.detail, /this is a Sentinel/);
});

test('sentinel client: a real Sentinel with password and TLS names primary and process', async t => {
  const certificates = makeCertificates(t);
  const [primary, replica] = await replicatedRedis(t, 1);
  const sentinel = await SentinelNode.create(t, {
    primary,
    quorum: 1,
    directives: ['requirepass hush', 'tls-auth-clients no', `tls-ca-cert-file ${certificates.caFile}`],
  });
  const [cert, key] = [join(sentinel.directory, 'server.pem'), join(sentinel.directory, 'server.key')];
  writeFileSync(cert, certificates.certificate);
  writeFileSync(key, certificates.key);
  const tlsPort = await freePort();
  sentinel.directives.push(`tls-port ${tlsPort}`, `tls-cert-file ${cert}`, `tls-key-file ${key}`);
  await sentinel.start();
  const heard: (SentinelAnswer | null)[] = [];
  const client = new SentinelClient(
    {
      address: { host: '127.0.0.1', port: tlsPort },
      sentinel: {
        master: 'mymaster',
        user: null,
        password: 'hush',
        tls: { mode: 'verify-full', caFile: certificates.caFile, serverName: 'db.test' },
      },
      intervalMs: 50,
      fastIntervalMs: 50,
      timeoutMs: 2000,
      clock: systemClock,
    },
    answer => heard.push(answer),
  );
  t.after(() => client.stop());
  client.start();
  const runId = (await primary.info('server')).get('run_id');
  const answer = await until('the Sentinel to have seen both', () =>
    heard.find(word => word?.runId === runId && word?.replicas.length === 1),
  );
  assert.equal(answer.primary.port, primary.port);
  assert.equal(answer.replicas[0]?.port, replica?.port);
  assert.equal(answer.doubts, false);
});
