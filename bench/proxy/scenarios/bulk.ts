// Large transfers: one stream as fast as it goes, to the server, from it, and one each way at the same time.
// Bytes are those received.

import { directions, runIperf, type Direction } from '../load/iperf.ts';
import { type Scenario } from '../model.ts';

const GIB = 2 ** 30;
const NS_PER_US = 1000;

const titles: Readonly<Record<Direction, string>> = {
  up: 'Bulk, client to server',
  down: 'Bulk, server to client',
  both: 'Bulk, both ways at once',
};

function scenario(direction: Direction): Scenario {
  return {
    name: `bulk-${direction}`,
    title: titles[direction],
    how: `\`${['iperf3', ...directions[direction]].join(' ')}\`, one stream${direction === 'both' ? ' each way, their sum' : ''}`,
    service: 'bulk',
    figures: [
      { key: 'gbits', title: 'Gbit/s', unit: '', digits: 2, better: 'more' },
      { key: 'cpuUsPerGib', title: 'proxy CPU per GiB', unit: 'µs', digits: 0, better: 'less' },
    ],
    async measure(measurement) {
      const { result, cpuNs } = await measurement.withCpu(() =>
        runIperf(measurement, measurement.target, { direction, seconds: measurement.scale.bulkSeconds }),
      );
      return {
        gbits: result.bitsPerSecond / 1e9,
        ...(cpuNs === null ? {} : { cpuUsPerGib: cpuNs / NS_PER_US / (result.bytes / GIB) }),
      };
    },
  };
}

export const bulkScenarios: readonly Scenario[] = (['up', 'down', 'both'] as const).map(scenario);
