// What the tests of the PostgreSQL prober share: settings, probers that end with their test, nodes, certificates.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext } from 'node:test';
import { PostgresNode, type CreateOptions } from '../../src/cli/demo/postgres-node.ts';
import { type CheckConfig } from '../../src/config/schema.ts';
import { systemClock } from '../../src/core/clock.ts';
import { type ProbeAnswer, type Prober } from '../../src/health/prober.ts';
import { createPostgresProber } from '../../src/health/probers/postgres/prober.ts';
import { type ServerFacts } from '../../src/health/result.ts';

function checkConfig(overrides: Partial<CheckConfig<'postgres'>> = {}): CheckConfig<'postgres'> {
  return {
    user: 'postgres',
    password: null,
    database: 'postgres',
    tls: { mode: 'disable', caFile: null, serverName: null },
    writable: null,
    rest: null,
    settleMs: 0,
    intervalMs: 1000,
    fastIntervalMs: 50,
    promotionIntervalMs: 10,
    reconnectIntervalMs: 0,
    timeoutMs: 5000,
    rise: 1,
    fall: 2,
    ...overrides,
  };
}

/** A prober that ends with the test, and what it reported as lost. */
export function proberFor(
  t: TestContext,
  server: { readonly host?: string; readonly port: number },
  overrides: Partial<CheckConfig<'postgres'>> = {},
): { prober: Prober; lost: string[] } {
  const lost: string[] = [];
  const address = { host: server.host ?? '127.0.0.1', port: server.port };
  const prober = createPostgresProber({ address, check: checkConfig(overrides), clock: systemClock })(
    detail => lost.push(detail),
  );
  t.after(() => prober.close());
  return { prober, lost };
}

/** One probe over a connection of its own. */
export async function probeOnce(
  t: TestContext,
  server: { readonly host?: string; readonly port: number },
  overrides: Partial<CheckConfig<'postgres'>> = {},
): Promise<ProbeAnswer> {
  return proberFor(t, server, overrides).prober.probe();
}

export function factsIn(answer: ProbeAnswer): ServerFacts {
  assert.equal(answer.code, 'L7OK', answer.detail);
  return answer.code === 'L7OK' ? answer.facts : assert.fail();
}

/** A started server that is gone after the test. */
export async function startedNode(
  t: TestContext,
  options: Omit<CreateOptions, 'name'>,
): Promise<PostgresNode> {
  const node = await PostgresNode.create({ name: 'primary', ...options });
  t.after(() => node.dispose());
  await node.start();
  return node;
}

export interface Certificates {
  readonly caFile: string;
  readonly otherCaFile: string;
  readonly certificate: string;
  readonly key: string;
}

/** A certificate for `db.test`, its authority, and another authority that has nothing to do with it. */
export function makeCertificates(t: TestContext): Certificates {
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-tls-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): void => {
    const run = spawnSync('openssl', args, { cwd: directory, encoding: 'utf8' });
    assert.equal(run.status, 0, `openssl ${args.join(' ')}: ${run.stderr}`);
  };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  for (const name of ['ca', 'other']) {
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.pem`,
      '-subj',
      `/CN=${name}`,
      '-days',
      '2',
    );
  }
  writeFileSync(path('extensions'), 'subjectAltName=DNS:db.test\n');
  openssl('req', ...newKey, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=db.test');
  openssl(
    ...['x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
    ...['-out', 'server.pem', '-days', '2', '-extfile', 'extensions'],
  );
  return {
    caFile: path('ca.pem'),
    otherCaFile: path('other.pem'),
    certificate: readFileSync(path('server.pem'), 'utf8'),
    key: readFileSync(path('server.key'), 'utf8'),
  };
}
