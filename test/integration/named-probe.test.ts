// A server that is probed at the address of its name: its certificate and its virtual host are those of the name.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { configSchema } from '../../src/config/schema.ts';
import { systemClock } from '../../src/core/clock.ts';
import { createProber, type ProbedServer } from '../../src/health/probers/create.ts';
import { makeCertificates } from '../support/postgres.ts';

test('named probe: the certificate is checked for the name, the name is asked for, and the address alone would not do', async t => {
  const { certificate, key, caFile } = makeCertificates(t);
  const asked: string[] = [];
  const server = createServer({ cert: certificate, key }, (request, response) => {
    asked.push(String(request.headers.host));
    response.end('ok');
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  const check = { tls: { mode: 'verify-full', ca_file: caFile }, timeout: '5s' };
  const { app } = configSchema.parse({
    frontends: { app: { bind: '127.0.0.1:0', backend: 'app' } },
    backends: { app: { protocol: 'http', check, servers: { web: '127.0.0.1:1' } } },
  }).backends;
  assert.ok(app !== undefined);
  const probe = async (given: Omit<ProbedServer, 'address'>): Promise<string> => {
    const prober = createProber(
      app,
      { address: { host: '127.0.0.1', port }, ...given },
      systemClock,
    )(() => undefined);
    const { code } = await prober.probe();
    prober.close();
    return code;
  };
  assert.equal(await probe({ host: 'db.test' }), 'L7OK');
  assert.deepEqual(asked, [`db.test:${port}`]);
  assert.equal(await probe({ host: 'other.test' }), 'L6RSP');
  assert.equal(await probe({ host: null }), 'L6RSP');
});
