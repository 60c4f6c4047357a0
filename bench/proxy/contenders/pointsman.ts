// Pointsman as a contender: the built CLI as a user runs it, with the engine of its defaults or another one.
// index.ts makes two of it: the subject, and one on the portable driver.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { MAIN } from '../../../test/support/pointsman.ts';
import { until } from '../../../test/support/wait.ts';
import { type Server } from '../children.ts';
import { serviceNames, type Contender, type ServiceName } from '../model.ts';
import { takePort } from '../ports.ts';
import { chooseListeners, whenListening, type Listener } from './listeners.ts';

/** Both signals: the first would wait for sessions to end. */
const STOP = ['SIGTERM', 'SIGINT'] as const;

/** The server of iperf3 has room for one test at a time: a check that connects amid its set-up would break it. */
const HARDLY_EVER = { interval: '1h' };

/** Checks run as in production, a login session for PostgreSQL, a connection attempt for the others, but for `bulk`. */
export function pointsmanConfig(
  adminPort: number,
  listeners: readonly Listener[],
  engine: object | null,
): object {
  const each = <T>(value: (listener: Listener) => T): Partial<Record<ServiceName, T>> =>
    Object.fromEntries(listeners.map(listener => [listener.service, value(listener)]));
  return {
    admin: { bind: `127.0.0.1:${adminPort}` },
    log: { level: 'warn' },
    ...(engine === null ? {} : { engine }),
    frontends: each(({ service, port }) => ({
      bind: `127.0.0.1:${port}`,
      backend: service,
      ...(service === 'pg' ? {} : { route: 'any' }),
      max_connections: 20_000,
      hold_max: 20_000,
    })),
    backends: each(({ service, to }) => ({
      ...(service === 'pg' ? { protocol: 'postgres', check: { user: 'postgres' } } : { protocol: 'tcp' }),
      ...(service === 'bulk' ? { check: HARDLY_EVER } : {}),
      servers: { [`${service}1`]: `${to.host}:${to.port}` },
    })),
  };
}

export function pointsman(name: string, title: string, engine: object | null): Contender {
  return {
    name,
    title,
    serves: serviceNames,
    async start({ children, directory }, services) {
      const adminPort = await takePort();
      const listeners = await chooseListeners(services);
      const file = join(mkdtempSync(join(directory, `${name}-`)), 'pointsman.yaml');
      writeFileSync(file, stringify(pointsmanConfig(adminPort, listeners, engine)));
      const child = await children.start(process.execPath, [MAIN, 'run', '-c', file]);
      const running = await whenListening(child, listeners, STOP);
      await untilReady(child, adminPort);
      return running;
    },
    async version({ children }) {
      return (await children.run(process.execPath, [MAIN, '--version'], 10_000)).trim();
    },
  };
}

/** Its own word that every frontend has a server to give. */
async function untilReady(child: Server, adminPort: number): Promise<void> {
  await until('Pointsman to be ready', async () => {
    child.assertRunning();
    try {
      return (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok;
    } catch {
      return false; // its admin server isn't up yet
    }
  });
}
