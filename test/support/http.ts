// What the tests of the HTTP prober share: settings, and probers that end with their test.

import { type TestContext } from 'node:test';
import { type CheckConfig } from '../../src/config/schema.ts';
import { type Address } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { type ProbeAnswer, type Prober } from '../../src/health/prober.ts';
import { createHttpProber } from '../../src/health/probers/http/prober.ts';

export function httpCheck(given: Partial<CheckConfig<'http'>> = {}): CheckConfig<'http'> {
  return {
    path: '/health',
    status: [200, 204],
    body: null,
    json: null,
    host: null,
    headers: {},
    tls: { mode: 'disable', caFile: null, serverName: null },
    intervalMs: 1000,
    fastIntervalMs: 50,
    timeoutMs: 5000,
    rise: 1,
    fall: 2,
    ...given,
  };
}

/** A prober that ends with the test, and what it reported as lost. */
export function httpProber(
  t: TestContext,
  { host, port }: Address,
  given: Partial<CheckConfig<'http'>> = {},
): { prober: Prober; lost: string[] } {
  const lost: string[] = [];
  const options = { address: { host, port }, check: httpCheck(given), clock: systemClock };
  const prober = createHttpProber(options)(detail => lost.push(detail));
  t.after(() => prober.close());
  return { prober, lost };
}

/** One probe over a connection of its own. */
export async function httpProbe(
  t: TestContext,
  address: Address,
  given: Partial<CheckConfig<'http'>> = {},
): Promise<ProbeAnswer> {
  return httpProber(t, address, given).prober.probe();
}
