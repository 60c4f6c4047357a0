// MySQL, Redis, HTTP and plain TCP clients whose TLS ends at Pointsman, or begins there: real clients, one Pointsman.
// What MySQL's packet numbers go through is test/unit/proxy/mysql-login.test.ts's; PostgreSQL has a file of its own.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { Authority } from '../support/authority.ts';
import { configFile } from '../support/clients.ts';
import { cli, withConnection } from '../support/clients-mysql.ts';
import { accounts, MariadbNode } from '../support/mariadb.ts';
import { MAIN, runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { run } from '../support/program.ts';
import { RedisNode } from '../support/redis.ts';
import { until } from '../support/wait.ts';

const CIPHER = "show status like 'Ssl_cipher'";

const listen = (server: Server): Promise<Address> =>
  new Promise(resolve =>
    server.listen(0, '127.0.0.1', () =>
      resolve({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }),
    ),
  );

/** Says what it hears. Probes of a tcp backend reset their connections. */
function echoAll(socket: Socket): void {
  socket.on('error', () => undefined);
  socket.pipe(socket);
}

describe('clients of other protocols whose TLS ends at Pointsman', () => {
  const authority = new Authority();
  const { certFile, keyFile } = authority.issue('all', ['localhost', '127.0.0.1']);
  const ca = readFileSync(authority.caFile, 'utf8');
  const owned: (() => unknown)[] = [];
  let mariadb: MariadbNode;
  let pointsman: PointsmanProcess;
  const at = (name: string): Address => pointsman.frontend(name);

  before(async () => {
    mariadb = await MariadbNode.create();
    owned.push(() => mariadb.dispose());
    mariadb.configure({
      'ssl-cert': mariadb.installFile('server.crt', readFileSync(certFile, 'utf8')),
      'ssl-key': mariadb.installFile('server.key', readFileSync(keyFile, 'utf8')),
    });
    const redis = await RedisNode.create({ after: (dispose: () => unknown) => void owned.push(dispose) });
    const web = createHttpServer((_request, response) => response.end('hello'));
    const echo = createServer({ allowHalfOpen: true }, echoAll);
    const secret = createTlsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, echoAll);
    for (const server of [web, echo, secret]) owned.push(() => server.close());
    const [webAt, echoAt, secretAt] = [await listen(web), await listen(echo), await listen(secret)];
    await Promise.all([mariadb.start(), redis.start()]);
    const tls = { certificates: [{ cert_file: certFile, key_file: keyFile }] };
    const any = { bind: '127.0.0.1:0', route: 'any' };
    const primary = { bind: '127.0.0.1:0' };
    const towards = { mode: 'verify-full', ca_file: authority.caFile };
    const mysql = {
      protocol: 'mysql',
      check: { user: accounts.probe.user, password: accounts.probe.password },
      servers: { db1: formatAddress(mariadb) },
    };
    pointsman = await runPointsman({
      frontends: {
        mysql: { ...primary, backend: 'mysql', tls },
        'mysql-allow': { ...primary, backend: 'mysql', tls: { ...tls, mode: 'allow' } },
        'mysql-both': { ...primary, backend: 'mysql-tls', tls },
        'mysql-to-tls': { ...primary, backend: 'mysql-tls' },
        redis: { ...primary, backend: 'redis', tls },
        'redis-allow': { ...primary, backend: 'redis', tls: { ...tls, mode: 'allow' } },
        web: { ...any, backend: 'web', tls },
        echo: { ...any, backend: 'echo', tls },
        'to-secret': { ...any, backend: 'secret' },
      },
      backends: {
        mysql,
        'mysql-tls': { ...mysql, tls: towards },
        redis: { protocol: 'redis', servers: { cache1: formatAddress(redis.address) } },
        web: { protocol: 'http', servers: { web1: formatAddress(webAt) } },
        echo: { protocol: 'tcp', servers: { echo1: formatAddress(echoAt) } },
        secret: { protocol: 'tcp', tls: towards, servers: { echo1: formatAddress(secretAt) } },
      },
    });
    await until('every frontend to have a server', async () => {
      const { frontends, backends } = await pointsman.state();
      return frontends.length === 9 && backends.every(({ servers: [server] }) => server?.health === 'up');
    });
  });
  after(async () => {
    await pointsman?.stop();
    for (const end of owned.reverse()) await end();
    authority.dispose();
  });

  for (const [frontend, serverIsSecure] of [
    ['mysql', false],
    ['mysql-both', true],
  ] as const) {
    test(`mariadb client: it logs in over TLS before a server ${serverIsSecure ? 'in TLS' : 'in plain text'}`, async () => {
      const verified = [`--ssl-ca=${authority.caFile}`, '--ssl-verify-server-cert'];
      const { code, stdout, stderr } = await cli(
        at(frontend),
        `${CIPHER}; select repeat('x', 3000000)`,
        verified,
      );
      assert.equal(code, 0, stderr);
      assert.equal(/^Ssl_cipher\tTLS_/.test(stdout.toString()), serverIsSecure);
      assert.ok(stdout.length > 3_000_000);
      const wrong = await cli(at(frontend), 'select 1', [...verified, '--password=wrong']);
      assert.match(wrong.stderr, /ERROR 1045 \(28000\).*Access denied/);
      const plain = await cli(at(frontend), 'select 1', ['--skip-ssl']);
      assert.match(plain.stderr, /ERROR 3159 .*pointsman: this frontend serves clients in TLS only/);
    });

    test(`mysql2: it logs in over TLS before a server ${serverIsSecure ? 'in TLS' : 'in plain text'}, and changes the user`, async () => {
      await withConnection(
        at(frontend),
        async connection => {
          assert.equal((await connection.query<never[]>(CIPHER))[0].length, 1);
          await connection.changeUser({ user: accounts.root.user, password: accounts.root.password });
          const [rows] = await connection.query('select 1 + 1 as two');
          assert.deepEqual(rows, [{ two: 2 }]);
        },
        { ssl: { ca } },
      );
    });
  }

  test('mariadb client: plain where that is allowed, and plain before a server in TLS', async () => {
    for (const [frontend, isSecure] of [
      ['mysql-allow', false],
      ['mysql-to-tls', true],
    ] as const) {
      const { code, stdout, stderr } = await cli(at(frontend), CIPHER, ['--skip-ssl']);
      assert.equal(code, 0, stderr);
      assert.equal(/TLS_/.test(stdout.toString()), isSecure, frontend);
    }
    const over = await cli(at('mysql-allow'), 'select 1', ['--ssl', '--skip-ssl-verify-server-cert']);
    assert.equal(over.code, 0, over.stderr);
  });

  test('redis-cli: over TLS, and plain where that is allowed', async () => {
    const redisCli = (name: string, ...args: string[]) =>
      run('redis-cli', ['-h', at(name).host, '-p', String(at(name).port), ...args]);
    const secured = await redisCli('redis', '--tls', '--cacert', authority.caFile, 'set', 'key', 'value');
    assert.equal(secured.stdout.toString(), 'OK\n', secured.stderr);
    const plain = await redisCli('redis-allow', 'get', 'key');
    assert.equal(plain.stdout.toString(), 'value\n', plain.stderr);
    const both = await redisCli('redis-allow', '--tls', '--cacert', authority.caFile, 'get', 'key');
    assert.equal(both.stdout.toString(), 'value\n', both.stderr);
    assert.notEqual((await redisCli('redis', 'get', 'key')).stdout.toString(), 'value\n');
  });

  test('curl: https, and HTTP/1.1 is agreed on', async () => {
    const { code, stdout, stderr } = await run('curl', [
      ...['-sS', '--cacert', authority.caFile, '-w', ' %{http_version}'],
      `https://localhost:${at('web').port}/`,
    ]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout.toString(), 'hello 1.1');
  });

  test('tcp: half a connection is ended through TLS, and the other half goes on to its end', async () => {
    const { host, port } = at('echo');
    const socket = connectTls({
      socket: createConnection({ host, port, allowHalfOpen: true }),
      ca,
      servername: 'localhost',
    });
    const sent = Buffer.alloc(5_000_000, 'echo');
    const heard: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => heard.push(chunk));
    socket.end(sent);
    await new Promise(resolve => socket.once('end', resolve));
    assert.ok(Buffer.concat(heard).equals(sent));
  });

  test('tcp: plain clients reach a server in TLS', async () => {
    const { host, port } = at('to-secret');
    const { stdout } = await run('curl', ['-s', '-m', '5', `telnet://${host}:${port}`], {
      input: 'over and out',
    });
    assert.equal(stdout.toString(), 'over and out');
  });

  test('admin: status over https with its authority, and a certificate of the caller where one is asked for', async t => {
    const port = await new Promise<number>(resolve => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const { port: free } = server.address() as AddressInfo;
        server.close(() => resolve(free));
      });
    });
    const file = configFile(t, {
      admin: {
        bind: `127.0.0.1:${port}`,
        tls: { cert_file: certFile, key_file: keyFile, client_ca_file: authority.caFile },
      },
      frontends: { f: { bind: '127.0.0.1:0', backend: 'b', route: 'any' } },
      backends: { b: { protocol: 'tcp', servers: { s: '127.0.0.1:9' } } },
    });
    const child = spawn(process.execPath, [MAIN, 'run', '-c', file], { stdio: 'ignore' });
    const gone = new Promise(resolve => child.once('exit', resolve));
    t.after(async () => {
      child.kill('SIGKILL');
      await gone;
    });
    const own = authority.issue('operator', ['operator']);
    const status = (...args: string[]) => run(process.execPath, [MAIN, 'status', ...args]);
    const trusted = ['--ca-file', authority.caFile];
    const shown = [...trusted, '--cert-file', own.certFile, '--key-file', own.keyFile];
    await until('it to answer', async () => (await status('-c', file, ...shown)).code === 0);
    const byUrl = await status('--url', `https://localhost:${port}`, ...shown);
    assert.equal(byUrl.code, 0, byUrl.stderr);
    assert.equal((await status('-c', file, ...trusted)).code, 1);
    assert.match((await status('-c', file)).stderr, /no Pointsman answers/);
  });
});
