// What a proxy adds to an answer's time while nothing is saturated: transactions that are due at a fixed rate, whatever
// became of those before them.

import { runAtRate } from '../load/pgbench.ts';
import { type Figure, type Scenario } from '../model.ts';
import { quantile } from '../stats.ts';

const PER_SECOND = 4000;
const CLIENTS = 8;

const shares = { p50: 0.5, p99: 0.99, p999: 0.999 } as const;
const names = { p50: 'p50', p99: 'p99', p999: 'p99.9' } as const;
const percentiles = ['p50', 'p99', 'p999'] as const;

const figure = (key: string, title: string): Figure => ({
  key,
  title,
  unit: 'µs',
  digits: 0,
  better: 'less',
});

export const latency: Scenario = {
  name: 'latency',
  title: `PostgreSQL, latency at ${PER_SECOND.toLocaleString('en')} transactions/s`,
  how: `\`pgbench -n -j 1 -c ${CLIENTS} -S -M prepared -R ${PER_SECOND} -l\`, counted from when each transaction was due; added: less the direct one beside it`,
  service: 'pg',
  figures: [
    ...percentiles.map(key => figure(key, names[key])),
    ...percentiles.map(key => figure(`${key}Added`, `added ${names[key]}`)),
    { key: 'cpuUs', title: 'proxy CPU per transaction', unit: 'µs', digits: 2, better: 'less' },
  ],
  added: Object.fromEntries(percentiles.map(key => [`${key}Added`, key])),
  repeats: scale => scale.latencyRepeats,
  async measure(measurement) {
    const { latencySeconds: seconds } = measurement.scale;
    const { result, cpuNs } = await measurement.withCpu(() =>
      runAtRate(measurement, measurement.target, { clients: CLIENTS, seconds, perSecond: PER_SECOND }),
    );
    return {
      ...Object.fromEntries(percentiles.map(key => [key, quantile(result, shares[key])])),
      ...(cpuNs === null ? {} : { cpuUs: cpuNs / 1000 / (PER_SECOND * seconds) }),
    };
  },
};
