// HTTP through a proxy that doesn't read it: requests on lasting connections, and a new connection for every request.
// The latter are the connections/s of the targets: PostgreSQL itself is too slow in taking new ones.

import { runWrk } from '../load/wrk.ts';
import { type Scenario } from '../model.ts';
import { perUnitUs } from './figures.ts';

const CONNECTIONS = 32;

function scenario(
  name: string,
  title: string,
  headers: readonly string[],
  [count, per]: readonly [string, string],
): Scenario {
  return {
    name,
    title,
    how: `\`wrk -t 1 -c ${CONNECTIONS}${headers.map(header => ` -H '${header}'`).join('')}\`, nginx answers 200 bytes`,
    service: 'http',
    figures: [
      { key: 'perSecond', title: count, unit: '', digits: 0, better: 'more' },
      { key: 'cpuUs', title: `proxy CPU per ${per}`, unit: 'µs', digits: 2, better: 'less' },
    ],
    async measure(measurement) {
      const { result, cpuNs } = await measurement.withCpu(() =>
        runWrk(measurement, measurement.target, {
          connections: CONNECTIONS,
          seconds: measurement.scale.seconds,
          headers,
        }),
      );
      return { perSecond: result.perSecond, ...perUnitUs(cpuNs, result.requests) };
    },
  };
}

export const httpScenarios: readonly Scenario[] = [
  scenario('http', 'HTTP, keep-alive', [], ['requests/s', 'request']),
  scenario(
    'http-close',
    'HTTP, a connection per request',
    ['Connection: close'],
    ['connections/s', 'connection'],
  ),
];
