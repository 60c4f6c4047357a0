// An operator and a running Pointsman, as both are: the built command line, the admin API, and real PostgreSQL servers. pg1
// and its standby pg2 are the backend `app`; pg1 and an unrelated primary, pg3, are the backend `twins`.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Client } from 'pg';
import { type ExplanationJson } from '../../src/admin/explain.ts';
import { type StateJson } from '../../src/admin/api.ts';
import { embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { type AdminState } from '../../src/topology/model.ts';
import { configFile } from '../support/clients.ts';
import { pointsman, runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { until } from '../support/wait.ts';

const TOKEN = 'the-token-of-this-test';
const nodes: PostgresNode[] = [];
let proxy: PointsmanProcess;

const servers = (...of: readonly PostgresNode[]): Record<string, string> =>
  Object.fromEntries(of.map(({ name, port }) => [name, `127.0.0.1:${port}`]));

/** Runs a command that speaks to the proxy; the token is in its environment unless told otherwise. */
const command = (args: readonly string[], env: NodeJS.ProcessEnv = { POINTSMAN_TOKEN: TOKEN }) =>
  pointsman([...args, '--url', proxy.admin], env);

async function connect(frontend: string): Promise<{ client: Client; lost: () => boolean }> {
  const client = new Client({ ...proxy.frontend(frontend), user: 'postgres', database: 'postgres' });
  let lost = false;
  client.on('error', () => (lost = true));
  client.on('end', () => (lost = true));
  await client.connect();
  return { client, lost: () => lost };
}

/** Without a process of its own: what is only to be put right again. */
async function set(place: string, state: AdminState): Promise<void> {
  const [backend, server] = place.split('/');
  const url = `${proxy.admin}/api/v1/backends/${backend}/servers/${server}/${state}`;
  const headers = { authorization: `Bearer ${TOKEN}`, connection: 'close' };
  assert.equal((await fetch(url, { method: 'POST', headers })).status, 200);
}

const portOf = async (client: Client): Promise<unknown> =>
  (await client.query<{ port: number }>('SELECT inet_server_port() AS port')).rows[0]?.port;

const backendOf = (state: StateJson, name: string) => {
  const found = state.backends.find(backend => backend.name === name);
  assert.ok(found);
  return found;
};

before(async () => {
  const binaries = embeddedBinaries();
  const pg1 = await PostgresNode.create({ name: 'pg1', binaries });
  nodes.push(pg1);
  const pg2 = await PostgresNode.cloneAsStandby(pg1, { name: 'pg2' });
  nodes.push(pg2);
  const pg3 = await PostgresNode.create({ name: 'pg3', binaries });
  nodes.push(pg3);
  await Promise.all([pg1.start(), pg3.start()]);
  await pg2.start();
  const backend = { protocol: 'postgres', check: { user: 'postgres' } };
  const bind = '127.0.0.1:0';
  proxy = await runPointsman(
    {
      admin: { bind, token: '${POINTSMAN_TOKEN}' },
      frontends: {
        rw: { bind, backend: 'app' },
        ro: { bind, backend: 'app', route: 'replica-or-primary' },
        twin: { bind, backend: 'twins' },
      },
      backends: {
        app: { ...backend, servers: servers(pg1, pg2) },
        twins: { ...backend, servers: servers(pg1, pg3) },
      },
    },
    { env: { POINTSMAN_TOKEN: TOKEN } },
  );
  await until('both backends to be known', async () => {
    const state = await proxy.state();
    return (
      backendOf(state, 'app').servers[1]?.replicating === true &&
      backendOf(state, 'twins').servers.every(({ writable }) => writable)
    );
  });
});

after(async () => {
  try {
    await proxy.stop();
  } finally {
    await Promise.all(nodes.map(node => node.dispose()));
  }
});

describe('operator', () => {
  test('operator: status shows each backend, why, its servers and the frontends; --json what the API says', async () => {
    const [shown, asJson] = await Promise.all([command(['status']), command(['status', '--json'])]);
    const { code, stdout, stderr } = shown;
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^app \(postgres\): primary pg1, epoch 1$/m);
    assert.match(stdout, /^ {2}pg1 is the only server that may be written to$/m);
    assert.match(stdout, /^ {2}pg1 +127\.0\.0\.1:\d+ +up +primary +yes +- +ready +\d+ +L7OK \d/m);
    assert.match(stdout, /^ {2}pg2 +127\.0\.0\.1:\d+ +up +replica +no +[\d.]+ s +ready/m);
    assert.match(stdout, /^rw +127\.0\.0\.1:\d+ +app +primary +0 +0$/m);
    assert.equal(backendOf(JSON.parse(asJson.stdout) as StateJson, 'app').primary, 'pg1');
  });

  test('operator: two writable servers at the start: nobody is routed until an operator decides, then the other is followed', async () => {
    const twins = backendOf(await proxy.state(), 'twins');
    assert.deepEqual([twins.primary, twins.split_brain], [null, true]);
    const waiting = connect('twin');
    await until('the client to wait', async () => (await proxy.state()).frontends[2]?.held === 1);
    const [imagined, present] = await Promise.all([
      command(['explain', 'twins', '--if', 'pg1=maintenance']),
      command(['explain', 'twins']),
    ]);
    assert.match(imagined.stdout, /^If pg1 is maintenance:\npg3 would become the primary of twins/);
    assert.match(present.stdout, /pointsman maintenance twins\/SERVER/);
    const done = await command(['maintenance', 'twins/pg1']);
    assert.deepEqual([done.code, done.stderr], [0, '']);
    assert.match(done.stdout, /^twins\/pg1: maintenance\ntwins: primary pg3: pg3 is the only server/);
    const { client } = await waiting;
    assert.equal(await portOf(client), nodes[2]?.port);
    await client.end();
    await set('twins/pg1', 'ready');
    assert.equal(backendOf(await proxy.state(), 'twins').primary, 'pg3', 'the present one stays');
  });

  test('operator: maintenance of the primary ends its sessions and frees nobody to the replica; ready brings it back', async () => {
    const writer = await connect('rw');
    const explained = await command(['explain', 'app', '--if', 'pg1=maintenance', '--json']);
    const answer = JSON.parse(explained.stdout) as ExplanationJson;
    assert.equal(answer.primary, null);
    assert.deepEqual(answer.frontends.find(({ name }) => name === 'rw')?.closed, [
      { server: 'pg1', reason: 'maintenance', sessions: 1 },
    ]);
    await set('app/pg1', 'maintenance');
    await until('the session to be closed', () => writer.lost());
    const newcomer = connect('rw');
    await until('the newcomer to wait', async () => (await proxy.state()).frontends[0]?.held === 1);
    const reader = await connect('ro');
    assert.equal(await portOf(reader.client), nodes[1]?.port);
    await reader.client.end();
    const state = backendOf(await proxy.state(), 'app');
    assert.deepEqual([state.primary, state.servers[0]?.admin], [null, 'maintenance']);
    const [incident] = await proxy.incidents();
    assert.deepEqual(
      [incident?.backend, incident?.outcome, incident?.first_sign.detail, incident?.sessions_closed],
      ['app', 'open', 'an operator put pg1 in maintenance', 1],
    );
    assert.match(
      await proxy.metrics(),
      /server_admin_state\{backend="app",server="pg1",state="maintenance"\} 1/,
    );
    const back = await command(['ready', 'app/pg1']);
    assert.match(back.stdout, /^app\/pg1: ready\napp: primary pg1/);
    const { client } = await newcomer;
    assert.equal(await portOf(client), nodes[0]?.port);
    await client.end();
  });

  test('operator: drain of a replica lets its readers go on and sends new ones to the primary', async () => {
    const reader = await connect('ro');
    assert.equal(await portOf(reader.client), nodes[1]?.port);
    assert.equal((await command(['drain', 'app/pg2'])).code, 0);
    const next = await connect('ro');
    assert.equal(await portOf(next.client), nodes[0]?.port);
    assert.equal(await portOf(reader.client), nodes[1]?.port, 'the session goes on');
    const { admin, sessions } = backendOf(await proxy.state(), 'app').servers[1] ?? {};
    assert.deepEqual([admin, sessions], ['drain', 1]);
    await set('app/pg2', 'ready');
    await Promise.all([reader.client.end(), next.client.end()]);
  });

  test('operator: what is refused is exit code 1, in the words of the API, and the token is in none of them', async () => {
    const refused = [
      [['drain', 'app/pg1'], { POINTSMAN_TOKEN: 'another-token-altogether' }, /the token is not the one/],
      [['drain', 'app/pg1'], { POINTSMAN_TOKEN: undefined }, /a token is needed.*POINTSMAN_TOKEN/],
      [['explain', 'app', '--if', 'pg9=down'], {}, /there is no server "pg9" in app/],
    ] as const;
    await Promise.all(
      refused.map(async ([args, env, complaint]) => {
        const { code, stdout, stderr } = await command(args, env);
        assert.deepEqual([code, stdout], [1, ''], stderr);
        assert.match(stderr, complaint);
        assert.ok(!stderr.includes(TOKEN) && !stderr.includes('another-token'));
      }),
    );
    assert.ok(!JSON.stringify(proxy.log()).includes(TOKEN));
    assert.equal(backendOf(await proxy.state(), 'app').servers[0]?.admin, 'ready');
  });
});

test('operator: one that does not run, or is no Pointsman, is exit code 1 with the address that was tried', async t => {
  const config = configFile(t, {
    admin: { bind: '0.0.0.0:1' },
    frontends: { rw: { bind: '127.0.0.1:0', backend: 'app', route: 'any' } },
    backends: { app: { protocol: 'tcp', servers: { c1: '127.0.0.1:2' } } },
  });
  const stranger = createServer((_request, response) => void response.end('hello'));
  await new Promise<void>(resolve => stranger.listen(0, '127.0.0.1', resolve));
  t.after(() => stranger.close());
  const { port } = stranger.address() as AddressInfo;
  const [silent, other, place] = await Promise.all([
    pointsman(['status', '-c', config]),
    pointsman(['status', '--url', `http://127.0.0.1:${port}`]),
    pointsman(['drain', 'pg1']),
  ]);
  assert.deepEqual([silent.code, silent.stdout], [1, '']);
  assert.match(
    silent.stderr,
    /no Pointsman answers at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\); is it running/,
  );
  assert.deepEqual([other.code, other.stdout], [1, '']);
  assert.match(other.stderr, /what answers at http:\/\/127\.0\.0\.1:\d+ is no Pointsman \(HTTP 200\)/);
  assert.equal(place.code, 2);
  assert.match(place.stderr, /name the server as BACKEND\/SERVER/);
});
