// What the tests of the MySQL prober share: probers that end with their test, and a way to come from another address.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { type TestContext } from 'node:test';
import { type CheckConfig } from '../../src/config/schema.ts';
import { systemClock } from '../../src/core/clock.ts';
import { type ProbeAnswer, type Prober } from '../../src/health/prober.ts';
import { createMysqlProber } from '../../src/health/probers/mysql/prober.ts';
import { type ServerFacts } from '../../src/health/result.ts';
import { accounts } from './mariadb.ts';

type Check = CheckConfig<'mysql'>;

export const plainTls: Check['tls'] = { mode: 'disable', caFile: null, serverName: null };

/** The account `probe` of test/support/mariadb.ts unless told otherwise. */
function checkConfig(overrides: Partial<Check> = {}): Check {
  return {
    ...accounts.probe,
    database: null,
    tls: plainTls,
    writable: null,
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
  overrides: Partial<Check> = {},
): { prober: Prober; lost: string[] } {
  const lost: string[] = [];
  const address = { host: server.host ?? '127.0.0.1', port: server.port };
  const options = { address, check: checkConfig(overrides), clock: systemClock };
  const prober = createMysqlProber(options)(detail => lost.push(detail));
  t.after(() => prober.close());
  return { prober, lost };
}

/** One probe over a connection of its own. */
export async function probeOnce(
  t: TestContext,
  server: { readonly host?: string; readonly port: number },
  overrides: Partial<Check> = {},
): Promise<ProbeAnswer> {
  const { prober } = proberFor(t, server, overrides);
  const answer = await prober.probe();
  prober.close();
  return answer;
}

export function factsIn(answer: ProbeAnswer): ServerFacts {
  assert.equal(answer.code, 'L7OK', answer.detail);
  return answer.code === 'L7OK' ? answer.facts : assert.fail();
}

/** Makes clients seem to come from another loopback address: a server never blocks 127.0.0.1. */
export async function comingFrom(t: TestContext, localAddress: string, port: number): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, client => {
    const upstream = connect({ host: '127.0.0.1', port, localAddress, allowHalfOpen: true });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => sockets.delete(socket));
    }
    client.pipe(upstream).pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
