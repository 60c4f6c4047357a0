// PostgreSQL through a proxy: reads of one row, small writes, a connection for every transaction.
// Latency has a file of its own.

import { runPgbench } from '../load/pgbench.ts';
import { type Figure, type Scenario } from '../model.ts';
import { perUnitUs } from './figures.ts';

interface Load {
  readonly name: string;
  readonly title: string;
  readonly clients: number;
  readonly options: readonly string[];
  readonly per: 'transaction' | 'connection';
}

const loads: readonly Load[] = [
  ...[1, 16, 64].map(
    clients =>
      ({
        name: `select-${clients}`,
        title: `PostgreSQL, select only, ${clients} client${clients === 1 ? '' : 's'}`,
        clients,
        options: ['-S', '-M', 'prepared'],
        per: 'transaction',
      }) as const,
  ),
  {
    name: 'connect',
    title: 'PostgreSQL, a connection per transaction, 16 clients',
    clients: 16,
    options: ['-S', '-C'],
    per: 'connection',
  },
  {
    name: 'update',
    title: 'PostgreSQL, simple updates, 16 clients',
    clients: 16,
    options: ['-N', '-M', 'prepared'],
    per: 'transaction',
  },
];

function scenario({ name, title, clients, options, per }: Load): Scenario {
  const figures: readonly Figure[] = [
    { key: 'tps', title: `${per}s/s`, unit: '', digits: 0, better: 'more' },
    { key: 'cpuUs', title: `proxy CPU per ${per}`, unit: 'µs', digits: 2, better: 'less' },
  ];
  return {
    name,
    title,
    how: `\`pgbench -n -j 1 -c ${clients} ${options.join(' ')}\``,
    service: 'pg',
    figures,
    async measure(measurement) {
      const { result, cpuNs } = await measurement.withCpu(() =>
        runPgbench(measurement, measurement.target, { clients, seconds: measurement.scale.seconds, options }),
      );
      return { tps: result.tps, ...perUnitUs(cpuNs, result.transactions) };
    },
  };
}

export const pgbenchScenarios: readonly Scenario[] = loads.map(scenario);
