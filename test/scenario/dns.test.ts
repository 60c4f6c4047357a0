// Names in the whole program, before a real DNS server: names that move, that have several addresses, that nobody resolves;
// servers that DNS lists.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { DnsServer } from '../support/dns.ts';
import { configFile } from '../support/clients.ts';
import { pointsman, runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { connectPeer, OWN_LOOPBACK, ScriptServer, type Peer } from '../support/tcp-peers.ts';
import { until } from '../support/wait.ts';

const hello = Buffer.from('hello');

/** Three addresses of this test process alone. */
const HOSTS = [0, 64, 128].map(more =>
  OWN_LOOPBACK.replace(/^127\.(\d+)/, (_, octet: string) => `127.${Number(octet) + more}`),
) as [string, string, string];
const [H1, H2, H3] = HOSTS;

async function listening(t: TestContext, host: string, port: number): Promise<ScriptServer> {
  const server = await new ScriptServer().listen(port, host);
  t.after(() => server.refuse().catch(() => undefined)); // a test may have done so itself
  return server;
}

async function run(t: TestContext, config: object): Promise<PointsmanProcess> {
  const running = await runPointsman({
    frontends: { app: { bind: '127.0.0.1:0', backend: 'app', route: 'any', hold: '20s' } },
    ...config,
  });
  t.after(() => running.stop());
  return running;
}

const dnsAt = (dns: DnsServer) => ({ servers: [dns.address], interval: '100ms', timeout: '300ms' });
const backend = (keys: object) => ({
  app: { protocol: 'tcp', check: { interval: '100ms', fast_interval: '20ms' }, ...keys },
});

type Server = Awaited<ReturnType<PointsmanProcess['state']>>['backends'][number]['servers'][number];

async function servers(running: PointsmanProcess): Promise<readonly Server[]> {
  return (await running.state()).backends[0]?.servers ?? [];
}

/** Name, address and health of each, once they are as expected. */
async function untilServers(running: PointsmanProcess, ...expected: readonly string[]): Promise<void> {
  let seen = '';
  try {
    await until('the servers', async () => {
      const all = await servers(running);
      seen = all.map(({ name, address, health }) => `${name} ${address} ${health}`).join();
      return seen === expected.join();
    });
  } catch {
    assert.equal(seen, expected.join());
  }
}

/** A client that has said hello, and the server's side of its session. */
async function session(running: PointsmanProcess, server: ScriptServer): Promise<{ client: Peer; at: Peer }> {
  const before = new Set(server.peers);
  const client = await connectPeer(running.frontend('app'), hello);
  const at = await until('the session', () => server.peers.find(peer => !before.has(peer) && peer.bytes > 0));
  return { client, at };
}

async function failures(running: PointsmanProcess, name: string): Promise<number> {
  const text = await running.metrics();
  return Number(
    new RegExp(`^pointsman_dns_errors_total\\{name="${name}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0,
  );
}

async function untilMoreFailures(running: PointsmanProcess, name: string): Promise<void> {
  const before = await failures(running, name);
  await until('more questions in vain', async () => (await failures(running, name)) >= before + 2);
}

test('dns: a name that moves takes its sessions along, to an address that was probed before anybody was led there', async t => {
  const port = await freePort();
  const dns = await DnsServer.start(t, { 'db.internal': [H1] });
  const [first, second] = [await listening(t, H1, port), await listening(t, H2, port)];
  const running = await run(t, {
    dns: dnsAt(dns),
    backends: backend({ servers: { db: `db.internal:${port}` } }),
  });
  await untilServers(running, `db ${H1}:${port} up`);
  assert.equal((await servers(running))[0]?.host, 'db.internal');
  const old = await session(running, first);
  assert.equal(second.peers.length, 0);

  await dns.set({ 'db.internal': [H2] });
  await until('the old session to end', () => old.client.ended && old.at.closed);
  await untilServers(running, `db ${H2}:${port} up`);
  const left = first.peers.length;
  await session(running, second);
  assert.equal(second.peers[0]?.bytes, 0, 'the first to come was the probe');
  assert.equal(first.peers.length, left, 'nobody goes to the old address any more');
  assert.match(
    await running.metrics(),
    /^pointsman_sessions_closed_total\{frontend="app",backend="app",server="db",reason="server-left"\} 1$/m,
  );
  const said = running.log().map(({ msg }) => String(msg));
  assert.ok(said.includes(`db.internal is ${H2}; it was ${H1}`), said.join('\n'));
});

test('dns: a name that nobody resolves at the start comes to life later, and its clients wait for it', async t => {
  const port = await freePort();
  const dns = await DnsServer.start(t, {});
  const server = await listening(t, H1, port);
  const running = await run(t, {
    dns: dnsAt(dns),
    backends: backend({ servers: { db: `db.internal:${port}` } }),
  });
  await untilServers(running, `db db.internal:${port} down`);
  const [db] = await servers(running);
  assert.equal(db?.last_check?.code, 'L4DNS');
  assert.match(db.last_check.detail, /^db\.internal has no address: /);
  const waiting = session(running, server);
  await until('the client to wait', async () => (await running.state()).frontends[0]?.held === 1);
  await dns.set({ 'db.internal': [H1] });
  await waiting;
  await untilServers(running, `db ${H1}:${port} up`);
});

test('dns: neither the order of several addresses, nor silence, nor a name that is gone takes a server away that answers', async t => {
  const port = await freePort();
  const dns = await DnsServer.start(t, { 'db.internal': [H1, H2] });
  const both = [await listening(t, H1, port), await listening(t, H2, port)];
  const running = await run(t, {
    dns: dnsAt(dns),
    backends: backend({ servers: { db: `db.internal:${port}` } }),
  });
  await until('the server to be up', async () => (await servers(running))[0]?.health === 'up');
  const address = (await servers(running))[0]?.address ?? '';
  const [here, there] = address === `${H1}:${port}` ? both : both.toReversed();
  assert.ok(here !== undefined && there !== undefined);
  const { client } = await session(running, here);
  const stays = async (when: string): Promise<void> => {
    await untilServers(running, `db ${address} up`);
    assert.ok(!client.closed && !client.ended, when);
    assert.equal(there.peers.length, 0, when);
  };

  const asked = dns.asked('db.internal');
  await until('some answers, each in another order', () => dns.asked('db.internal') > asked + 6);
  await stays('in whatever order');
  await dns.stop();
  await untilMoreFailures(running, 'db.internal');
  await stays('DNS is silent');
  await dns.set({});
  await untilMoreFailures(running, 'db.internal');
  await stays('the name is gone');

  await here.refuse();
  await untilServers(running, `db db.internal:${port} down`);
  assert.equal((await servers(running))[0]?.last_check?.code, 'L4DNS');
  await dns.stop();
  await untilMoreFailures(running, 'db.internal');
  assert.equal(
    (await servers(running))[0]?.address,
    `db.internal:${port}`,
    'silence brings no old address back',
  );
  await dns.set({ 'db.internal': [H1, H2] });
  await untilServers(running, `db ${there.address.host}:${port} up`);
  await session(running, there);
});

test('dns: of several addresses the one is found at which somebody answers', async t => {
  const port = await freePort();
  const dns = await DnsServer.start(t, { 'db.internal': HOSTS });
  const server = await listening(t, H3, port);
  const running = await run(t, {
    dns: dnsAt(dns),
    backends: backend({ servers: { db: `db.internal:${port}` } }),
  });
  await untilServers(running, `db ${H3}:${port} up`);
  await session(running, server);
});

test('dns: a name that stands for our own port leads nobody in a circle, and takes away no server that answers', async t => {
  const port = await freePort();
  const dns = await DnsServer.start(t, { 'db.internal': [H1] });
  const server = await listening(t, H1, port);
  const running = await run(t, {
    dns: dnsAt(dns),
    frontends: { app: { bind: `127.0.0.1:${port}`, backend: 'app', route: 'any', hold: '20s' } },
    backends: backend({ servers: { db: `db.internal:${port}` } }),
  });
  await untilServers(running, `db ${H1}:${port} up`);
  await dns.set({ 'db.internal': ['127.0.0.1'] });
  await until('the news', () =>
    running.log().some(({ msg }) => msg === `db.internal is 127.0.0.1; it was ${H1}`),
  );
  await session(running, server);
  await server.refuse();
  await untilServers(running, `db db.internal:${port} down`);
  const [db] = await servers(running);
  assert.equal(db?.last_check?.detail, 'db.internal is 127.0.0.1, which is this Pointsman itself');
  const client = await connectPeer(running.frontend('app'), hello);
  t.after(() => client.socket.destroy());
  await until('the client to wait', async () => (await running.state()).frontends[0]?.held === 1);
});

test('dns: localhost is reached, on whichever of its addresses the server is', async t => {
  const server = await listening(t, '127.0.0.1', await freePort());
  const { port } = server.address;
  const running = await run(t, { backends: backend({ servers: { db: `localhost:${port}` } }) });
  await untilServers(running, `db 127.0.0.1:${port} up`);
  await session(running, server);
});

test('dns: servers that DNS lists come and go, and an empty answer changes nothing', async t => {
  const port = await freePort();
  const dns = await DnsServer.start(t, { 'db.internal': [H1] });
  const all = [await listening(t, H1, port), await listening(t, H2, port)];
  const config = {
    dns: dnsAt(dns),
    backends: backend({ dns: { name: 'db.internal', port, max_servers: 2 } }),
  };
  const running = await run(t, config);
  await untilServers(running, `tcp-1 ${H1}:${port} up`);
  const { client } = await session(running, all[0]!);

  await dns.set({ 'db.internal': [H2, H1] });
  await untilServers(running, `tcp-1 ${H1}:${port} up`, `tcp-2 ${H2}:${port} up`);
  const checked = await pointsman([
    'check',
    '--live',
    '-c',
    configFile(t, { frontends: { app: { bind: '127.0.0.1:1', backend: 'app', route: 'any' } }, ...config }),
  ]);
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  for (const host of [H1, H2]) assert.match(checked.stdout, new RegExp(`${host}:${port} +L4OK`));

  await dns.set({});
  await untilMoreNotes(running, /^DNS lists no server under db\.internal .* the servers stay as they are$/);
  await untilServers(running, `tcp-1 ${H1}:${port} up`, `tcp-2 ${H2}:${port} up`);
  assert.ok(!client.closed && !client.ended);

  await dns.set({ 'db.internal': [H2, H3, H1] });
  await untilMoreNotes(running, new RegExp(`^${H3}:${port} is left out: max_servers is 2$`));
  await dns.set({ 'db.internal': [H2] });
  await until('the session to the one that left to end', () => client.ended);
  await untilServers(running, `tcp-2 ${H2}:${port} up`);
  await session(running, all[1]!);
});

async function untilMoreNotes(running: PointsmanProcess, note: RegExp): Promise<void> {
  await until(`the note ${note}`, () => running.log().some(({ msg }) => note.test(String(msg))));
}

test('dns: SRV records tell the ports as well, and a DNS server that is away takes no server away', async t => {
  const name = '_db._tcp.internal';
  const [p1, p2] = [await freePort(), await freePort()];
  const zone = { 'n1.internal': [H1], 'n2.internal': [H2] };
  const dns = await DnsServer.start(t, zone, [`${name},n1.internal,${p1}`]);
  await listening(t, H1, p1);
  await listening(t, H2, p2);
  const running = await run(t, { dns: dnsAt(dns), backends: backend({ dns: { name, type: 'srv' } }) });
  await untilServers(running, `tcp-1 ${H1}:${p1} up`);
  assert.equal((await servers(running))[0]?.host, 'n1.internal');
  await dns.stop();
  await untilMoreNotes(running, /^DNS has no answer about _db\._tcp\.internal /);
  await untilServers(running, `tcp-1 ${H1}:${p1} up`);
  await dns.set(zone, [`${name},n1.internal,${p1}`, `${name},n2.internal,${p2}`]);
  await untilServers(running, `tcp-1 ${H1}:${p1} up`, `tcp-2 ${H2}:${p2} up`);
});
