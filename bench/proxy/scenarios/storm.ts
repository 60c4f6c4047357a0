// Everybody comes at once, as after a failover: thousands of connections in one moment, each asks one question and
// leaves. Not one may fail.

import { type StormAnswer } from '../load/connections-child.ts';
import { type Scenario } from '../model.ts';
import { perUnitUs } from './figures.ts';

/** So that the client's own first steps don't count. */
const WARM_UP = 200;

export const storm: Scenario = {
  name: 'storm',
  title: 'A storm of connections',
  how: 'opened in one moment by one Node process, each echoes 16 bytes; a failed one stops the run',
  service: 'echo',
  figures: [
    { key: 'ms', title: 'until all are served', unit: 'ms', digits: 0, better: 'less' },
    { key: 'p99Ms', title: 'p99 of a connection', unit: 'ms', digits: 0, better: 'less' },
    { key: 'cpuUs', title: 'proxy CPU per connection', unit: 'µs', digits: 1, better: 'less' },
  ],
  async measure({ children, target, scale, withCpu }) {
    const { stormConnections: count } = scale;
    const program = new URL('../load/connections-child.js', import.meta.url);
    const client = await children.startNode(program, [target.host, String(target.port)]);
    try {
      await client.ask<StormAnswer>({ storm: WARM_UP });
      const { result, cpuNs } = await withCpu(() => client.ask<StormAnswer>({ storm: count }));
      if (result.failed > 0) throw new Error(`${result.failed} of ${count} connections failed`);
      return { ms: result.ms, p99Ms: result.p99Ms, ...perUnitUs(cpuNs, count) };
    } finally {
      await client.stop();
    }
  },
};
